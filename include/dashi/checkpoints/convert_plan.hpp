// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/version.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_spec.hpp>
#include <dashi/io/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Tensors in whose names the pattern (ECMAScript, anywhere in the name) is found get the dtype, or
/// keep theirs where it is nothing.
class DtypeRule {
public:
  /// UsageError for a pattern that is no regular expression or not UTF-8, as all names are.
  DtypeRule(std::string pattern, std::optional<io::Dtype> dtype)
      : pattern_(std::move(pattern)), dtype_(dtype) {
    if (io::first_invalid_utf8(pattern_) != std::string::npos) {
      fail("not UTF-8");
    }
    try {
      regex_.assign(pattern_, std::regex::ECMAScript | std::regex::optimize);
    } catch (std::regex_error const& error) {
      fail(error.what());
    }
  }

  std::string const& pattern() const noexcept { return pattern_; }
  std::optional<io::Dtype> dtype() const noexcept { return dtype_; }

  bool matches(std::string const& name) const {
    try {
      return std::regex_search(name, regex_);
    } catch (std::regex_error const& error) {
      fail(error.what());
    }
  }

private:
  [[noreturn]] void fail(char const* found) const {
    throw UsageError({.code = "bad-regex",
                      .file = {},
                      .place = "rule " + io::in_quotes(pattern_),
                      .found = found,
                      .expected = "a regular expression as ECMAScript has them",
                      .advice = "write \\. for a dot and \\[ for a bracket"});
  }

  std::string pattern_;
  std::optional<io::Dtype> dtype_;
  std::regex regex_;
};

/// Which tensors get which dtype.
struct ConvertRequest {
  std::optional<io::Dtype> dtype{};  ///< of floating tensors that no rule matches; nothing: theirs
  std::vector<DtypeRule> rules{};    ///< the first that matches counts
};

/// A tensor and what it becomes.
struct PlannedConversion {
  io::TensorRef const* ref = nullptr;
  io::Dtype to = io::Dtype::f32;
  bool converted() const noexcept { return ref->info.dtype != to; }
};

/// What a conversion will do; made from headers.
struct ConvertPlan {
  io::Checkpoint const* checkpoint = nullptr;  ///< must outlive the plan
  std::vector<PlannedConversion> tensors;      ///< by name
  std::size_t converted = 0;                   ///< tensors that change
  std::uint64_t bytes_to_write = 0;            ///< of tensor data

  std::vector<io::TensorSpec> specs() const {
    std::vector<io::TensorSpec> out;
    out.reserve(tensors.size());
    for (PlannedConversion const& tensor : tensors) {
      out.push_back({tensor.ref->info.name, tensor.to, tensor.ref->info.shape});
    }
    return out;
  }
};

namespace detail {

inline void expect_float_target(io::Dtype dtype, std::string const& place) {
  if (!is_convertible(dtype)) {
    throw UsageError({.code = "bad-dtype",
                      .file = {},
                      .place = place,
                      .found = "the dtype " + std::string(io::name(dtype)),
                      .expected = io::convertible_names(),
                      .advice = {}});
  }
}

/// std::regex recurses once a character; a longer name might exhaust the stack.
inline constexpr std::size_t longest_matched_name = 1024;

inline io::Dtype planned_dtype(io::Checkpoint const& checkpoint, io::TensorInfo const& info,
                               ConvertRequest const& request) {
  for (DtypeRule const& rule : request.rules) {
    if (info.name.size() > longest_matched_name) {
      throw FormatError({.code = "name-too-long",
                         .file = checkpoint.path().string(),
                         .place = "tensor " + io::in_quotes(info.name),
                         .found = "a name of " + std::to_string(info.name.size()) + " bytes",
                         .expected = "at most " + std::to_string(longest_matched_name) +
                                     " where rules are matched",
                         .advice = "convert without --rule"});
    }
    if (!rule.matches(info.name)) {
      continue;
    }
    io::Dtype const to = rule.dtype().value_or(info.dtype);
    if (to != info.dtype && !is_convertible(info.dtype)) {
      throw FormatError({.code = "not-convertible",
                         .file = checkpoint.path().string(),
                         .place = "tensor " + io::in_quotes(info.name),
                         .found = "dtype " + std::string(io::name(info.dtype)) +
                                  ", which the rule " + io::in_quotes(rule.pattern()) +
                                  " would make " + std::string(io::name(to)),
                         .expected = "one of " + io::convertible_names(),
                         .advice = "let an earlier rule leave the tensor as it is: 'REGEX=same'"});
    }
    return to;
  }
  return is_convertible(info.dtype) ? request.dtype.value_or(info.dtype) : info.dtype;
}

inline std::string dtype_text(std::optional<io::Dtype> dtype) {
  return dtype ? std::string(io::name(*dtype)) : "same";
}

}  // namespace detail

/// UsageError for a target that is no convertible dtype; FormatError for a rule that asks for
/// numbers where integers are, and for a soup's ledger.
inline ConvertPlan plan_conversion(io::Checkpoint const& checkpoint,
                                   ConvertRequest const& request) {
  if (request.dtype) {
    detail::expect_float_target(*request.dtype, "dtype");
  }
  for (DtypeRule const& rule : request.rules) {
    if (rule.dtype()) {
      detail::expect_float_target(*rule.dtype(), "rule " + io::in_quotes(rule.pattern()));
    }
  }
  expect_no_ledger(checkpoint);
  ConvertPlan plan;
  plan.checkpoint = &checkpoint;
  plan.tensors.reserve(checkpoint.tensors().size());
  for (io::TensorRef const& ref : checkpoint.tensors()) {
    plan.tensors.push_back({&ref, detail::planned_dtype(checkpoint, ref.info, request)});
    PlannedConversion const& tensor = plan.tensors.back();
    plan.converted += tensor.converted() ? 1U : 0U;
    plan.bytes_to_write +=
        io::tensor_bytes({ref.info.name, tensor.to, ref.info.shape}, checkpoint.path().string());
  }
  return plan;
}

/// The metadata of the input, `dashi.convert` and `dashi.version`. No dates.
///
///     {"digest":"…","dtype":"F16","input":"model.safetensors","rules":[["norm","same"]]}
///
/// `digest`: io::checkpoint_digest of the input; left out when empty.
inline std::map<std::string, std::string> converted_metadata(io::Checkpoint const& checkpoint,
                                                             ConvertRequest const& request,
                                                             std::string const& digest) {
  std::string text = "{";
  if (!digest.empty()) {
    text += "\"digest\":";
    io::append_quoted(text, digest);
    text += ",";
  }
  text += "\"dtype\":";
  io::append_quoted(text, detail::dtype_text(request.dtype));
  text += ",\"input\":";
  std::string const file = checkpoint.path().filename().string();
  io::append_quoted(text, io::first_invalid_utf8(file) == std::string::npos ? file : escaped(file));
  text += ",\"rules\":[";
  for (std::size_t r = 0; r < request.rules.size(); ++r) {
    text += r == 0 ? "[" : ",[";
    io::append_quoted(text, request.rules[r].pattern());
    text += ",";
    io::append_quoted(text, detail::dtype_text(request.rules[r].dtype()));
    text += "]";
  }
  text += "]}";
  std::map<std::string, std::string> out = checkpoint.metadata();
  out.insert_or_assign("dashi.convert", text);
  out.insert_or_assign("dashi.version", DASHI_VERSION);
  return out;
}

}  // namespace dashi::checkpoints

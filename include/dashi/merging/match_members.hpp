// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/model_facts.hpp>
#include <dashi/io/tensor_info.hpp>
#include <dashi/merging/alpha_scalar.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/planned_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// What the source behind the members is for.
enum class BaseUse {
  none,         ///< there is none
  by_strategy,  ///< the strategy computes with it
  stands_in,    ///< OnMissing::keep_base takes tensors from it
};

namespace detail {

using NamedTensors = std::map<std::string_view, io::TensorRef const*>;

/// A member's tensors under our names.
inline NamedTensors named_tensors(MergeMember const& member) {
  NamedTensors out;
  std::string const file = member.checkpoint->path().string();
  for (auto const& [theirs, ours] : member.keys.entries()) {
    if (member.checkpoint->find(theirs) == nullptr) {
      throw FormatError({.code = "missing-tensor",
                         .file = file,
                         .place = "key map",
                         .found = "no tensor " + io::in_quotes(theirs),
                         .expected = "every tensor that the key map names",
                         .advice = "correct the key map"});
    }
  }
  for (io::TensorRef const& ref : member.checkpoint->tensors()) {
    auto const [at, fresh] = out.emplace(member.keys.ours(ref.info.name), &ref);
    if (!fresh) {
      throw FormatError({.code = "bad-key-map",
                         .file = file,
                         .place = "key map",
                         .found = io::in_quotes(at->second->info.name) + " and " +
                                  io::in_quotes(ref.info.name) + " both become " +
                                  io::in_quotes(at->first),
                         .expected = "a different name for each",
                         .advice = "correct the key map"});
    }
  }
  return out;
}

/// Refuses a member without some of the tensors in `all`.
inline void expect_all(MergeMember const& member, NamedTensors const& mine,
                       NamedTensors const& all) {
  std::vector<std::string> missing;
  for (auto const& [name, ref] : all) {
    if (!mine.contains(name)) {
      missing.push_back(io::in_quotes(name));
    }
  }
  if (!missing.empty()) {
    throw FormatError({.code = "missing-tensor",
                       .file = member.checkpoint->path().string(),
                       .place = {},
                       .found = "without " + std::to_string(missing.size()) +
                                (missing.size() == 1 ? " tensor" : " tensors") +
                                " that other members have: " + io::listing(missing),
                       .expected = "the same tensors in all members",
                       .advice = "merge checkpoints of one architecture, map the names, or say "
                                 "what stands for them (dashi merge --on-missing)"});
  }
}

[[noreturn]] inline void fail_tensor(MergeMember const& member, std::string code,
                                     PlannedTensor const& tensor, std::string found,
                                     std::string expected, std::string advice) {
  throw FormatError({.code = std::move(code),
                     .file = member.checkpoint->path().string(),
                     .place = "tensor " + io::in_quotes(tensor.name),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

/// The first member that lacks the tensor, or `members`.
inline std::size_t first_lacking(PlannedTensor const& tensor, std::size_t members) {
  auto const end = tensor.sources.begin() + static_cast<std::ptrdiff_t>(members);
  return static_cast<std::size_t>(std::find(tensor.sources.begin(), end, nullptr) -
                                  tensor.sources.begin());
}

/// Refuses a tensor that some source lacks and nothing can stand for.
inline void expect_substitute(PlannedTensor const& tensor, std::span<MergeMember const> sources,
                              std::size_t members, OnMissing policy) {
  if (policy != OnMissing::keep_base && tensor.first_source() == members) {
    fail_tensor(sources[members], "missing-tensor", tensor, "is in the base alone",
                "every tensor in at least one member", "merge with --on-missing=keep-base");
  }
  auto const lacks = [&](std::size_t s) { return tensor.sources[s] == nullptr; };
  std::size_t const m = first_lacking(tensor, members);
  if (m == members) {
    return;
  }
  if (policy == OnMissing::zero && !io::is_averaged(tensor.like().dtype)) {
    fail_tensor(sources[m], "missing-tensor", tensor,
                "is missing, and " + std::string(io::name(tensor.like().dtype)) + " in " +
                    sources[tensor.first_source()].checkpoint->path().string(),
                "F16, BF16, F32 or F64 where zeros stand for a tensor",
                "merge with --on-missing=skip");
  }
  if (policy == OnMissing::keep_base && lacks(members)) {
    fail_tensor(sources[m], "missing-tensor", tensor, "is missing, in the base too",
                "every tensor in all members or in the base",
                "give the base that has it, or --on-missing=skip or zero");
  }
}

inline void match_shapes(PlannedTensor& tensor, std::span<MergeMember const> members) {
  std::size_t const first = tensor.first_source();
  std::vector<std::uint64_t> const& expected = tensor.sources[first]->info.shape;
  tensor.shape = expected;
  for (std::size_t m = first + 1; m < tensor.sources.size(); ++m) {
    if (tensor.sources[m] == nullptr || tensor.sources[m]->info.shape == expected) {
      continue;
    }
    std::vector<std::uint64_t> const& shape = tensor.sources[m]->info.shape;
    if (is_alpha_scalar(tensor.name, shape) && is_alpha_scalar(tensor.name, tensor.shape)) {
      tensor.shape.clear();  // whatever the order of the members
      continue;
    }
    fail_tensor(members[m], "shape-mismatch", tensor, "has shape " + io::shape_text(shape),
                io::shape_text(expected) + " as in " + members[first].checkpoint->path().string(),
                "shapes must be equal, nothing is broadcast or transposed");
  }
}

inline void match_dtypes(PlannedTensor& tensor, std::span<MergeMember const> members,
                         MergeOptions const& options) {
  std::size_t const from = tensor.first_source();
  io::Dtype const first = tensor.sources[from]->info.dtype;
  tensor.averaged = io::is_averaged(first);
  bool mixed = false;
  for (std::size_t m = from + 1; m < tensor.sources.size(); ++m) {
    if (tensor.sources[m] == nullptr || tensor.sources[m]->info.dtype == first) {
      continue;
    }
    io::Dtype const dtype = tensor.sources[m]->info.dtype;
    mixed = true;
    bool const convertible = tensor.averaged && io::is_averaged(dtype);
    if (convertible && options.dtype && !options.strict_dtype) {
      continue;
    }
    fail_tensor(
        members[m], "dtype-mismatch", tensor, "is " + std::string(io::name(dtype)),
        std::string(io::name(first)) + " as in " + members[from].checkpoint->path().string(),
        !convertible           ? "only F16, BF16, F32 and F64 can be averaged with each other"
        : options.strict_dtype ? "leave out --strict-dtype and give --dtype to average them"
                               : "give --dtype to say what the result is stored as");
  }
  tensor.dtype = tensor.averaged && (options.dtype || mixed) ? *options.dtype : first;
}

}  // namespace detail

/// The tensors of the merged checkpoint by name, or FormatError: every member has the same names
/// (after its key map) unless options.on_missing says what stands for a tensor, and the same
/// shapes; dtypes that are averaged may differ when options.dtype says what the result is, all
/// others are equal. Behind the members may be a base: where it only stands for what is missing, it
/// is the source of no other tensor. Reads no tensor data. At least one member.
inline std::vector<PlannedTensor> match_members(std::span<MergeMember const> sources,
                                                MergeOptions const& options = {},
                                                BaseUse base = BaseUse::none) {
  std::size_t const members = sources.size() - (base == BaseUse::none ? 0 : 1);
  if (members == 0) {
    throw UsageError({.code = "no-members",
                      .file = {},
                      .place = {},
                      .found = "nothing to merge",
                      .expected = "at least one checkpoint",
                      .advice = {}});
  }
  expect_averaged_dtype(options);
  std::vector<detail::NamedTensors> named;
  detail::NamedTensors all;
  for (MergeMember const& source : sources) {
    named.push_back(detail::named_tensors(source));
    all.insert(named.back().begin(), named.back().end());
  }
  for (std::size_t s = 0; s < sources.size(); ++s) {
    bool const all_wanted =
        s < members ? options.on_missing == OnMissing::error : base == BaseUse::by_strategy;
    if (all_wanted) {
      detail::expect_all(sources[s], named[s], all);
    }
  }
  std::vector<PlannedTensor> tensors;
  tensors.reserve(all.size());
  for (auto const& [name, ref] : all) {
    PlannedTensor tensor{.name = std::string(name)};
    for (detail::NamedTensors const& mine : named) {
      auto const at = mine.find(name);
      tensor.sources.push_back(at == mine.end() ? nullptr : at->second);
    }
    bool const complete = detail::first_lacking(tensor, members) == members;
    if (complete && base == BaseUse::stands_in) {
      tensor.sources.back() = nullptr;
    }
    detail::expect_substitute(tensor, sources, members, options.on_missing);
    detail::match_shapes(tensor, sources);
    detail::match_dtypes(tensor, sources, options);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// Metadata pairs that are equal in all members, without those of where they come from
/// (io::is_model_fact).
inline std::map<std::string, std::string> common_metadata(std::span<MergeMember const> members) {
  std::map<std::string, std::string> out;
  for (std::size_t m = 0; m < members.size(); ++m) {
    std::map<std::string, std::string> const& theirs = members[m].checkpoint->metadata();
    if (m == 0) {
      out = theirs;
    }
    std::erase_if(out, [&](auto const& pair) {
      auto const at = theirs.find(pair.first);
      return at == theirs.end() || at->second != pair.second || !io::is_model_fact(pair.first);
    });
  }
  return out;
}

}  // namespace dashi::merging

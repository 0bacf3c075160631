// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/adapter_read_options.hpp>
#include <dashi/io/adapters/peft_config.hpp>
#include <dashi/io/dialects/dialect_report.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

namespace dashi::io::detail {

/// Shortest decimal that reads back as the number.
inline std::string number_text(double value) {
  std::array<char, 32> text{};
  auto const end = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

/// Value of a tensor of one element, floating or a signed integer.
inline double scalar_value(std::filesystem::path const& file, AdapterTensor const& tensor) {
  std::string const place = "tensor " + in_quotes(tensor.stored_name());
  if (tensor.elements() != 1) {
    refuse_adapter("adapter-shape", file, place, "shape " + shape_text(tensor.shape()),
                   "one number");
  }
  if (is_convertible(tensor.dtype())) {
    return tensor.values().front();
  }
  std::vector<std::byte> const bytes = tensor.bytes();
  if (tensor.dtype() == Dtype::i64) {
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return static_cast<double>(value);
  }
  if (tensor.dtype() == Dtype::i32) {
    std::int32_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  }
  refuse_adapter("wrong-dtype", file, place, std::string(name(tensor.dtype())),
                 "a floating dtype, I64 or I32");
}

/// What a dialect and its file say of scales.
struct ScaleRules {
  std::filesystem::path file;
  Dialect dialect = Dialect::unknown;
  PeftConfig const* config = nullptr;  ///< of PEFT and, in the header, of diffusers
  std::string config_name;             ///< for people: "adapter_config.json"
  AdapterReadOptions const* options = nullptr;
};

inline bool both_factors_full(AdapterModule const& module) {
  auto const* const kronecker = std::get_if<KroneckerForm>(&module.form);
  return kronecker != nullptr && !kronecker->first.low_rank() && !kronecker->second.low_rank();
}

/// Sets scale and scale_reason of a module whose form, rank and alpha are known (formats as in
/// docs/adapters.md). FormatError for alpha 0, for a scale that nothing tells, and for one outside
/// the usual band.
class ScaleRule {
public:
  ScaleRule(ScaleRules const& rules, std::string name, AdapterModule& module,
            AdapterTensor const* explicit_scale)
      : rules_(rules), name_(std::move(name)), module_(module), explicit_(explicit_scale) {}

  void apply() {
    if (!std::holds_alternative<LowRankForm>(module_.form) &&
        !std::holds_alternative<KroneckerForm>(module_.form)) {
      set(1, "nothing to scale: 1");
      return;
    }
    double alpha = 0;
    if (!module_.alpha.empty()) {
      alpha = scalar_value(rules_.file, module_.alpha);
      expect_alpha(alpha);
    }
    switch (rules_.dialect) {
      case Dialect::dashi_adapter: from_scale(); break;
      case Dialect::cloneofsimo: set(1, "this dialect keeps no alpha: 1"); break;
      case Dialect::ibm_krona: set(1, "DiffuseKronA has no alpha: 1"); break;
      case Dialect::peft: from_config(alpha, true); break;
      case Dialect::diffusers_lora: from_config(alpha, false); break;
      default: from_alpha(alpha); break;
    }
    expect_usual();
  }

private:
  void set(double scale, std::string reason) {
    module_.scale = scale;
    module_.scale_reason = std::move(reason);
  }

  [[noreturn]] void fail(char const* code, std::string found, std::string expected,
                         std::string advice) const {
    refuse_adapter(code, rules_.file, "module " + in_quotes(name_), std::move(found),
                   std::move(expected), std::move(advice));
  }

  void expect_alpha(double alpha, std::string const& source = {}) const {
    if (alpha == 0) {
      fail("alpha-zero", "alpha is 0" + source + ": the module would do nothing", "an alpha other than 0",
           "leave the module out with --ignore if that is meant");
    }
    if (!std::isfinite(alpha)) {
      fail("alpha-not-finite", "alpha is " + number_text(alpha), "a finite number",
           "save the adapter again");
    }
  }

  void from_scale() {
    if (explicit_ == nullptr) {
      fail("scale-missing", "factors without the tensor '.scale'",
           "one for every module with factors", "write the adapter again with dashi convert");
    }
    double const scale = scalar_value(rules_.file, *explicit_);
    set(scale, "stored scale " + number_text(scale));
  }

  void over_rank(double alpha, double rank, bool root, std::string const& source) {
    set(alpha / (root ? std::sqrt(rank) : rank),
        (root ? "rsLoRA, alpha " : "alpha ") + number_text(alpha) +
            (root ? " / sqrt(rank " : " / rank ") + number_text(rank) + (root ? ")" : "") + source);
  }

  void from_alpha(double alpha) {
    if (both_factors_full(module_)) {
      set(1, module_.alpha.empty()
                 ? "both factors full: 1"
                 : "both factors full: 1 (alpha " + number_text(alpha) + " does not count)");
    } else if (module_.alpha.empty()) {
      set(1, "no alpha: 1");
    } else {
      over_rank(alpha, static_cast<double>(module_.rank), false, "");
    }
  }

  void from_config(double alpha, bool needed) {
    PeftConfig const* const config = rules_.config;
    if (config != nullptr && config->tells_scale()) {
      double const rank = config->rank_of(module_.path);
      double const said = config->alpha_of(module_.path);
      expect_alpha(said, " in " + rules_.config_name);
      if (module_.rank != 0 && rank != static_cast<double>(module_.rank)) {
        fail("rank-mismatch",
             "the tensors have rank " + std::to_string(module_.rank) + ", " + rules_.config_name +
                 " says " + number_text(rank),
             "one rank", "give the " + rules_.config_name + " that belongs to the tensors");
      }
      if (!(rank > 0)) {
        fail("rank-mismatch", rules_.config_name + " says rank " + number_text(rank),
             "a rank above 0", "give the " + rules_.config_name + " that belongs to the tensors");
      }
      over_rank(said, rank, config->rslora, " of " + rules_.config_name);
    } else if (!module_.alpha.empty()) {
      from_alpha(alpha);
    } else if (!needed) {
      set(1, "no alpha: 1");
    } else if (rules_.options->alpha && module_.rank != 0) {
      expect_alpha(*rules_.options->alpha);
      over_rank(*rules_.options->alpha, static_cast<double>(module_.rank), false, " as given");
    } else {
      fail("alpha-missing", "nothing tells alpha: there is no adapter_config.json with r and alpha",
           "adapter_config.json beside the tensors",
           "put it there" + std::string(module_.rank != 0 ? ", or give --alpha" : ""));
    }
  }

  void expect_usual() const {
    double const size = std::fabs(module_.scale);
    if (!std::isfinite(size) || size == 0) {
      fail("scale-unusable", "the scale is " + number_text(module_.scale),
           "a finite number other than 0", "save the adapter again");
    }
    if (!rules_.options->any_scale && (size < smallest_usual_scale || size > largest_usual_scale)) {
      fail("scale-unusual",
           "the scale is " + number_text(module_.scale) + " (" + module_.scale_reason + ")",
           "between " + number_text(smallest_usual_scale) + " and " +
               number_text(largest_usual_scale),
           "some tools write alpha as a placeholder; give --any-scale if it is meant");
    }
  }

  ScaleRules const& rules_;
  std::string name_;
  AdapterModule& module_;
  AdapterTensor const* explicit_;
};

}  // namespace dashi::io::detail

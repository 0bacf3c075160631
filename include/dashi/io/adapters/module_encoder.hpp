// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/adapter_key.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/adapter_scale.hpp>
#include <dashi/io/adapters/scaled_tensor.hpp>
#include <dashi/io/dialects/dialect_report.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::io::detail {

/// A tensor to be written.
struct AdapterEntry {
  std::string name;
  AdapterTensor tensor;
};

/// How a dialect keeps scales.
enum class ScaleKeeping : std::uint8_t {
  alpha,      ///< a tensor beside the factors
  config,     ///< a file or metadata of all modules
  explicit_,  ///< the scale itself
  none,       ///< the factors are multiplied by it
};
constexpr ScaleKeeping scale_keeping(Dialect dialect) noexcept {
  switch (dialect) {
    case Dialect::kohya:
    case Dialect::lycoris:
    case Dialect::comfyui: return ScaleKeeping::alpha;
    case Dialect::peft: return ScaleKeeping::config;
    case Dialect::dashi_adapter: return ScaleKeeping::explicit_;
    default: return ScaleKeeping::none;
  }
}

/// Takes one module apart into the tensors of a dialect. FormatError for what the dialect cannot
/// hold.
class ModuleEncoder {
public:
  /// `keep_scale`: something beside the tensors tells the scale already.
  ModuleEncoder(std::filesystem::path file, Dialect dialect, AdapterModule const& module,
                bool keep_scale)
      : file_(std::move(file)),
        dialect_(dialect),
        module_(module),
        keeping_(keep_scale ? ScaleKeeping::config : scale_keeping(dialect)) {}

  std::vector<AdapterEntry> encode() {
    std::visit([&](auto const& form) { encode(form); }, module_.form);
    if (module_.dora) {
      encode_magnitude(*module_.dora);
    }
    if (!module_.bias.empty()) {
      add(module_.bias_is_difference ? AdapterSlot::bias_difference : AdapterSlot::bias,
          module_.bias, module_.bias_is_difference ? "a difference of a bias" : "a trained bias");
    }
    if (!module_.replacement.empty()) {
      add(AdapterSlot::replacement, module_.replacement, "a whole weight");
    }
    return std::move(entries_);
  }

private:
  [[noreturn]] void refuse(std::string const& what, std::string advice = {}) const {
    refuse_adapter(
        "cannot-hold-form", file_, "module " + in_quotes(adapter_module_name(dialect_, module_)),
        "the dialect '" + std::string(name(dialect_)) + "' has no place for " + what,
        "a form that it has", advice.empty() ? "--to dashi holds every form" : std::move(advice));
  }

  void add(AdapterSlot slot, AdapterTensor tensor, char const* what) {
    bool norm = false;
    if (auto const* const full = std::get_if<DenseForm>(&module_.form)) {
      norm = full->difference.shape().size() == 1;
    }
    bool const old = dialect_ == Dialect::diffusers_lora_old;
    bool const krona = dialect_ == Dialect::ibm_krona;
    bool const index = dialect_ == Dialect::cloneofsimo;
    bool const plain = slot == AdapterSlot::down || slot == AdapterSlot::up;
    bool const published = slot == AdapterSlot::krona_down || slot == AdapterSlot::krona_up;
    if (((old || index) && !plain) || (krona && !published)) {
      refuse(what);
    }
    std::string text = adapter_key_text(dialect_, {module_.part, module_.path, slot}, norm);
    if (text.empty()) {
      refuse(what);
    }
    entries_.push_back({std::move(text), std::move(tensor)});
  }

  void encode(NoForm const&) {}
  void encode(DenseForm const& form) {
    add(AdapterSlot::difference, form.difference, "a dense difference");
  }
  void encode(ScaleForm const& form) {
    add(AdapterSlot::gamma, form.gamma, "scales of rows (DiffFit)");
  }

  void encode(LowRankForm const& form) {
    AdapterTensor const up = keeping_ == ScaleKeeping::none ? baked(form.up) : form.up;
    if (form.embedding) {
      add(AdapterSlot::embedding_down, form.down, "a LoRA of a table");
      add(AdapterSlot::embedding_up, up, "a LoRA of a table");
    } else {
      add(AdapterSlot::down, form.down, "LoRA");
      add(AdapterSlot::up, up, "LoRA");
      if (!form.mid.empty()) {
        add(AdapterSlot::mid, form.mid, "a Tucker core");
      }
    }
    encode_scale(static_cast<double>(module_.rank), module_.scale);
  }

  void encode(KroneckerForm const& form) {
    if (form.interleaved) {
      encode_published(form);
      return;
    }
    bool const full = both_factors_full(module_);
    // Readers with alpha take 1 when both factors are full; then the scale goes into the first.
    bool const bake = keeping_ == ScaleKeeping::none || (keeping_ == ScaleKeeping::alpha && full);
    auto const first = [&](AdapterTensor const& tensor) { return bake ? baked(tensor) : tensor; };
    char const* const what = "LoKr";
    if (form.first.low_rank()) {
      add(AdapterSlot::w1_a, first(form.first.a), what);
      add(AdapterSlot::w1_b, form.first.b, what);
    } else {
      add(AdapterSlot::w1, first(form.first.full), what);
    }
    if (form.second.low_rank()) {
      add(AdapterSlot::w2_a, form.second.a, what);
      add(AdapterSlot::w2_b, form.second.b, what);
      if (!form.second.t2.empty()) {
        add(AdapterSlot::t2, form.second.t2, what);
      }
    } else {
      add(AdapterSlot::w2, form.second.full, what);
    }
    encode_scale(full ? 1 : static_cast<double>(module_.rank), bake ? 1 : module_.scale);
  }

  void encode_published(KroneckerForm const& form) {
    if (dialect_ != Dialect::ibm_krona && dialect_ != Dialect::dashi_adapter) {
      refuse(
          "the product that DiffuseKronA computes: its rows are permuted, so that it is no "
          "Kronecker product",
          "fuse it, or extract another form from the fused weights");
    }
    if (form.first.low_rank() || form.second.low_rank()) {
      refuse("factors of factors in DiffuseKronA's layout");
    }
    add(AdapterSlot::krona_down,
        keeping_ == ScaleKeeping::none ? baked(form.first.full) : form.first.full, "DiffuseKronA");
    add(AdapterSlot::krona_up, form.second.full, "DiffuseKronA");
    encode_scale(1, module_.scale);
  }

  AdapterTensor baked(AdapterTensor const& tensor) const {
    return module_.scale == 1 ? tensor
                              : scaled_tensor(tensor, module_.scale, file_,
                                              adapter_module_name(dialect_, module_));
  }

  /// The alpha that the file had stays where it says the same.
  void encode_scale(double rank, double scale) {
    if (keeping_ == ScaleKeeping::explicit_) {
      add(AdapterSlot::scale, double_tensor(module_.scale), "a scale");
    } else if (keeping_ == ScaleKeeping::alpha) {
      bool const full = both_factors_full(module_);
      bool const same =
          !module_.alpha.empty() &&
          (full ? module_.scale == 1 : scalar_value(file_, module_.alpha) / rank == scale);
      add(AdapterSlot::alpha, same ? module_.alpha : number_tensor(alpha_for(scale, rank), dtype()),
          "alpha");
    }
  }

  Dtype dtype() const {
    if (auto const* const low = std::get_if<LowRankForm>(&module_.form)) {
      return low->up.dtype();
    }
    auto const& first = std::get<KroneckerForm>(module_.form).first;
    return first.low_rank() ? first.a.dtype() : first.full.dtype();
  }

  void encode_magnitude(MagnitudeForm const& magnitude) {
    bool const peft = dialect_ == Dialect::peft || dialect_ == Dialect::diffusers_lora;
    if (peft && magnitude.per_input) {
      refuse("magnitudes over input columns");
    }
    std::vector<std::uint64_t> const& stored = magnitude.magnitude.shape();
    std::size_t dimensions = stored.size() < 2 ? 2 : stored.size();
    if (auto const* const low = std::get_if<LowRankForm>(&module_.form)) {
      dimensions = low->down.shape().size();
    }
    std::uint64_t const length = magnitude.magnitude.elements();
    std::vector<std::uint64_t> shape(dimensions, 1);
    if (dialect_ == Dialect::dashi_adapter) {
      shape.resize(2);
    }
    if (peft && dimensions == 2) {
      shape = {length};
    } else {
      shape[peft || magnitude.per_input ? 1 : 0] = length;
    }
    add(AdapterSlot::magnitude,
        stored == shape ? magnitude.magnitude : reshaped(magnitude.magnitude, std::move(shape)),
        "magnitudes (DoRA)");
  }

  std::filesystem::path file_;
  Dialect dialect_;
  AdapterModule const& module_;
  ScaleKeeping keeping_;
  std::vector<AdapterEntry> entries_;
};

}  // namespace dashi::io::detail

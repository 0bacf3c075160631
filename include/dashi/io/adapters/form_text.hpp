// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace dashi::io {

namespace detail {

inline std::string form_text_of(NoForm const&) { return {}; }
inline std::string form_text_of(ScaleForm const& form) {
  return "gamma " + shape_text(form.gamma.shape());
}
inline std::string form_text_of(DenseForm const& form) {
  return "dense difference " + shape_text(form.difference.shape());
}
inline std::string form_text_of(LowRankForm const& form) {
  std::string const shapes = shape_text(form.up.shape()) +
                             (form.mid.empty() ? "" : " " + shape_text(form.mid.shape())) + " " +
                             shape_text(form.down.shape());
  return (form.embedding     ? "LoRA of a table "
          : form.mid.empty() ? "LoRA "
                             : "LoRA, Tucker ") +
         shapes;
}
inline std::string factor_text(KroneckerFactorForm const& factor) {
  if (!factor.low_rank()) {
    return shape_text(factor.full.shape());
  }
  return "(" + shape_text(factor.a.shape()) + " " + shape_text(factor.b.shape()) +
         (factor.t2.empty() ? "" : " " + shape_text(factor.t2.shape())) + ")";
}
inline std::string form_text_of(KroneckerForm const& form) {
  return (form.interleaved ? "DiffuseKronA " : "LoKr ") + factor_text(form.first) + " (x) " +
         factor_text(form.second);
}

}  // namespace detail

/// What a module is, with the shapes of its tensors: "LoKr [4, 4] (x) ([9, 2] [2, 12]), DoRA".
inline std::string form_text(AdapterModule const& module) {
  std::vector<std::string> parts;
  if (module.form.index() != 0) {
    parts.push_back(
        std::visit([](auto const& form) { return detail::form_text_of(form); }, module.form));
  }
  if (module.dora) {
    parts.emplace_back(module.dora->per_input ? "DoRA over columns" : "DoRA over rows");
  }
  if (!module.replacement.empty()) {
    parts.push_back("whole weight " + shape_text(module.replacement.shape()));
  }
  if (!module.bias.empty()) {
    parts.push_back((module.bias_is_difference ? "difference of the bias " : "bias ") +
                    shape_text(module.bias.shape()));
  }
  std::string out;
  for (std::string const& part : parts) {
    out += (out.empty() ? "" : ", ") + part;
  }
  return out;
}

/// Numbers that a module stores, without alpha.
inline std::uint64_t module_parameters(AdapterModule const& module) {
  std::uint64_t total = 0;
  auto const add = [&](AdapterTensor const& tensor) {
    total += tensor.empty() ? 0 : tensor.elements();
  };
  if (auto const* const low = std::get_if<LowRankForm>(&module.form)) {
    add(low->down);
    add(low->up);
    add(low->mid);
  } else if (auto const* const kron = std::get_if<KroneckerForm>(&module.form)) {
    for (KroneckerFactorForm const* const factor : {&kron->first, &kron->second}) {
      add(factor->full);
      add(factor->a);
      add(factor->b);
      add(factor->t2);
    }
  } else if (auto const* const scale = std::get_if<ScaleForm>(&module.form)) {
    add(scale->gamma);
  } else if (auto const* const dense = std::get_if<DenseForm>(&module.form)) {
    add(dense->difference);
  }
  if (module.dora) {
    add(module.dora->magnitude);
  }
  add(module.bias);
  add(module.replacement);
  return total;
}

}  // namespace dashi::io

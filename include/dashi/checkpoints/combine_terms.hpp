// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_delta.hpp>
#include <dashi/checkpoints/adapter_values.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

/// An adapter and its weight in a combination.
struct CombineInput {
  io::AdapterFile const* file = nullptr;
  double weight = 1;
};

namespace detail {

/// A module of one of the adapters.
struct CombineTerm {
  io::AdapterModule const* module = nullptr;
  double factor = 1;  ///< weight times scale
  double weight = 1;
};

[[noreturn]] inline void refuse_combination(io::AdapterFile const& file,
                                            io::AdapterModule const& module, std::string found,
                                            std::string expected) {
  throw FormatError({.code = "not-a-sum",
                     .file = file.path.string(),
                     .place = "module " + io::in_quotes(module.path),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "fuse them one after the other instead"});
}

inline void expect_linear(io::AdapterFile const& file, io::AdapterModule const& module) {
  bool const gamma = std::holds_alternative<io::ScaleForm>(module.form);
  bool const trained = !module.bias.empty() && !module.bias_is_difference;
  if (module.dora || gamma || trained || !module.replacement.empty()) {
    refuse_combination(file, module,
                       module.dora ? "DoRA, which scales the whole weight"
                       : gamma     ? "a gamma, which scales the whole weight"
                       : trained   ? "a trained bias, no difference"
                                   : "a replaced weight, no difference",
                       "a change that is added, as combinations are sums");
  }
}

inline void expect_combinable(CombineInput const& input, io::AdapterFile const& first) {
  if (input.file->dialect != first.dialect) {
    throw FormatError({.code = "mixed-dialects",
                       .file = input.file->path.string(),
                       .place = {},
                       .found = std::string(io::name(input.file->dialect)),
                       .expected = std::string(io::name(first.dialect)) + ", as the first adapter",
                       .advice = "dashi convert brings both to one dialect"});
  }
}

/// The shape of the weight that a form changes; empty without one.
inline std::vector<std::uint64_t> shape_of(io::AdapterModule const& module) {
  if (auto const* const form = std::get_if<io::LowRankForm>(&module.form)) {
    if (form->embedding) {
      return {form->down.shape().at(1), form->up.shape().at(0)};
    }
    std::vector<std::uint64_t> shape = form->mid.empty() ? form->down.shape() : form->mid.shape();
    shape.at(0) = form->up.shape().at(0);
    shape.at(1) = form->down.shape().at(1);
    return shape;
  }
  if (auto const* const form = std::get_if<io::DenseForm>(&module.form)) {
    return form->difference.shape();
  }
  AdapterDelta const delta(module);
  if (delta.empty()) {
    return {};
  }
  auto const& form = std::get<io::KroneckerForm>(module.form);
  io::AdapterTensor const& core = form.second.low_rank() ? form.second.t2 : form.second.full;
  if (core.empty() || core.shape().size() < 3) {
    return {delta.rows(), delta.cols()};
  }
  std::uint64_t taps = 1;
  for (std::size_t d = 2; d < core.shape().size(); ++d) {
    taps *= core.shape()[d];
  }
  std::vector<std::uint64_t> shape(core.shape());
  shape[0] = delta.rows();
  shape[1] = delta.cols() / taps;
  return shape;
}

inline std::size_t product_of_extents(std::vector<std::uint64_t> const& shape) {
  std::size_t out = 1;
  for (std::uint64_t const extent : shape) {
    out *= static_cast<std::size_t>(extent);
  }
  return out;
}

/// That of all terms; [m, n] and [m, n, 1, 1] are as long, so the longest form counts.
inline std::vector<std::uint64_t> change_shape(std::vector<CombineTerm> const& terms,
                                               io::AdapterFile const& file) {
  std::vector<std::uint64_t> shape;
  for (CombineTerm const& term : terms) {
    std::vector<std::uint64_t> const mine = shape_of(*term.module);
    if (mine.empty()) {
      continue;
    }
    if (!shape.empty() &&
        (mine.front() != shape.front() || product_of_extents(mine) != product_of_extents(shape))) {
      refuse_combination(file, *term.module,
                         "changes of " + io::shape_text(shape) + " and " + io::shape_text(mine),
                         "one shape");
    }
    if (mine.size() > shape.size()) {
      shape = mine;
    }
  }
  return shape;
}

/// LoRA of all terms side by side: up times weight and scale, down below down. Nothing where a term
/// is no plain LoRA, or shapes are of two kinds.
inline std::optional<io::LowRankForm> concatenated(std::vector<CombineTerm> const& terms,
                                                   io::Dtype dtype) {
  std::vector<io::LowRankForm const*> forms;
  std::vector<double> factors;
  std::size_t rank = 0;
  for (CombineTerm const& term : terms) {
    auto const* const form = std::get_if<io::LowRankForm>(&term.module->form);
    if (form == nullptr && std::holds_alternative<io::NoForm>(term.module->form)) {
      continue;
    }
    if (form == nullptr || !form->mid.empty() ||
        (!forms.empty() && (form->embedding != forms.front()->embedding ||
                            form->down.shape().size() != forms.front()->down.shape().size()))) {
      return std::nullopt;
    }
    forms.push_back(form);
    factors.push_back(term.factor);
    rank += static_cast<std::size_t>(form->down.shape().front());
  }
  std::vector<double> down;
  std::size_t const rows = static_cast<std::size_t>(forms.front()->up.shape().front());
  std::vector<double> up(rows * rank);
  std::size_t at = 0;
  for (std::size_t f = 0; f < forms.size(); ++f) {
    std::vector<double> const part = finite_values(forms[f]->down);
    down.insert(down.end(), part.begin(), part.end());
    std::vector<double> const mine = finite_values(forms[f]->up);
    auto const r = static_cast<std::size_t>(forms[f]->down.shape().front());
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t k = 0; k < r; ++k) {
        up[i * rank + at + k] = factors[f] * mine[i * r + k];
      }
    }
    at += r;
  }
  std::vector<std::uint64_t> down_shape(forms.front()->down.shape());
  down_shape[0] = rank;
  std::vector<std::uint64_t> up_shape(forms.front()->up.shape());
  up_shape[1] = rank;
  io::LowRankForm out;
  out.down = tensor_of(dtype, std::move(down_shape), down);
  out.up = tensor_of(dtype, std::move(up_shape), up);
  out.embedding = forms.front()->embedding;
  return out;
}

/// Full factors of which one is the same in all terms: A (x) B_1 + A (x) B_2 = A (x) (B_1 + B_2),
/// and so on the other side. Nothing where that is not so.
inline std::optional<io::KroneckerForm> with_common_factor(std::vector<CombineTerm> const& terms,
                                                           io::Dtype dtype) {
  std::vector<io::KroneckerForm const*> forms;
  for (CombineTerm const& term : terms) {
    auto const* const form = std::get_if<io::KroneckerForm>(&term.module->form);
    if (form == nullptr || form->first.low_rank() || form->second.low_rank() ||
        form->interleaved !=
            std::get_if<io::KroneckerForm>(&terms.front().module->form)->interleaved) {
      return std::nullopt;
    }
    forms.push_back(form);
  }
  auto const same = [&](auto const& factor) {
    return std::all_of(forms.begin(), forms.end(), [&](io::KroneckerForm const* form) {
      return factor(*form).shape() == factor(*forms.front()).shape() &&
             finite_values(factor(*form)) == finite_values(factor(*forms.front()));
    });
  };
  auto const first = [](io::KroneckerForm const& f) -> io::AdapterTensor const& {
    return f.first.full;
  };
  auto const second = [](io::KroneckerForm const& f) -> io::AdapterTensor const& {
    return f.second.full;
  };
  auto const sum = [&](auto const& factor) {
    std::vector<double> out(static_cast<std::size_t>(factor(*forms.front()).elements()));
    for (std::size_t f = 0; f < forms.size(); ++f) {
      std::vector<double> const mine = finite_values(factor(*forms[f]));
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += terms[f].factor * mine[i];
      }
    }
    return tensor_of(dtype, factor(*forms.front()).shape(), out);
  };
  auto const alike = [&](auto const& factor) {
    return std::all_of(forms.begin(), forms.end(), [&](io::KroneckerForm const* form) {
      return factor(*form).shape() == factor(*forms.front()).shape();
    });
  };
  io::KroneckerForm out = *forms.front();
  if (same(first) && alike(second)) {
    out.second.full = sum(second);
  } else if (same(second) && alike(first)) {
    out.first.full = sum(first);
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace detail

}  // namespace dashi::checkpoints

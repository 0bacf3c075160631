// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>

#include <type_traits>
#include <variant>

namespace dashi::io::detail {

/// The same dtype, shape and bytes, or nothing on both sides.
inline bool same_tensor(AdapterTensor const& a, AdapterTensor const& b) {
  return a.empty() == b.empty() &&
         (a.empty() ||
          (a.dtype() == b.dtype() && a.shape() == b.shape() && a.bytes() == b.bytes()));
}

/// Whether two modules do the same to weights of one shape, number for number.
inline bool same_module(AdapterModule const& a, AdapterModule const& b) {
  auto const factors = [](KroneckerFactorForm const& x, KroneckerFactorForm const& y) {
    return same_tensor(x.full, y.full) && same_tensor(x.a, y.a) && same_tensor(x.b, y.b) &&
           same_tensor(x.t2, y.t2);
  };
  if (a.form.index() != b.form.index() || a.scale != b.scale ||
      a.dora.has_value() != b.dora.has_value() || a.bias_is_difference != b.bias_is_difference ||
      !same_tensor(a.bias, b.bias) || !same_tensor(a.replacement, b.replacement)) {
    return false;
  }
  if (a.dora && (a.dora->per_input != b.dora->per_input ||
                 !same_tensor(a.dora->magnitude, b.dora->magnitude))) {
    return false;
  }
  return std::visit(
      [&]<class Form>(Form const& mine) {
        Form const& other = std::get<Form>(b.form);
        if constexpr (std::is_same_v<Form, LowRankForm>) {
          return mine.embedding == other.embedding && same_tensor(mine.down, other.down) &&
                 same_tensor(mine.up, other.up) && same_tensor(mine.mid, other.mid);
        } else if constexpr (std::is_same_v<Form, KroneckerForm>) {
          return mine.interleaved == other.interleaved && factors(mine.first, other.first) &&
                 factors(mine.second, other.second);
        } else if constexpr (std::is_same_v<Form, ScaleForm>) {
          return same_tensor(mine.gamma, other.gamma);
        } else if constexpr (std::is_same_v<Form, DenseForm>) {
          return same_tensor(mine.difference, other.difference);
        } else {
          return true;
        }
      },
      a.form);
}

}  // namespace dashi::io::detail

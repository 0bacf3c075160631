// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dashi::io {

namespace detail {

inline std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b) {
  return b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b
             ? std::numeric_limits<std::uint64_t>::max()
             : a * b;
}

/// [m, n] and [m, n, 1, 1], the one pair of shapes that are taken as equal.
inline bool is_squeeze(std::vector<std::uint64_t> const& a, std::vector<std::uint64_t> const& b) {
  auto const& longer = a.size() > b.size() ? a : b;
  auto const& shorter = a.size() > b.size() ? b : a;
  return shorter.size() == 2 && longer.size() == 4 && longer[2] == 1 && longer[3] == 1 &&
         longer[0] == shorter[0] && longer[1] == shorter[1];
}

inline std::vector<std::uint64_t> shape_with_kernel(std::uint64_t rows, std::uint64_t columns,
                                                    std::vector<std::uint64_t> const& like) {
  std::vector<std::uint64_t> out{rows, columns};
  for (std::size_t i = 2; i < like.size(); ++i) {
    out.push_back(like[i]);
  }
  return out;
}

inline std::vector<std::uint64_t> change_shape_of(LowRankForm const& form,
                                                  std::vector<std::uint64_t> const&) {
  if (form.embedding) {
    return {form.down.shape()[1], form.up.shape()[0]};
  }
  return shape_with_kernel(form.up.shape()[0], form.down.shape()[1],
                           form.mid.empty() ? form.down.shape() : form.mid.shape());
}

/// The second factor of a convolution that is a product of matrices does not say how wide its
/// kernel is: the weight does.
inline std::vector<std::uint64_t> change_shape_of(KroneckerForm const& form,
                                                  std::vector<std::uint64_t> const& weight) {
  auto const& f = form.first;
  std::uint64_t rows = f.low_rank() ? f.a.shape()[0] : f.full.shape()[form.interleaved ? 1 : 0];
  std::uint64_t columns = f.low_rank() ? f.b.shape()[1] : f.full.shape()[form.interleaved ? 0 : 1];
  auto const& s = form.second;
  if (!s.low_rank()) {
    return shape_with_kernel(saturating_product(rows, s.full.shape()[0]),
                             saturating_product(columns, s.full.shape()[1]), s.full.shape());
  }
  if (!s.t2.empty()) {
    return shape_with_kernel(saturating_product(rows, s.a.shape()[1]),
                             saturating_product(columns, s.b.shape()[1]), s.t2.shape());
  }
  rows = saturating_product(rows, s.a.shape()[0]);
  std::uint64_t const width = s.b.shape()[1];
  std::uint64_t kernel = 1;
  for (std::size_t i = 2; i < weight.size(); ++i) {
    kernel = saturating_product(kernel, weight[i]);
  }
  if (kernel > 1 && width % kernel == 0) {
    return shape_with_kernel(rows, saturating_product(columns, width / kernel), weight);
  }
  return {rows, saturating_product(columns, width)};
}

inline std::vector<std::uint64_t> change_shape_of(DenseForm const& form,
                                                  std::vector<std::uint64_t> const&) {
  return form.difference.shape();
}
inline std::vector<std::uint64_t> change_shape_of(ScaleForm const&,
                                                  std::vector<std::uint64_t> const& weight) {
  return weight;
}
inline std::vector<std::uint64_t> change_shape_of(NoForm const&,
                                                  std::vector<std::uint64_t> const& weight) {
  return weight;
}

}  // namespace detail

/// Shape of the change that a module makes to a weight of shape `weight`, which it must have:
/// of gamma and of a bias alone that shape itself.
inline std::vector<std::uint64_t> change_shape(AdapterModule const& module,
                                               std::vector<std::uint64_t> const& weight) {
  if (!module.replacement.empty()) {
    return module.replacement.shape();
  }
  return std::visit([&](auto const& form) { return detail::change_shape_of(form, weight); },
                    module.form);
}

}  // namespace dashi::io

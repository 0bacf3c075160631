// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::io {

namespace detail {

/// Rows [first, first + count) of the first extent, their bytes as they are.
inline AdapterTensor tensor_rows(AdapterTensor const& tensor, std::uint64_t first,
                                 std::uint64_t count) {
  if (tensor.empty()) {
    return tensor;
  }
  DASHI_EXPECTS(!tensor.shape().empty() && first + count <= tensor.shape().front(),
                "rows that the tensor has");
  std::vector<std::byte> const all = tensor.bytes();
  std::size_t const row = all.size() / static_cast<std::size_t>(tensor.shape().front());
  auto const at = [&](std::uint64_t rows) {
    return all.begin() + static_cast<std::ptrdiff_t>(rows * row);
  };
  std::vector<std::uint64_t> shape = tensor.shape();
  shape.front() = count;
  return {tensor.dtype(), std::move(shape), {at(first), at(first + count)}};
}

/// Of a vector, whatever extents of one are about it: then [count].
inline AdapterTensor vector_rows(AdapterTensor const& tensor, std::uint64_t first,
                                 std::uint64_t count) {
  bool const stored = !tensor.shape().empty() && tensor.shape().front() == tensor.elements();
  return tensor.empty() || stored
             ? tensor_rows(tensor, first, count)
             : tensor_rows({tensor.dtype(), {tensor.elements()}, tensor.bytes()}, first, count);
}

/// Rows of a Kronecker product: of its first factor, or of its second where they lie in one block.
inline std::optional<KroneckerForm> kronecker_rows(KroneckerForm form, std::uint64_t first,
                                                   std::uint64_t count) {
  if (form.interleaved) {
    return std::nullopt;
  }
  bool const tucker = !form.second.t2.empty();
  std::uint64_t const block = form.second.low_rank() ? form.second.a.shape().at(tucker ? 1 : 0)
                                                     : form.second.full.shape().at(0);
  auto const cut = [](KroneckerFactorForm& factor, std::uint64_t from, std::uint64_t rows) {
    AdapterTensor& tensor = factor.low_rank() ? factor.a : factor.full;
    tensor = tensor_rows(tensor, from, rows);
  };
  if (first % block == 0 && count % block == 0) {
    cut(form.first, first / block, count / block);
  } else if (!tucker && first / block == (first + count - 1) / block) {
    cut(form.first, first / block, 1);
    cut(form.second, first % block, count);
  } else {
    return std::nullopt;
  }
  return form;
}

}  // namespace detail

/// What a module does to rows [first, first + count) of its weight, as a module of those rows: the
/// numbers of its tensors, none computed. Nothing where its form has no such part: rows across the
/// blocks of a Kronecker product, DiffuseKronA's order, tables, DoRA with norms over all rows. The
/// weight has `rows`, and the module fits it (AdapterResolution).
inline std::optional<AdapterModule> module_rows(AdapterModule module, std::uint64_t first,
                                                std::uint64_t count, std::uint64_t rows) {
  DASHI_EXPECTS(first <= rows && count <= rows - first, "rows of the module's weight");
  if (count == rows) {
    return module;
  }
  if (auto* const low_rank = std::get_if<LowRankForm>(&module.form)) {
    if (low_rank->embedding) {
      return std::nullopt;
    }
    low_rank->up = detail::tensor_rows(low_rank->up, first, count);
  } else if (auto* const kronecker = std::get_if<KroneckerForm>(&module.form)) {
    auto form = detail::kronecker_rows(std::move(*kronecker), first, count);
    if (!form) {
      return std::nullopt;
    }
    module.form = std::move(*form);
  } else if (auto* const scale = std::get_if<ScaleForm>(&module.form)) {
    scale->gamma = detail::vector_rows(scale->gamma, first, count);
  } else if (auto* const dense = std::get_if<DenseForm>(&module.form)) {
    dense->difference = detail::tensor_rows(dense->difference, first, count);
  }
  if (module.dora) {
    if (module.dora->per_input) {
      return std::nullopt;
    }
    module.dora->magnitude = detail::vector_rows(module.dora->magnitude, first, count);
  }
  module.bias = detail::vector_rows(module.bias, first, count);
  module.replacement = detail::tensor_rows(module.replacement, first, count);
  return module;
}

}  // namespace dashi::io

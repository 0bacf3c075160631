// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/additive_dit.hpp>
#include <dashi/checkpoints/adapter_matrix.hpp>
#include <dashi/io/adapters/adapter_form.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

/// A module of an adapter as a net holds it: options, and what its parameters are.
struct NetAdapterFactors {
  OneOf<LowRank, Kronecker, ScaleBias> adapter;
  std::vector<std::pair<std::string, std::vector<double>>> values;  ///< by name of the parameter
};

namespace detail {

inline Index extent(io::AdapterTensor const& tensor, std::size_t dimension) {
  return dimension < tensor.shape().size() ? static_cast<Index>(tensor.shape()[dimension]) : 1;
}

inline std::optional<NetAdapterFactors> low_rank_factors(io::LowRankForm const& form,
                                                         double scale) {
  if (!form.mid.empty() || form.embedding) {
    return std::nullopt;
  }
  Index const rank = extent(form.up, 1);
  NetAdapterFactors out;
  out.adapter = LowRank{.rank = rank, .alpha = scale * static_cast<double>(rank)};
  out.values = {{"lora_A.weight", finite_values(form.down)},
                {"lora_B.weight", finite_values(form.up)}};
  return out;
}

inline std::optional<NetAdapterFactors> kronecker_factors(io::KroneckerForm const& form,
                                                          double scale) {
  if (form.interleaved || !form.second.t2.empty()) {
    return std::nullopt;
  }
  struct Factor {
    Index rows, cols, rank;
    std::vector<double> left, right;
  };
  auto const factor = [](io::KroneckerFactorForm const& f) -> Factor {
    if (f.low_rank()) {
      Index const rank = extent(f.a, 1);
      Index const cols = static_cast<Index>(f.b.elements()) / rank;
      return {extent(f.a, 0), cols, rank, finite_values(f.a), finite_values(f.b)};
    }
    Index const height = extent(f.full, 0);
    return {height, static_cast<Index>(f.full.elements()) / height, 0, finite_values(f.full), {}};
  };
  Factor a = factor(form.first);
  Factor b = factor(form.second);
  if (a.rank > 0 && b.rank > 0 && a.rank != b.rank) {  // the net has one rank a product
    a.left = product_of(a.left, a.right, static_cast<std::size_t>(a.rank));
    a.right.clear();
    a.rank = 0;
  }
  Index const rank = a.rank > 0 ? a.rank : b.rank;
  NetAdapterFactors out;
  out.adapter = Kronecker{.a_rows = a.rows,
                          .a_cols = a.cols,
                          .rank = rank,
                          .a_low_rank = a.rank > 0,
                          .b_low_rank = b.rank > 0,
                          .alpha = rank > 0 ? scale * static_cast<double>(rank) : scale};
  auto const keep = [&](std::string const& name, Factor& f) {
    bool const low_rank = f.rank > 0;
    out.values.emplace_back(low_rank ? name + "_a" : name, std::move(f.left));
    if (low_rank) {
      out.values.emplace_back(name + "_b", std::move(f.right));
    }
  };
  keep("lokr_w1", a);
  keep("lokr_w2", b);
  return out;
}

}  // namespace detail

/// A module with a strength as factors of a net's map; nothing for a form that a net does not
/// compute with: Tucker's, embeddings, dense changes, DoRA, products with permuted rows.
inline std::optional<NetAdapterFactors> net_adapter_factors(io::AdapterModule const& module,
                                                            double strength) {
  if (module.dora) {
    return std::nullopt;
  }
  double const scale = module.scale * strength;
  if (auto const* const low_rank = std::get_if<io::LowRankForm>(&module.form)) {
    return detail::low_rank_factors(*low_rank, scale);
  }
  if (auto const* const kronecker = std::get_if<io::KroneckerForm>(&module.form)) {
    return detail::kronecker_factors(*kronecker, scale);
  }
  if (auto const* const gamma = std::get_if<io::ScaleForm>(&module.form)) {
    NetAdapterFactors out;
    out.adapter = ScaleBias{};
    auto values = detail::finite_values(gamma->gamma);
    for (double& value : values) {
      value = 1 + strength * (value - 1);
    }
    out.values = {{"gamma", std::move(values)}};
    return out;
  }
  return std::nullopt;
}

}  // namespace dashi::checkpoints

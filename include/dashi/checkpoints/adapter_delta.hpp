// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_matrix.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/adapters/adapter_form.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

/// The change that the form of a module makes to its weight, seen as [rows, cols] with cols the
/// product of all extents but the first: scale * strength * form. The dense change is never in
/// memory; rows are made in double, each element by one sum in a fixed order, so that an element
/// does not depend on which rows are asked for. Thread-safe.
///
/// Of ScaleForm and NoForm, which depend on the weight or change nothing, it has no rows: see
/// AdapterChange.
class AdapterDelta {
public:
  AdapterDelta() = default;
  /// Reads the factors. Throws IoError; FormatError for NaN, infinity and integers in them;
  /// PreconditionError for factors whose shapes disagree, which no reader lets through.
  explicit AdapterDelta(io::AdapterModule const& module, double strength = 1) {
    double const factor = module.scale * strength;
    if (auto const* const low_rank = std::get_if<io::LowRankForm>(&module.form)) {
      make(*low_rank, factor);
    } else if (auto const* const kronecker = std::get_if<io::KroneckerForm>(&module.form)) {
      make(*kronecker, factor);
    } else if (auto const* const dense = std::get_if<io::DenseForm>(&module.form)) {
      auto const& shape = dense->difference.shape();
      matrix_ = AdapterMatrix::stored(dense->difference, shape.empty() ? 1 : shape.front());
      factor_ = factor;
      rows_ = matrix_.rows();
      cols_ = matrix_.cols();
    }
  }

  bool empty() const noexcept { return rows_ == 0; }
  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  /// Bytes that the factors take.
  std::uint64_t memory() const noexcept {
    return matrix_.memory() + first_.size() * sizeof(double);
  }

  /// out += rows [first, first + count) of the change; out [count, cols].
  void add(std::size_t first, std::size_t count, std::span<double> out) const {
    DASHI_EXPECTS(first <= rows_ && count <= rows_ - first && out.size() == count * cols_,
                  "rows of the change, and room for them");
    if (!first_.empty()) {
      add_kronecker(first, count, out.data());
    } else {
      matrix_.add(first, count, factor_, out.data());
    }
  }

private:
  static std::size_t extent(io::AdapterTensor const& tensor, std::size_t at) {
    DASHI_EXPECTS(at < tensor.shape().size(), "a factor of an adapter has too few dimensions");
    return static_cast<std::size_t>(tensor.shape()[at]);
  }

  void make(io::LowRankForm const& form, double factor) {
    std::size_t const rank = extent(form.down, 0);
    std::vector<double> down = detail::finite_values(form.down);
    std::vector<double> up = detail::finite_values(form.up);
    if (form.embedding) {
      matrix_ =
          AdapterMatrix::product(detail::transposed(down, rank, rank == 0 ? 0 : down.size() / rank),
                                 detail::transposed(up, extent(form.up, 0), rank), rank);
    } else {
      if (!form.mid.empty()) {
        down = with_mid(detail::finite_values(form.mid), down, rank, extent(form.mid, 1));
      }
      DASHI_EXPECTS(extent(form.up, 1) == rank || !form.mid.empty(), "factors of one rank");
      std::size_t const inner = extent(form.up, 1);
      matrix_ = AdapterMatrix::product(std::move(up), std::move(down), inner);
    }
    matrix_.scale_product(factor);
    rows_ = matrix_.rows();
    cols_ = matrix_.cols();
  }

  /// mid [o, r, taps] with down [r, in]: [o, in, taps].
  static std::vector<double> with_mid(std::vector<double> const& mid,
                                      std::vector<double> const& down, std::size_t rank,
                                      std::size_t mid_rank) {
    DASHI_EXPECTS(rank == mid_rank && rank > 0, "factors of one rank");
    std::size_t const in = down.size() / rank;
    return contracted(mid, down, rank, in);
  }

  /// out[o, c, t] = sum over j of core[o, j, t] b[j, c].
  static std::vector<double> contracted(std::vector<double> const& core,
                                        std::vector<double> const& b, std::size_t rank,
                                        std::size_t channels, std::size_t outer = 0) {
    outer = outer == 0 ? rank : outer;
    std::size_t const taps = core.size() / (outer * rank);
    std::vector<double> out(outer * channels * taps);
    for (std::size_t o = 0; o < outer; ++o) {
      for (std::size_t j = 0; j < rank; ++j) {
        for (std::size_t c = 0; c < channels; ++c) {
          for (std::size_t t = 0; t < taps; ++t) {
            out[(o * channels + c) * taps + t] +=
                core[(o * rank + j) * taps + t] * b[j * channels + c];
          }
        }
      }
    }
    return out;
  }

  static AdapterMatrix second_factor(io::KroneckerFactorForm const& form) {
    if (!form.low_rank()) {
      return AdapterMatrix::stored(form.full, extent(form.full, 0));
    }
    std::vector<double> a = detail::finite_values(form.a);
    std::vector<double> b = detail::finite_values(form.b);
    if (form.t2.empty()) {
      return AdapterMatrix::product(std::move(a), std::move(b), extent(form.a, 1));
    }
    std::size_t const rank = extent(form.t2, 0);  // a [rank, p], b [rank, q]
    std::size_t const inner = extent(form.t2, 1);
    std::size_t const channels = extent(form.b, 1);
    std::vector<double> const core = detail::finite_values(form.t2);
    return AdapterMatrix::product(detail::transposed(a, rank, extent(form.a, 1)),
                                  contracted(core, b, inner, channels, rank), rank);
  }

  void make(io::KroneckerForm const& form, double factor) {
    io::KroneckerFactorForm const& one = form.first;
    std::size_t rows = 0;
    if (one.low_rank()) {
      rows = extent(one.a, 0);
      first_ = detail::product_of(detail::finite_values(one.a), detail::finite_values(one.b),
                                  extent(one.a, 1));
    } else {
      rows = extent(one.full, 0);
      first_ = detail::finite_values(one.full);
    }
    std::size_t cols = first_.size() / rows;
    interleaved_ = form.interleaved;
    if (interleaved_) {  // stored transposed
      first_ = detail::transposed(first_, rows, cols);
      std::swap(rows, cols);
    }
    for (double& value : first_) {
      value *= factor;
    }
    first_rows_ = rows;
    first_cols_ = cols;
    matrix_ = second_factor(form.second);
    rows_ = rows * matrix_.rows();
    cols_ = cols * matrix_.cols();
  }

  /// Row r is row p of the first factor with row k of the second.
  void add_kronecker(std::size_t first, std::size_t count, double* out) const {
    std::size_t const width = matrix_.cols();
    std::vector<double> line(width);
    for (std::size_t r = first; r < first + count; ++r, out += cols_) {
      std::size_t const k = interleaved_ ? r / first_rows_ : r % matrix_.rows();
      std::size_t const p = interleaved_ ? r % first_rows_ : r / matrix_.rows();
      matrix_.read(k, 1, line.data());
      for (std::size_t j = 0; j < first_cols_; ++j) {
        double const factor = first_[p * first_cols_ + j];
        double* const to = out + j * width;
        for (std::size_t l = 0; l < width; ++l) {
          to[l] += factor * line[l];
        }
      }
    }
  }

  AdapterMatrix matrix_;       // the whole change, or the second factor
  std::vector<double> first_;  // the first factor times the scale; empty without one
  std::size_t first_rows_ = 0, first_cols_ = 0;
  std::size_t rows_ = 0, cols_ = 0;
  double factor_ = 1;
  bool interleaved_ = false;
};

}  // namespace dashi::checkpoints

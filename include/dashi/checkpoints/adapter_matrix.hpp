// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_product.hpp>
#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/adapters/adapter_tensor.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

[[noreturn]] inline void refuse_adapter_tensor(io::AdapterTensor const& tensor, std::string code,
                                               std::string found, std::string expected) {
  throw FormatError({.code = std::move(code),
                     .file = {},
                     .place = "adapter tensor " + io::in_quotes(tensor.stored_name()),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "the adapter is damaged; get or train it again"});
}

/// Its bytes. FormatError for integers, NaN and infinity.
inline std::vector<std::byte> finite_bytes(io::AdapterTensor const& tensor) {
  if (!io::is_convertible(tensor.dtype())) {
    refuse_adapter_tensor(tensor, "not-convertible", "dtype " + std::string(name(tensor.dtype())),
                          "one of " + io::convertible_names());
  }
  std::vector<std::byte> bytes = tensor.bytes();
  io::with_float_type(tensor.dtype(), [&]<class T>() {
    T const* const values = reinterpret_cast<T const*>(bytes.data());
    for (std::size_t i = 0; i < tensor.elements(); ++i) {
      if (!is_finite(values[i])) {
        refuse_adapter_tensor(tensor, "nonfinite",
                              std::string(is_nan(values[i]) ? "NaN" : "infinity") + " at element " +
                                  std::to_string(i),
                              "finite numbers");
      }
    }
  });
  return bytes;
}

/// Its elements as double, exactly. FormatError as finite_bytes().
inline std::vector<double> finite_values(io::AdapterTensor const& tensor) {
  std::vector<std::byte> const bytes = finite_bytes(tensor);
  std::vector<double> values(static_cast<std::size_t>(tensor.elements()));
  widen_to_double(tensor.dtype(), bytes.data(), values);
  return values;
}

/// a [rows, rank] times b [rank, cols].
inline std::vector<double> product_of(std::span<double const> a, std::span<double const> b,
                                      std::size_t rank) {
  std::size_t const rows = rank == 0 ? 0 : a.size() / rank;
  std::size_t const cols = rank == 0 ? 0 : b.size() / rank;
  std::vector<double> out(rows * cols);
  add_product(a.data(), rows, rank, b.data(), cols, out.data());
  return out;
}

inline std::vector<double> transposed(std::span<double const> a, std::size_t rows,
                                      std::size_t cols) {
  std::vector<double> out(a.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      out[j * rows + i] = a[i * cols + j];
    }
  }
  return out;
}

}  // namespace detail

/// A matrix of an adapter whose rows are made when they are wanted: stored, in the dtype of its
/// file, or a product of two small ones. Immutable, so thread-safe.
class AdapterMatrix {
public:
  AdapterMatrix() = default;

  /// A stored tensor as `rows` rows. FormatError for integers, NaN and infinity.
  static AdapterMatrix stored(io::AdapterTensor const& tensor, std::uint64_t rows) {
    AdapterMatrix out;
    out.rows_ = static_cast<std::size_t>(rows);
    out.cols_ = rows == 0 ? 0 : static_cast<std::size_t>(tensor.elements()) / out.rows_;
    DASHI_EXPECTS(out.rows_ * out.cols_ == tensor.elements(), "a tensor of whole rows");
    out.dtype_ = tensor.dtype();
    out.bytes_ = detail::finite_bytes(tensor);
    return out;
  }

  /// left [rows, rank] right [rank, cols].
  static AdapterMatrix product(std::vector<double> left, std::vector<double> right,
                               std::size_t rank) {
    DASHI_EXPECTS(rank > 0 && left.size() % rank == 0 && right.size() % rank == 0,
                  "factors of one rank");
    AdapterMatrix out;
    out.rank_ = rank;
    out.rows_ = left.size() / rank;
    out.cols_ = right.size() / rank;
    out.left_ = std::move(left);
    out.right_ = std::move(right);
    return out;
  }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  std::uint64_t memory() const noexcept {
    return bytes_.size() + (left_.size() + right_.size()) * sizeof(double);
  }

  /// Multiplies the whole by a number, for products only: then adding costs nothing more.
  void scale_product(double factor) {
    for (double& value : left_) {
      value *= factor;
    }
  }
  bool is_product() const noexcept { return rank_ > 0; }

  /// out += factor * rows [first, first + count); a product takes no factor but one.
  void add(std::size_t first, std::size_t count, double factor, double* out) const {
    if (is_product()) {
      DASHI_EXPECTS(factor == 1, "scale_product() is the way to scale a product");
      detail::add_product(left_.data() + first * rank_, count, rank_, right_.data(), cols_, out);
      return;
    }
    io::with_float_type(dtype_, [&]<class T>() {
      T const* const values = reinterpret_cast<T const*>(bytes_.data()) + first * cols_;
      for (std::size_t i = 0; i < count * cols_; ++i) {
        out[i] += factor * convert<double>(values[i]);
      }
    });
  }

  /// out = rows [first, first + count).
  void read(std::size_t first, std::size_t count, double* out) const {
    if (is_product()) {
      std::fill(out, out + count * cols_, 0.0);
      add(first, count, 1, out);
    } else {
      std::size_t const width = static_cast<std::size_t>(io::bits(dtype_)) / 8;
      widen_to_double(dtype_, bytes_.data() + first * cols_ * width, {out, count * cols_});
    }
  }

private:
  std::size_t rows_ = 0, cols_ = 0, rank_ = 0;
  io::Dtype dtype_ = io::Dtype::f64;
  std::vector<std::byte> bytes_;
  std::vector<double> left_, right_;
};

}  // namespace dashi::checkpoints

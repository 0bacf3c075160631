// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace dashi::test {

/// A matrix in double, C order.
struct Dense {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<double> values;

  Dense(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  Dense(std::size_t r, std::size_t c, std::vector<double> v)
      : rows(r), columns(c), values(std::move(v)) {}
  double& at(std::size_t i, std::size_t j) { return values[i * columns + j]; }
  double at(std::size_t i, std::size_t j) const { return values[i * columns + j]; }
};

/// The tensor as a matrix: the first extent by all others.
inline Dense dense(io::AdapterTensor const& tensor) {
  auto const rows = static_cast<std::size_t>(tensor.shape().front());
  return {rows, static_cast<std::size_t>(tensor.elements()) / rows, tensor.values()};
}

inline Dense product(Dense const& a, Dense const& b) {
  Dense out(a.rows, b.columns);
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t k = 0; k < a.columns; ++k) {
      for (std::size_t j = 0; j < b.columns; ++j) {
        out.at(i, j) += a.at(i, k) * b.at(k, j);
      }
    }
  }
  return out;
}

inline Dense transposed(Dense const& a) {
  Dense out(a.columns, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < a.columns; ++j) {
      out.at(j, i) = a.at(i, j);
    }
  }
  return out;
}

/// core [r, s, kernel], left [rows, r], right [s, columns]: [rows, columns * kernel].
inline Dense tucker(io::AdapterTensor const& core, Dense const& left, Dense const& right) {
  auto const r = static_cast<std::size_t>(core.shape()[0]);
  auto const s = static_cast<std::size_t>(core.shape()[1]);
  std::size_t const kernel = static_cast<std::size_t>(core.elements()) / (r * s);
  std::vector<double> const c = core.values();
  Dense out(left.rows, right.columns * kernel);
  for (std::size_t i = 0; i < left.rows; ++i) {
    for (std::size_t j = 0; j < right.columns; ++j) {
      for (std::size_t a = 0; a < r; ++a) {
        for (std::size_t b = 0; b < s; ++b) {
          for (std::size_t k = 0; k < kernel; ++k) {
            out.at(i, j * kernel + k) +=
                c[(a * s + b) * kernel + k] * left.at(i, a) * right.at(b, j);
          }
        }
      }
    }
  }
  return out;
}

/// scale * form, written out from the definitions; [first extent, the others] of the weight.
inline Dense dense_change(io::AdapterModule const& module,
                          std::vector<std::uint64_t> const& weight) {
  Dense out(static_cast<std::size_t>(weight.at(0)), 1);
  if (auto const* const low = std::get_if<io::LowRankForm>(&module.form)) {
    if (low->embedding) {
      out = transposed(product(dense(low->up), dense(low->down)));
    } else if (!low->mid.empty()) {
      out = tucker(low->mid, dense(low->up), dense(low->down));
    } else {
      out = product(dense(low->up), dense(low->down));
    }
  } else if (auto const* const kron = std::get_if<io::KroneckerForm>(&module.form)) {
    Dense const first = kron->first.low_rank() ? product(dense(kron->first.a), dense(kron->first.b))
                        : kron->interleaved    ? transposed(dense(kron->first.full))
                                               : dense(kron->first.full);
    auto const& s = kron->second;
    Dense const second = !s.low_rank()   ? dense(s.full)
                         : !s.t2.empty() ? tucker(s.t2, transposed(dense(s.a)), dense(s.b))
                                         : product(dense(s.a), dense(s.b));
    out = Dense(first.rows * second.rows, first.columns * second.columns);
    for (std::size_t p = 0; p < first.rows; ++p) {
      for (std::size_t q = 0; q < first.columns; ++q) {
        for (std::size_t k = 0; k < second.rows; ++k) {
          for (std::size_t l = 0; l < second.columns; ++l) {
            std::size_t const row = kron->interleaved ? k * first.rows + p : p * second.rows + k;
            out.at(row, q * second.columns + l) = first.at(p, q) * second.at(k, l);
          }
        }
      }
    }
  } else if (auto const* const full = std::get_if<io::DenseForm>(&module.form)) {
    out = dense(full->difference);
  }
  for (double& value : out.values) {
    value *= module.scale;
  }
  return out;
}

/// The change with DoRA: magnitude * (W + change) / norm - W. `epsilon` is added to the norm.
inline Dense dense_change_with_dora(io::AdapterModule const& module, Dense const& weight,
                                    std::vector<std::uint64_t> const& shape, double epsilon) {
  Dense const change = dense_change(module, shape);
  std::vector<double> const magnitude = module.dora->magnitude.values();
  std::size_t const kernel = weight.columns / static_cast<std::size_t>(shape.at(1));
  auto const group = [&](std::size_t i, std::size_t j) {
    return module.dora->per_input ? j / kernel : i;
  };
  std::vector<double> squares(magnitude.size());
  for (std::size_t i = 0; i < weight.rows; ++i) {
    for (std::size_t j = 0; j < weight.columns; ++j) {
      double const value = weight.at(i, j) + change.at(i, j);
      squares.at(group(i, j)) += value * value;
    }
  }
  Dense out(weight.rows, weight.columns);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    for (std::size_t j = 0; j < weight.columns; ++j) {
      std::size_t const g = group(i, j);
      out.at(i, j) = magnitude.at(g) * (weight.at(i, j) + change.at(i, j)) /
                         (std::sqrt(squares[g]) + epsilon) -
                     weight.at(i, j);
    }
  }
  return out;
}

}  // namespace dashi::test

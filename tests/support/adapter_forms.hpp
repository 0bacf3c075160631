// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_file.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::test {

using Values = std::vector<double>;
using Shape = std::vector<std::uint64_t>;

inline Values random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, 0.5);
  Values out(count);
  for (double& value : out) {
    value = normal(random);
  }
  return out;
}

inline std::size_t product(Shape const& shape) {
  std::size_t out = 1;
  for (std::uint64_t const extent : shape) {
    out *= static_cast<std::size_t>(extent);
  }
  return out;
}

inline io::AdapterTensor adapter_tensor(Shape shape, Values const& values) {
  auto const bytes = std::as_bytes(std::span(values));
  return {io::Dtype::f64, std::move(shape), {bytes.begin(), bytes.end()}};
}
inline io::AdapterTensor random_tensor(Shape const& shape, unsigned seed) {
  return adapter_tensor(shape, random_values(product(shape), seed));
}

/// What a module does at run time to the output of its layer, by the plainest loops: without
/// forming the change of the weight. `x`: an input vector, of a convolution the patch under the
/// filter [in, taps], of an embedding one-hot.
struct RunTime {
  static Values times(Values const& matrix, Values const& x) {
    Values y(matrix.size() / x.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      for (std::size_t j = 0; j < x.size(); ++j) {
        y[i] += matrix[i * x.size() + j] * x[j];
      }
    }
    return y;
  }
  /// Channels of x [channels, taps] mixed by m [rows, channels], at every tap.
  static Values mix(Values const& m, std::size_t channels, Values const& x) {
    std::size_t const taps = x.size() / channels;
    std::size_t const rows = m.size() / channels;
    Values y(rows * taps);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t t = 0; t < taps; ++t) {
          y[r * taps + t] += m[r * channels + c] * x[c * taps + t];
        }
      }
    }
    return y;
  }
  static Values turned(Values const& m, std::size_t rows) {
    std::size_t const cols = m.size() / rows;
    Values out(m.size());
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        out[j * rows + i] = m[i * cols + j];
      }
    }
    return out;
  }
  static std::size_t at(io::AdapterTensor const& tensor, std::size_t dimension) {
    return static_cast<std::size_t>(tensor.shape().at(dimension));
  }

  static Values apply(io::LowRankForm const& form, Values const& x) {
    if (form.embedding) {  // the row of the table that x chooses
      return times(turned(form.down.values(), at(form.down, 0)),
                   times(turned(form.up.values(), at(form.up, 0)), x));
    }
    Values inner;
    if (form.mid.empty()) {
      inner = times(form.down.values(), x);
    } else {
      inner = times(form.mid.values(), mix(form.down.values(), at(form.down, 1), x));
    }
    return times(form.up.values(), inner);
  }

  static Values apply(io::KroneckerFactorForm const& form, Values const& x) {
    if (!form.low_rank()) {
      return times(form.full.values(), x);
    }
    return times(form.a.values(), times(form.b.values(), x));
  }
  static Values apply_second(io::KroneckerFactorForm const& form, Values const& x) {
    if (form.t2.empty()) {
      return apply(form, x);
    }
    Values const mixed = mix(form.b.values(), at(form.b, 1), x);  // [r, taps]
    Values const inner = times(form.t2.values(), mixed);
    return times(turned(form.a.values(), at(form.a, 0)), inner);
  }

  static Values apply(io::KroneckerForm const& form, Values const& x) {
    std::size_t const blocks = form.first.low_rank() ? at(form.first.b, 1)
                               : form.interleaved    ? at(form.first.full, 0)
                                                     : at(form.first.full, 1);
    std::size_t const width = x.size() / blocks;
    std::vector<Values> lines;  // second factor times every block of x
    for (std::size_t j = 0; j < blocks; ++j) {
      lines.push_back(apply_second(
          form.second, Values(x.begin() + static_cast<std::ptrdiff_t>(j * width),
                              x.begin() + static_cast<std::ptrdiff_t>((j + 1) * width))));
    }
    std::size_t const rows2 = lines.front().size();
    std::vector<Values> results;  // [rows2][rows1]
    for (std::size_t k = 0; k < rows2; ++k) {
      Values column(blocks);
      for (std::size_t j = 0; j < blocks; ++j) {
        column[j] = lines[j][k];
      }
      results.push_back(form.interleaved ? times(turned(form.first.full.values(), blocks), column)
                                         : apply(form.first, column));
    }
    std::size_t const rows1 = results.front().size();
    Values y(rows1 * rows2);
    for (std::size_t k = 0; k < rows2; ++k) {
      for (std::size_t p = 0; p < rows1; ++p) {
        y[form.interleaved ? k * rows1 + p : p * rows2 + k] = results[k][p];
      }
    }
    return y;
  }

  /// scale times the form.
  static Values change(io::AdapterModule const& module, Values const& x, std::size_t rows) {
    Values y(rows);
    if (auto const* const low_rank = std::get_if<io::LowRankForm>(&module.form)) {
      y = apply(*low_rank, x);
    } else if (auto const* const kronecker = std::get_if<io::KroneckerForm>(&module.form)) {
      y = apply(*kronecker, x);
    } else if (auto const* const dense = std::get_if<io::DenseForm>(&module.form)) {
      y = times(dense->difference.values(), x);
    }
    for (double& value : y) {
      value *= module.scale;
    }
    return y;
  }

  /// Output of the layer with the module at a strength: y + s (y1 - y).
  static Values output(io::AdapterModule const& module, double strength, Values const& weight,
                       Values const& bias, Values const& x) {
    Values const base = with_bias(times(weight, x), bias);
    std::size_t const rows = base.size();
    Values y = times(module.replacement.empty() ? weight : module.replacement.values(), x);
    Values const added = change(module, x, rows);
    for (std::size_t i = 0; i < rows; ++i) {
      y[i] += added[i];
    }
    if (module.dora) {
      y = with_magnitude(module, weight, x, y);
    }
    Values trained = bias;
    if (!module.bias.empty()) {
      Values const given = module.bias.values();
      for (std::size_t i = 0; i < rows; ++i) {
        trained[i] = module.bias_is_difference ? bias[i] + given[i] : given[i];
      }
    }
    y = with_bias(y, trained);
    if (auto const* const scale = std::get_if<io::ScaleForm>(&module.form)) {
      Values const gamma = scale->gamma.values();
      for (std::size_t i = 0; i < rows; ++i) {
        y[i] *= gamma[i];
      }
    }
    for (std::size_t i = 0; i < rows; ++i) {
      y[i] = base[i] + strength * (y[i] - base[i]);
    }
    return y;
  }

private:
  static Values with_bias(Values y, Values const& bias) {
    for (std::size_t i = 0; i < bias.size(); ++i) {
      y[i] += bias[i];
    }
    return y;
  }

  /// The adapted weight, column by column, for its norms.
  static Values with_magnitude(io::AdapterModule const& module, Values const& weight,
                               Values const& x, Values y) {
    std::size_t const cols = x.size();
    std::size_t const rows = y.size();
    Values const magnitude = module.dora->magnitude.values();
    std::size_t const taps = module.dora->per_input ? cols / magnitude.size() : 1;
    Values squares(magnitude.size());
    std::vector<Values> columns;
    for (std::size_t j = 0; j < cols; ++j) {
      Values unit(cols);
      unit[j] = 1;
      Values column = change(module, unit, rows);
      for (std::size_t i = 0; i < rows; ++i) {
        column[i] += weight[i * cols + j];
        squares[module.dora->per_input ? j / taps : i] += column[i] * column[i];
      }
      columns.push_back(std::move(column));
    }
    if (!module.dora->per_input) {
      for (std::size_t i = 0; i < rows; ++i) {
        y[i] *= magnitude[i] / std::sqrt(squares[i]);
      }
      return y;
    }
    y.assign(rows, 0);
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t i = 0; i < rows; ++i) {
        y[i] += columns[j][i] * x[j] * magnitude[j / taps] / std::sqrt(squares[j / taps]);
      }
    }
    return y;
  }
};

}  // namespace dashi::test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "shared_data.hpp"

#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace dashi::test {

/// The arrays of one file of golden numbers, widened to double; skips the running test when the
/// file is not there.
class GoldenArrays {
public:
  /// `below` is relative to the folder of golden data.
  explicit GoldenArrays(std::filesystem::path const& below)
      : file_(shared_data("golden" / below)) {}

  std::vector<double> operator()(std::string const& name) const {
    auto const* const info = file_.header().find(name);
    INFO("array " << name);
    REQUIRE(info != nullptr);
    switch (info->dtype) {
      case io::Dtype::f64: return widened<double>(*info);
      case io::Dtype::i64: return widened<std::int64_t>(*info);
      default: REQUIRE(info->dtype == io::Dtype::f32); return widened<float>(*info);
    }
  }

  /// Whole numbers.
  std::vector<std::int64_t> integers(std::string const& name) const {
    auto const values = (*this)(name);
    return {values.begin(), values.end()};
  }

private:
  template <class T>
  std::vector<double> widened(io::TensorInfo const& info) const {
    std::vector<T> values(info.elements());
    file_.read(info, 0, std::as_writable_bytes(std::span(values)));
    return {values.begin(), values.end()};
  }

  io::SafetensorsFile file_;
};

/// Largest difference over the largest expected magnitude; infinite for other sizes and for NaN.
inline double difference_to_largest(std::span<double const> actual,
                                    std::span<double const> expected) {
  constexpr double never = std::numeric_limits<double>::infinity();
  double largest = 0;
  double difference = actual.size() == expected.size() ? 0 : never;
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    double const d = std::abs(actual[i] - expected[i]);
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::isnan(d) ? never : std::max(difference, d);
  }
  return difference == 0 ? 0 : difference / largest;
}

/// Largest difference of an element in units of that element.
inline double difference_each(std::span<double const> actual, std::span<double const> expected) {
  double largest = actual.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    largest =
        std::max(largest, difference_to_largest(actual.subspan(i, 1), expected.subspan(i, 1)));
  }
  return largest;
}

}  // namespace dashi::test

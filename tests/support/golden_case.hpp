// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <memory>
#include <shared_data.hpp>
#include <span>
#include <string>
#include <vector>

namespace dashi::test {

/// A file of tensors, read as double.
class TensorFile {
public:
  explicit TensorFile(std::filesystem::path const& path) : file_(path) {}

  bool has(std::string const& name) const { return file_.header().find(name) != nullptr; }
  io::SafetensorsHeader const& header() const { return file_.header(); }

  std::vector<double> read(std::string const& name) const {
    INFO(name);
    auto const* const info = file_.header().find(name);
    REQUIRE(info != nullptr);
    switch (info->dtype) {
      case io::Dtype::f64: return widened<double>(*info);
      case io::Dtype::i64: return widened<std::int64_t>(*info);
      case io::Dtype::u8: return widened<std::uint8_t>(*info);
      default: REQUIRE(info->dtype == io::Dtype::f32); return widened<float>(*info);
    }
  }
  double scalar(std::string const& name) const { return read(name).at(0); }

private:
  template <class T>
  std::vector<double> widened(io::TensorInfo const& info) const {
    std::vector<T> values(info.elements());
    file_.read(info, 0, std::as_writable_bytes(std::span(values)));
    return {values.begin(), values.end()};
  }

  io::SafetensorsFile file_;
};

/// Largest |a - b| over the largest |b|, or over `least` where that is more.
inline double relative_difference(std::vector<double> const& a, std::vector<double> const& b,
                                  double least = 0) {
  REQUIRE(a.size() == b.size());
  double difference = 0;
  double largest = least;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::isnan(a[i]) ? INFINITY : std::fmax(difference, std::fabs(a[i] - b[i]));
    largest = std::fmax(largest, std::fabs(b[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

}  // namespace dashi::test

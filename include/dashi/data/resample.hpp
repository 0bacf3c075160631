// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/raster.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::data {

/// Kernels of resample().
enum class Filter : unsigned char {
  box,       ///< 1 on (-1/2, 1/2]
  triangle,  ///< 1 - |x| on (-1, 1)
  cubic,     ///< R. Keys 1981 with a = -1/2, on (-2, 2)
};

namespace detail {

inline double filter_radius(Filter filter) {
  return filter == Filter::box ? 0.5 : filter == Filter::triangle ? 1.0 : 2.0;
}

inline double filter_value(Filter filter, double x) {
  double const d = std::abs(x);
  switch (filter) {
    case Filter::box: return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case Filter::triangle: return d < 1.0 ? 1.0 - d : 0.0;
    default:
      return d < 1.0   ? (1.5 * d - 2.5) * d * d + 1.0
             : d < 2.0 ? ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
                       : 0.0;
  }
}

/// Bits behind the binary point of a weight: an 8-bit value times a weight below 2, and their sum,
/// stay below 2^31.
inline constexpr int weight_bits = 22;

/// One output pixel of one axis: Σ_k weights[k] in[first + k] / 2^weight_bits.
struct Taps {
  std::size_t first = 0;
  std::vector<std::int32_t> weights;
};

inline std::vector<Taps> axis_taps(std::size_t in, std::size_t out, Filter filter) {
  double const step = static_cast<double>(in) / static_cast<double>(out);
  double const stretch = std::max(step, 1.0);
  double const radius = filter_radius(filter) * stretch;
  std::vector<Taps> taps(out);
  std::vector<double> weights;
  for (std::size_t i = 0; i < out; ++i) {
    double const centre = (static_cast<double>(i) + 0.5) * step;
    auto const first = static_cast<std::size_t>(std::max(centre - radius + 0.5, 0.0));
    auto const last = std::min(static_cast<std::size_t>(centre + radius + 0.5), in);
    weights.clear();
    double sum = 0;
    for (std::size_t k = first; k < last; ++k) {
      weights.push_back(filter_value(filter, (static_cast<double>(k) - centre + 0.5) / stretch));
      sum += weights.back();
    }
    taps[i].first = first;
    for (double const weight : weights) {
      double const fixed = (sum != 0 ? weight / sum : weight) * double{1 << weight_bits};
      taps[i].weights.push_back(static_cast<std::int32_t>(fixed + (fixed < 0 ? -0.5 : 0.5)));
    }
  }
  return taps;
}

/// Rounds the sums of one output: `from` has `lanes` values an input pixel of the axis.
inline void apply_taps(Taps const& taps, std::uint8_t const* from, std::size_t lanes,
                       std::uint8_t* to) {
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    std::int32_t sum = 1 << (weight_bits - 1);
    std::uint8_t const* value = from + taps.first * lanes + lane;
    for (std::int32_t const weight : taps.weights) {
      sum += weight * *value;
      value += lanes;
    }
    to[lane] = static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255));
  }
}

}  // namespace detail

/// The image as width x height pixels, by a separable filter that widens when it shrinks: first
/// along rows, then along columns, 8 bits in between, weights with 22 bits, rounded to nearest. An
/// axis that keeps its extent is left alone. Bit for bit what Pillow 13 makes of these filters.
inline io::Raster resample(io::Raster const& image, std::size_t width, std::size_t height,
                           Filter filter) {
  DASHI_EXPECTS(width > 0 && height > 0 && image.width > 0 && image.height > 0,
                "images need at least one pixel");
  std::size_t const channels = image.channels;
  io::Raster wide{width, image.height, channels, {}};
  if (width == image.width) {
    wide = image;
  } else {
    auto const taps = detail::axis_taps(image.width, width, filter);
    wide.pixels.resize(width * image.height * channels);
    for (std::size_t y = 0; y < image.height; ++y) {
      for (std::size_t x = 0; x < width; ++x) {
        detail::apply_taps(taps[x], image.pixels.data() + y * image.width * channels, channels,
                           wide.pixels.data() + (y * width + x) * channels);
      }
    }
  }
  if (height == image.height) {
    return wide;
  }
  auto const taps = detail::axis_taps(image.height, height, filter);
  io::Raster result{width, height, channels, {}};
  result.pixels.resize(width * height * channels);
  for (std::size_t y = 0; y < height; ++y) {
    detail::apply_taps(taps[y], wide.pixels.data(), width * channels,
                       result.pixels.data() + y * width * channels);
  }
  return result;
}

}  // namespace dashi::data

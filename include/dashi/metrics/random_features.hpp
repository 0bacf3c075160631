// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/metrics/features.hpp>
#include <dashi/metrics/image_batch.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::metrics {

/// The random network of random_features().
struct RandomFeatureOptions {
  std::vector<Index> widths{16, 32, 64};  ///< channels of each layer
  Index pool = 2;                         ///< the last layer is averaged over pool x pool cells
  std::uint64_t seed = 0;
};

namespace detail {

/// Purpose of the weights' random numbers (RandomPlace).
inline constexpr std::uint16_t random_feature_purpose = 0x4d46;

/// One layer of one image row: 3 x 3, stride 2, the edge repeated outside, then
/// (max(0, z) - m) / s with the mean m and the deviation s of max(0, z) for a standard normal z.
struct RandomLayer {
  double const* in;       ///< [images, height, width, channels]
  double const* weights;  ///< [3, 3, channels, width_out]
  double* out;            ///< [images, out_height, out_width, width_out]
  Index height, width, channels, out_height, out_width, out_channels;

  KOKKOS_INLINE_FUNCTION void operator()(Index task) const {
    constexpr double mean = 0.3989422804014327;       // 1 / sqrt(2 pi)
    constexpr double deviation = 0.5838193701035489;  // sqrt(1/2 - 1/(2 pi))
    Index const image = task / out_height;
    Index const y = task - image * out_height;
    for (Index x = 0; x < out_width; ++x) {
      double* const sums = out + (task * out_width + x) * out_channels;
      for (Index o = 0; o < out_channels; ++o) {
        sums[o] = 0;
      }
      for (Index tap = 0; tap < 9; ++tap) {
        Index const row = clamped(2 * y + tap / 3 - 1, height);
        Index const column = clamped(2 * x + tap % 3 - 1, width);
        double const* const pixel = in + ((image * height + row) * width + column) * channels;
        for (Index c = 0; c < channels; ++c) {
          double const* const weight = weights + (tap * channels + c) * out_channels;
          for (Index o = 0; o < out_channels; ++o) {
            sums[o] += pixel[c] * weight[o];
          }
        }
      }
      for (Index o = 0; o < out_channels; ++o) {
        sums[o] = ((sums[o] > 0 ? sums[o] : 0.0) - mean) / deviation;
      }
    }
  }

  KOKKOS_INLINE_FUNCTION static Index clamped(Index at, Index extent) {
    return at < 0 ? 0 : at < extent ? at : extent - 1;
  }
};

/// Normal weights of layer `layer` with variance 1 / (9 channels).
inline std::vector<double> layer_weights(RandomFeatureOptions const& options, std::size_t layer,
                                         Index channels) {
  Philox const random(options.seed, {.purpose = random_feature_purpose, .step = layer});
  std::vector<double> weights(static_cast<std::size_t>(9 * channels * options.widths[layer]));
  double const scale = 1 / std::sqrt(9.0 * static_cast<double>(channels));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = scale * random.normal<double>(i);
  }
  return weights;
}

/// Means over pool x pool cells of nearly equal size: out [pool, pool, channels].
inline void pool_cells(double const* image, Index height, Index width, Index channels, Index pool,
                       double* out) {
  Index const rows = std::min(pool, height);
  Index const columns = std::min(pool, width);
  for (Index cell = 0; cell < rows * columns; ++cell) {
    Index const top = cell / columns * height / rows;
    Index const bottom = (cell / columns + 1) * height / rows;
    Index const left = cell % columns * width / columns;
    Index const right = (cell % columns + 1) * width / columns;
    double const share = 1 / static_cast<double>((bottom - top) * (right - left));
    for (Index y = top; y < bottom; ++y) {
      for (Index x = left; x < right; ++x) {
        for (Index c = 0; c < channels; ++c) {
          out[cell * channels + c] += share * image[(y * width + x) * channels + c];
        }
      }
    }
  }
}

}  // namespace detail

/// Features of a fixed random convolutional network: nothing is downloaded, nothing trained, and
/// the same seed is the same network everywhere.
///
/// Layers of 3 x 3 convolutions with stride 2 and normal weights of variance 1 / inputs, each
/// followed by a rectifier that is shifted and scaled to mean 0 and variance 1 for normal inputs;
/// the last one averaged over 2 x 2 cells: 256 numbers an image by default. Random features of this
/// kind order generators much as trained ones do, but their Fréchet distances are numbers of their
/// own: never compare them with published FIDs.
///
/// Runs on the host's threads, in double; the bits do not depend on their number. About 0.6 million
/// multiplications an image of 32 x 32. Throws PreconditionError.
inline Features random_features(ImageBatch const& images,
                                RandomFeatureOptions const& options = {}) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  images.expect_whole();
  DASHI_EXPECTS(!options.widths.empty() && options.pool > 0, "a network needs layers and cells");
  for (Index const width : options.widths) {
    DASHI_EXPECTS(width > 0 && width <= 4096, "a layer has 1 to 4096 channels");
  }
  std::vector<std::vector<double>> weights;
  Index height = images.height, width = images.width, channels = images.channels;
  for (std::size_t layer = 0; layer < options.widths.size(); ++layer) {
    weights.push_back(detail::layer_weights(options, layer, channels));
    channels = options.widths[layer];
    height = (height + 1) / 2;
    width = (width + 1) / 2;
  }
  Features features(images.count,
                    std::min(options.pool, height) * std::min(options.pool, width) * channels);
  Index const plane = images.height * images.width;
  constexpr Index batch = 16;
  for (Index first = 0; first < images.count; first += batch) {
    Index const count = std::min(batch, images.count - first);
    std::vector<double> values(static_cast<std::size_t>(count * plane * images.channels));
    for (Index e = 0; e < static_cast<Index>(values.size()); ++e) {
      Index const image = e / (plane * images.channels);
      Index const rest = e - image * plane * images.channels;
      values[static_cast<std::size_t>(e)] =
          static_cast<double>(images.values[static_cast<std::size_t>(
              (first + image) * plane * images.channels + rest % images.channels * plane +
              rest / images.channels)]);
    }
    height = images.height, width = images.width, channels = images.channels;
    for (std::size_t layer = 0; layer < options.widths.size(); ++layer) {
      Index const out_height = (height + 1) / 2;
      Index const out_width = (width + 1) / 2;
      Index const out_channels = options.widths[layer];
      std::vector<double> next(
          static_cast<std::size_t>(count * out_height * out_width * out_channels));
      Kokkos::parallel_for(
          "dashi::metrics::random_features",
          Kokkos::RangePolicy<Host, Kokkos::IndexType<Index>>(0, count * out_height),
          detail::RandomLayer{values.data(), weights[layer].data(), next.data(), height, width,
                              channels, out_height, out_width, out_channels});
      Host().fence("dashi::metrics::random_features");
      values.swap(next);
      height = out_height, width = out_width, channels = out_channels;
    }
    for (Index i = 0; i < count; ++i) {
      detail::pool_cells(values.data() + i * height * width * channels, height, width, channels,
                         options.pool, features.values.data() + (first + i) * features.size);
    }
  }
  return features;
}

}  // namespace dashi::metrics

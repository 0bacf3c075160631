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

/// Extents of one layer: 3 x 3, stride 2, the edge repeated outside, then (max(0, z) - m) / s with
/// the mean m and the deviation s of max(0, z) for a standard normal z.
struct RandomLayer {
  double const* weights;  ///< [3, 3, channels, out_channels]
  Index height, width, channels, out_height, out_width, out_channels;

  KOKKOS_INLINE_FUNCTION static Index clamped(Index at, Index extent) {
    return at < 0 ? 0 : at < extent ? at : extent - 1;
  }

  /// in [height, width, channels], out [out_height, out_width, out_channels].
  KOKKOS_INLINE_FUNCTION void run(double const* in, double* out) const {
    constexpr double mean = 0.3989422804014327;       // 1 / sqrt(2 pi)
    constexpr double deviation = 0.5838193701035489;  // sqrt(1/2 - 1/(2 pi))
    for (Index place = 0; place < out_height * out_width; ++place) {
      Index const y = place / out_width;
      Index const x = place - y * out_width;
      double* const sums = out + place * out_channels;
      for (Index o = 0; o < out_channels; ++o) {
        sums[o] = 0;
      }
      for (Index tap = 0; tap < 9; ++tap) {
        Index const row = clamped(2 * y + tap / 3 - 1, height);
        Index const column = clamped(2 * x + tap % 3 - 1, width);
        double const* const pixel = in + (row * width + column) * channels;
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
};

/// Means over pool x pool cells of nearly equal size: image [height, width, channels], out [pool,
/// pool, channels].
KOKKOS_INLINE_FUNCTION void pool_cells(double const* image, Index height, Index width,
                                       Index channels, Index rows, Index columns, double* out) {
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

/// The whole network for one image.
struct RandomNetwork {
  float const* images;  ///< [count, channels, height, width]
  RandomLayer const* layers;
  Index layer_count;
  Index pool_rows, pool_columns;
  double* scratch;  ///< [tasks, 2, scratch_size]
  Index scratch_size;
  double* features;  ///< [count, feature_size], zero
  Index feature_size;

  KOKKOS_INLINE_FUNCTION void operator()(Index task) const {
    double* in = scratch + 2 * task * scratch_size;
    double* out = in + scratch_size;
    Index const channels = layers[0].channels;
    Index const plane = layers[0].height * layers[0].width;
    float const* const image = images + task * channels * plane;
    for (Index e = 0; e < channels * plane; ++e) {
      in[e] = static_cast<double>(image[e % channels * plane + e / channels]);
    }
    for (Index layer = 0; layer < layer_count; ++layer) {
      layers[layer].run(in, out);
      double* const swapped = in;
      in = out;
      out = swapped;
    }
    RandomLayer const& last = layers[layer_count - 1];
    pool_cells(in, last.out_height, last.out_width, last.out_channels, pool_rows, pool_columns,
               features + task * feature_size);
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
  std::vector<detail::RandomLayer> layers;
  Index height = images.height, width = images.width, channels = images.channels;
  Index scratch_size = height * width * channels;
  for (std::size_t layer = 0; layer < options.widths.size(); ++layer) {
    weights.push_back(detail::layer_weights(options, layer, channels));
    layers.push_back({weights.back().data(), height, width, channels, (height + 1) / 2,
                      (width + 1) / 2, options.widths[layer]});
    height = layers.back().out_height;
    width = layers.back().out_width;
    channels = layers.back().out_channels;
    scratch_size = std::max(scratch_size, height * width * channels);
  }
  Index const pool_rows = std::min(options.pool, height);
  Index const pool_columns = std::min(options.pool, width);
  Features features(images.count, pool_rows * pool_columns * channels);
  constexpr Index scratch_numbers = Index{1} << 23;  // 64 MiB, or what each thread needs
  Index const tasks = std::min(
      images.count, std::max<Index>(scratch_numbers / (2 * scratch_size), Host().concurrency()));
  std::vector<double> scratch(static_cast<std::size_t>(2 * tasks * scratch_size));
  Index const image_size = images.channels * images.height * images.width;
  for (Index first = 0; first < images.count; first += tasks) {
    Kokkos::parallel_for(
        "dashi::metrics::random_features",
        Kokkos::RangePolicy<Host, Kokkos::IndexType<Index>>(0,
                                                            std::min(tasks, images.count - first)),
        detail::RandomNetwork{images.values.data() + first * image_size, layers.data(),
                              static_cast<Index>(layers.size()), pool_rows, pool_columns,
                              scratch.data(), scratch_size,
                              features.values.data() + first * features.size, features.size});
    Host().fence("dashi::metrics::random_features");
  }
  return features;
}

}  // namespace dashi::metrics

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/dialects/dialect_report.hpp>

#include <cstdint>

namespace dashi::io {

/// Whether a DiT has one timestep and class embedder, or every block one of its own, as models
/// that diffusers made and trained have. With per_block the final layer uses that of block 0.
enum class DitEmbedders : std::uint8_t { shared, per_block };

/// Where two programs that run the same weights as a DiT compute differently. Neither names nor
/// shapes tell; dashi keeps the choice in the metadata (dit_metadata.hpp).
struct DitVariant {
  /// The timestep frequencies are exp(-ln(10000) i / time_divisor), i = 0 .. 127.
  std::int64_t time_divisor = 128;
  /// Of the second layer norm of a block; the others have 1e-6.
  double norm_epsilon = 1e-6;
  /// Guidance acts on this many of the first channels; 0 for all.
  std::int64_t guidance_channels = 3;
  /// Sampling uses the second half of the output as variance, if the model has one.
  bool learned_variance = true;
  DitEmbedders embedders = DitEmbedders::shared;
  /// Probability with which training replaces a label by the null class.
  double class_dropout = 0.1;

  /// facebookresearch/DiT.
  static constexpr DitVariant original() noexcept { return {}; }
  /// DiTTransformer2DModel and DiTPipeline of diffusers. `embedders` is what a converted model has.
  static constexpr DitVariant diffusers() noexcept {
    return {.time_divisor = 127,
            .norm_epsilon = 1e-5,
            .guidance_channels = 0,
            .learned_variance = false,
            .embedders = DitEmbedders::shared,
            .class_dropout = 0.1};
  }
  static constexpr DitVariant of(Dialect dialect) noexcept {
    return dialect == Dialect::dit_diffusers ? diffusers() : original();
  }

  friend bool operator==(DitVariant const&, DitVariant const&) = default;
};

}  // namespace dashi::io

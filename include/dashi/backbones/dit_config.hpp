// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/backbone_concept.hpp>

#include <string>

namespace dashi {

/// Who embeds timestep and label: one embedder for the model, or one a block, as models have that
/// diffusers trained from scratch (the final layer then uses block 0's).
enum class Embedders : unsigned char { shared, per_block };

/// What a DiT keeps between forward and backward: everything, or the input of each block, from
/// which backward computes the rest again (a third more work, about a ninth of the memory).
enum class Recompute : unsigned char { nothing, blocks };

/// Sizes and variants of a DiT (arXiv 2212.09748, table 1).
struct DitConfig {
  Index depth = 12;
  Index width = 384;
  Index heads = 6;
  Index mlp_width = 4 * 384;
  Index patch = 2;
  Index channels = 4;
  bool learn_sigma = true;  ///< as many channels again for the variance
  Index classes = 1000;
  bool null_class = true;  ///< the label table has a last row for "no class"
  Index height = 32;       ///< of the input, a multiple of patch
  Index width_pixels = 32;
  Index frequency_size = 256;  ///< features of a timestep

  /// Divisor of the frequencies' exponents is frequency_size / 2 - frequency_shift: 0 in the
  /// original, 1 in diffusers.
  double frequency_shift = 0;
  double norm_epsilon = 1e-6;
  double second_norm_epsilon = 1e-6;  ///< of the norm before the MLP; 1e-5 in diffusers
  Embedders embedders = Embedders::shared;
  Recompute recompute = Recompute::nothing;

  static DitConfig small(Index patch = 2) { return of(12, 384, 6, patch); }
  static DitConfig base(Index patch = 2) { return of(12, 768, 12, patch); }
  static DitConfig large(Index patch = 2) { return of(24, 1024, 16, patch); }
  static DitConfig extra_large(Index patch = 2) { return of(28, 1152, 16, patch); }

  Index tokens() const { return (height / patch) * (width_pixels / patch); }
  Index head_size() const { return width / heads; }
  Index out_channels() const { return learn_sigma ? 2 * channels : channels; }
  Index label_rows() const { return classes + (null_class ? 1 : 0); }
  Index embedder_count() const { return embedders == Embedders::shared ? 1 : depth; }
  diffusion::BackboneShape shape() const {
    return {channels, out_channels(), height, width_pixels, classes, null_class};
  }

  /// Throws PreconditionError that names the size that does not fit.
  void check() const {
    auto const positive = [](Index value, char const* name) {
      DASHI_EXPECTS(value > 0, std::string(name) + " of a DiT is " + std::to_string(value) +
                                   ", expected a positive number");
    };
    positive(depth, "depth");
    positive(width, "width");
    positive(heads, "heads");
    positive(mlp_width, "mlp_width");
    positive(patch, "patch");
    positive(channels, "channels");
    positive(classes, "classes");
    positive(frequency_size, "frequency_size");
    DASHI_EXPECTS(width % heads == 0 && width / heads <= 128,
                  "a DiT of width " + std::to_string(width) + " cannot have " +
                      std::to_string(heads) +
                      " heads: they must divide the width into parts of at most 128");
    DASHI_EXPECTS(width % 4 == 0,
                  "the width of a DiT must be a multiple of 4, for its position "
                  "embedding; it is " +
                      std::to_string(width));
    DASHI_EXPECTS(
        height > 0 && width_pixels > 0 && height % patch == 0 && width_pixels % patch == 0,
        "an input of " + std::to_string(height) + " x " + std::to_string(width_pixels) +
            " cannot be cut into patches of " + std::to_string(patch));
  }

private:
  static DitConfig of(Index depth, Index width, Index heads, Index patch) {
    DitConfig config;
    config.depth = depth;
    config.width = width;
    config.heads = heads;
    config.mlp_width = 4 * width;
    config.patch = patch;
    return config;
  }
};

}  // namespace dashi

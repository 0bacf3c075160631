// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/random_purpose.hpp>
#include <dashi/diffusion/backbone_concept.hpp>
#include <dashi/diffusion/timestep_distribution.hpp>
#include <dashi/training/batch_layout.hpp>
#include <dashi/training/data_order.hpp>
#include <dashi/training/data_set_concept.hpp>
#include <dashi/training/train_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dashi::training {

/// Throws FormatError where images do not fit a network.
template <DataSet Data>
void expect_fitting(Data const& data, diffusion::BackboneShape const& net) {
  auto const shape = data.shape();
  auto const text = [](Index channels, Index height, Index width) {
    return std::to_string(channels) + " x " + std::to_string(height) + " x " +
           std::to_string(width);
  };
  if (shape.channels != net.channels || shape.height != net.height || shape.width != net.width ||
      data.size() == 0) {
    throw FormatError({.code = "data-shape",
                       .file = {},
                       .place = "data set",
                       .found = std::to_string(data.size()) + " images of " +
                                text(shape.channels, shape.height, shape.width),
                       .expected = "images of " + text(net.channels, net.height, net.width) +
                                   ", the network's input",
                       .advice = {}});
  }
}

/// Throws FormatError for a label that the network has no class for.
template <DataSet Data>
std::int64_t checked_label(Data const& data, std::size_t item, Index classes) {
  std::int64_t const label = data.label(item);
  if (label < 0 || label >= classes) {
    throw FormatError(
        {.code = "class-index",
         .file = {},
         .place = "image " + std::to_string(item),
         .found = "class " + std::to_string(label),
         .expected = "0 to " + std::to_string(classes - 1) + ", the network's classes",
         .advice = {}});
  }
  return label;
}

/// The samples of one step: pure functions of seed, step and sample number.
template <DataSet Target, DataSet Source>
class BatchDraw {
public:
  /// source: null where the layout has no source samples.
  BatchDraw(TrainOptions const& options, BatchLayout const& layout,
            diffusion::BackboneShape const& shape, std::uint64_t step, Target const& target,
            Source const* source)
      : options_(options),
        layout_(layout),
        shape_(shape),
        step_(step),
        target_(target),
        source_(source),
        target_order_(options.seed, random_purpose::data_order, target.size(), layout.targets(),
                      options.shuffle),
        source_order_(options.seed, random_purpose::source_order,
                      source == nullptr ? 1 : source->size(), std::max<Index>(1, layout.sources),
                      options.shuffle) {
    DASHI_EXPECTS(layout.sources == 0 || source != nullptr,
                  "this policy takes source samples: give the step a source data set");
    expect_fitting(target, shape);
    if (source != nullptr) {
      expect_fitting(*source, shape);
    }
  }

  std::uint64_t seed() const { return options_.seed; }
  RandomPlace place(std::uint16_t purpose, Index sample) const {
    return {purpose, step_, static_cast<std::uint32_t>(sample)};
  }
  bool is_source(Index sample) const { return sample >= layout_.targets(); }
  /// Which image of its data set the sample is.
  std::size_t item(Index sample) const {
    return static_cast<std::size_t>(is_source(sample)
                                        ? source_order_.item(step_, sample - layout_.targets())
                                        : target_order_.item(step_, sample));
  }
  bool dropped(Index sample) const {
    return happens(random_purpose::label_dropout, sample, options_.label_dropout);
  }
  bool flipped(Index sample) const {
    return options_.flip && happens(random_purpose::flip, sample, 0.5);
  }

  /// Source samples and dropped ones have the null label.
  std::int64_t label(Index sample) const {
    if (is_source(sample)) {
      return shape_.null_label();
    }
    std::int64_t const label = checked_label(target_, item(sample), shape_.classes);
    return dropped(sample) ? shape_.null_label() : label;
  }

  void read(Index sample, std::span<float> chw) const {
    if (is_source(sample)) {
      source_->read(item(sample), chw);
    } else {
      target_.read(item(sample), chw);
    }
    if (flipped(sample)) {
      auto const width = static_cast<std::ptrdiff_t>(shape_.width);
      for (auto row = chw.begin(); row != chw.end(); row += width) {
        std::reverse(row, row + width);
      }
    }
  }

private:
  bool happens(std::uint16_t purpose, Index sample, double probability) const {
    return Philox(seed(), place(purpose, sample)).template uniform<double>(0) < probability;
  }

  TrainOptions const& options_;
  BatchLayout layout_;
  diffusion::BackboneShape shape_;
  std::uint64_t step_;
  Target const& target_;
  Source const* source_;
  DataOrder target_order_;
  DataOrder source_order_;
};

}  // namespace dashi::training

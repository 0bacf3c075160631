// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/training/trainer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace dashi::training {

/// The grid of a validation loss.
struct ValidationOptions {
  std::vector<Index> steps;  ///< of the process; empty: 20, 60, ... up to its end
  std::size_t images = 0;    ///< taken evenly from the data set, under their own numbers; 0: all
  std::uint64_t seed = 0;    ///< of the noise; not that of the training
  bool average = false;      ///< of the averaged parameters
};

struct ValidationLoss {
  double mean = 0;  ///< over steps, images and numbers
  std::vector<Index> steps;
  std::vector<double> by_step;  ///< mean over the images
};

/// Mean squared error of the predicted noise over a fixed grid of images and steps, each pair with
/// a noise of its own that seed, step and image number alone choose: Philox(seed, {evaluation,
/// step, image}).normal<float>(i). Labels are the images' own. Between training steps; fences.
template <class Trainer, DataSet Data>
ValidationLoss validation_loss(Trainer& trainer, Data const& data,
                               ValidationOptions const& options = {}) {
  expect_fitting(data, trainer.net().shape());
  ValidationLoss result{0, options.steps, {}};
  for (Index t = 20; options.steps.empty() && t < trainer.terms().process.steps(); t += 40) {
    result.steps.push_back(t);
  }
  std::size_t const count =
      options.images == 0 ? data.size() : std::min(options.images, data.size());
  std::vector<std::uint64_t> images(count);
  for (std::size_t i = 0; i < count; ++i) {
    images[i] = i * data.size() / count;
  }
  auto const evaluate = [&] {
    auto const chunk = static_cast<std::size_t>(trainer.layout().chunk);
    std::size_t const chunks = (count + chunk - 1) / chunk;
    std::vector<double> losses(result.steps.size() * count);
    using Micro = std::remove_reference_t<decltype(trainer.execution().part(0))>;
    trainer.execution().for_each_chunk(
        static_cast<Index>(chunks * result.steps.size()), [&](Micro& micro, Index c) {
          std::size_t const step = static_cast<std::size_t>(c) / chunks;
          std::size_t const first = static_cast<std::size_t>(c) % chunks * chunk;
          std::size_t const taken = std::min(chunk, count - first);
          micro.evaluate(trainer.terms(), data,
                         std::span<std::uint64_t const>(images).subspan(first, taken),
                         result.steps[step], options.seed,
                         std::span(losses).subspan(step * count + first, taken));
        });
    for (std::size_t step = 0; step < result.steps.size(); ++step) {
      auto const begin = losses.begin() + static_cast<std::ptrdiff_t>(step * count);
      double const sum = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(count), 0.0);
      result.by_step.push_back(sum / static_cast<double>(count));
      result.mean += result.by_step.back() / static_cast<double>(result.steps.size());
    }
  };
  if (options.average) {
    auto const averaged = trainer.averaged();
    trainer.context().fence("dashi::training::validation_loss");
    evaluate();
  } else {
    evaluate();
  }
  return result;
}

}  // namespace dashi::training

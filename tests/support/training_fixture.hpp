// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/dit.hpp>
#include <dashi/core/initialise.hpp>
#include <dashi/merging/private_folder.hpp>
#include <dashi/training.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace dashi::test {

/// Two bright or dark squares a class: item i is of class i % classes.
struct Squares {
  struct Shape {
    Index channels, height, width;
  };
  std::size_t count = 37;
  Index classes = 3;
  Index channels = 1;
  float brightness = 1;

  std::size_t size() const { return count; }
  Shape shape() const { return {channels, 8, 8}; }
  std::int64_t label(std::size_t i) const {
    return static_cast<std::int64_t>(i % static_cast<std::size_t>(classes));
  }
  void read(std::size_t i, std::span<float> chw) const {
    for (std::size_t k = 0; k < chw.size(); ++k) {
      std::size_t const column = k % 8;
      std::size_t const row = k / 8 % 8;
      bool const inside = column / 3 == i % 3 && row / 4 == i / 3 % 2;
      chw[k] = inside ? brightness : -brightness * static_cast<float>(1 + i % 5) / 5;
    }
  }
  std::string digest() const {
    return "squares " + std::to_string(count) + " " + std::to_string(brightness);
  }
};
static_assert(training::require_data_set<Squares>());

inline DitConfig training_dit(bool learn_sigma = true) {
  DitConfig config;
  config.depth = 2;
  config.width = 32;
  config.heads = 2;
  config.mlp_width = 64;
  config.patch = 2;
  config.channels = 1;
  config.height = 8;
  config.width_pixels = 8;
  config.classes = 3;
  config.learn_sigma = learn_sigma;
  config.frequency_size = 16;
  return config;
}

/// A context and a network with drawn parameters, zero-initialised maps too, trained by default.
template <class Net>
struct Model {
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  Context<Exec> ctx;
  Net net;
  ParameterList<P, Exec> list;

  explicit Model(DitConfig const& config = training_dit(),
                 typename Net::Options const& options = {}, std::uint64_t seed = 5)
      : net(ctx, config, options) {
    net.parameters(list);
    train_default(list);
    initialise(ctx, list, seed);
    for (auto const& entry : list) {  // zeros would hide what hangs on them
      if (entry.initial.kind == Initial::Kind::constant && entry.kind != ParameterKind::buffer) {
        std::vector<double> values(static_cast<std::size_t>(entry.parameter.size()));
        Philox const random(seed ^ name_key(entry.name), {});
        for (std::size_t i = 0; i < values.size(); ++i) {
          values[i] = 0.05 * random.normal<double>(i);
        }
        entry.parameter.write(std::span<double const>(values));
      }
    }
    ctx.fence();
  }

  std::vector<double> value(std::string const& name) const {
    auto const* const entry = list.find(name);
    std::vector<double> values(static_cast<std::size_t>(entry->parameter.size()));
    entry->parameter.read(std::span<double>(values));
    return values;
  }
  /// Of all parameters, in order.
  std::vector<double> values() const {
    std::vector<double> all;
    for (auto const& entry : list) {
      auto const one = value(entry.name);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
};

inline training::TrainOptions small_options() {
  training::TrainOptions options;
  options.batch = 8;
  options.learning_rate = training::LearningRate::constant(1e-3);
  options.average_decay = 0.9;
  options.seed = 11;
  return options;
}

}  // namespace dashi::test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "sampling_options.hpp"

#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/backbones/materialise.hpp>
#include <dashi/diffusion/reconstruction_probe.hpp>
#include <dashi/io/dialects/read_dit.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace dashi::data {
class ImageSet;
}
namespace dashi::checkpoints {
class NetAdapters;
}

namespace cli {

class Session;
struct DitArgument;
struct OpenDit;

/// Which images and steps a loss is measured on.
struct ProbeRequest {
  ProcessOptions process;
  std::vector<dashi::Index> steps;
  std::vector<std::int64_t> images;  ///< of the set, ascending
  std::uint64_t seed = 0;            ///< of the noise
  dashi::Index batch = 64;
  bool null_label = false;  ///< instead of the images' own labels
};

/// How a factorised DiT is computed.
struct GatedWeights {
  dashi::FactorisedLayout layout;
  dashi::Materialise how = dashi::Materialise::when_it_pays;
  std::size_t memory = 0;  ///< for dense weights
};

/// Tailor groups of what is drawn, and how many of them have dense weights.
struct GroupCount {
  std::size_t groups = 0;  ///< 0: a dense model
  std::size_t dense = 0;
};

/// A DiT that computes, whatever type of number it computes with: one for each precision, each in
/// a file of its own. Kokkos must run.
class DitRunner {
public:
  DitRunner() = default;
  DitRunner(DitRunner const&) = delete;
  DitRunner& operator=(DitRunner const&) = delete;
  virtual ~DitRunner() = default;

  virtual void load(dashi::io::Checkpoint const& checkpoint, dashi::io::DitModel const& model) = 0;
  /// Passes that are to come with each of the labels and, where `unguided`, as many without a
  /// class: what is computed densely is chosen by it.
  virtual GroupCount expect(std::span<std::int64_t const> labels, dashi::Index passes,
                            bool unguided) = 0;
  /// Samples of the labels in the order that saves work.
  virtual std::vector<std::size_t> order(std::span<std::int64_t const> labels) const = 0;
  virtual std::size_t parameter_bytes() const = 0;
  virtual std::size_t work_bytes(SamplingOptions const& options, dashi::Index samples) = 0;
  /// Fills `out`, [labels, channels * height * width]; sample n is number numbers[n].
  virtual void sample(SamplingOptions const& options, std::span<std::int64_t const> labels,
                      std::span<std::int64_t const> numbers, std::span<float> out,
                      SampleWatcher const& watcher) = 0;
  /// after_batch(images) when some are done.
  virtual std::vector<dashi::diffusion::ProbePoint> probe(
      dashi::data::ImageSet const& data, ProbeRequest const& request,
      std::function<void(std::size_t)> const& after_batch) = 0;
};

/// Adapters that run beside the weights; null: none.
using SharedAdapters = std::shared_ptr<dashi::checkpoints::NetAdapters const>;

std::unique_ptr<DitRunner> make_float32_runner(dashi::DitConfig const& config,
                                               SharedAdapters adapters);
std::unique_ptr<DitRunner> make_float32_gated_runner(dashi::DitConfig const& config,
                                                     GatedWeights weights);
std::unique_ptr<DitRunner> make_bf16_runner(dashi::DitConfig const& config,
                                            SharedAdapters adapters);
std::unique_ptr<DitRunner> make_bf16_gated_runner(dashi::DitConfig const& config,
                                                  GatedWeights weights);

/// For a model that is open, in the precision of the argument.
std::unique_ptr<DitRunner> make_dit_runner(Session const& session, DitArgument const& argument,
                                           OpenDit const& dit, SharedAdapters adapters);

}  // namespace cli

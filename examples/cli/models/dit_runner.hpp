// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "sampling_options.hpp"

#include <dashi/backbones/dit_config.hpp>
#include <dashi/diffusion/reconstruction_probe.hpp>
#include <dashi/io/dialects/read_dit.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dashi::data {
class ImageSet;
}
namespace dashi::checkpoints {
class NetAdapters;
}

namespace cli {

/// Which images and steps a loss is measured on.
struct ProbeRequest {
  ProcessOptions process;
  std::vector<dashi::Index> steps;
  std::vector<std::int64_t> images;  ///< of the set, ascending
  std::uint64_t seed = 0;            ///< of the noise
  dashi::Index batch = 64;
  bool null_label = false;  ///< instead of the images' own labels
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
  virtual std::size_t parameter_bytes() const = 0;
  virtual std::size_t work_bytes(SamplingOptions const& options, dashi::Index samples) = 0;
  /// Fills `out`, [labels, channels * height * width]; sample n is number first + n.
  virtual void sample(SamplingOptions const& options, std::span<std::int64_t const> labels,
                      std::uint32_t first, std::span<float> out, SampleWatcher const& watcher) = 0;
  /// after_batch(images) when some are done.
  virtual std::vector<dashi::diffusion::ProbePoint> probe(
      dashi::data::ImageSet const& data, ProbeRequest const& request,
      std::function<void(std::size_t)> const& after_batch) = 0;
};

/// Adapters that run beside the weights; null: none.
using SharedAdapters = std::shared_ptr<dashi::checkpoints::NetAdapters const>;

std::unique_ptr<DitRunner> make_float32_runner(dashi::DitConfig const& config,
                                               SharedAdapters adapters);
std::unique_ptr<DitRunner> make_bf16_runner(dashi::DitConfig const& config,
                                            SharedAdapters adapters);

/// precision: "float32" or "bf16".
std::unique_ptr<DitRunner> make_dit_runner(std::string const& precision,
                                           dashi::DitConfig const& config,
                                           SharedAdapters adapters = nullptr);

}  // namespace cli

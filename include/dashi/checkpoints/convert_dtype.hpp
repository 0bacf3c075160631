// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/convert_elements.hpp>
#include <dashi/checkpoints/convert_plan.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/convert.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/mean_options.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What becomes of numbers that do not survive, and how the pass runs.
struct ConvertOptions {
  merging::NonfinitePolicy nonfinite = merging::NonfinitePolicy::error;
  merging::OverflowPolicy overflow = merging::OverflowPolicy::error;
  StreamOptions stream{};
};

/// What convert_dtype() left.
struct ConvertResult {
  std::filesystem::path path;  ///< the file, or the index
  std::size_t shards = 1;
  ConversionCounts counts{};  ///< over all converted tensors; without an index
};

namespace detail {

/// Gathers what does not survive, so that the message is about the first tensor that is affected
/// and counts all of it, however many threads there are.
class ConversionFaults {
public:
  ConversionFaults(ConvertPlan const& plan, ConvertOptions const& options)
      : plan_(plan), options_(options) {}

  /// Later tensors no longer matter.
  std::size_t last_tensor() const noexcept { return last_.load(std::memory_order_relaxed); }
  ConversionCounts const& total() const noexcept { return total_; }

  /// `counts.first` counts from element `begin` of the tensor.
  void add(Piece const& piece, ConversionCounts counts) {
    if (counts.total() == 0) {
      return;
    }
    bool const propagate = options_.nonfinite == merging::NonfinitePolicy::propagate;
    bool const fatal =
        !propagate &&
        (counts.nan + counts.infinite > 0 ||
         (counts.overflowed > 0 && options_.overflow == merging::OverflowPolicy::error));
    std::scoped_lock const lock(mutex_);
    total_.nan += counts.nan;
    total_.infinite += counts.infinite;
    total_.overflowed += counts.overflowed;
    if (fatal) {
      ConversionCounts& sum = tensors_[piece.tensor];
      Index const first = static_cast<Index>(piece.first) + counts.first;
      sum.first = sum.first < 0 ? first : std::min(sum.first, first);
      sum.nan += counts.nan;
      sum.infinite += counts.infinite;
      sum.overflowed += counts.overflowed;
      last_.store(std::min(last_tensor(), piece.tensor), std::memory_order_relaxed);
    }
  }

  void expect_none() const {
    if (tensors_.empty()) {
      return;
    }
    auto const& [index, counts] = *tensors_.begin();
    PlannedConversion const& tensor = plan_.tensors[index];
    bool const nonfinite = counts.nan + counts.infinite > 0;
    std::string const target(io::name(tensor.to));
    throw FormatError({.code = nonfinite ? "nonfinite" : "overflow",
                       .file = plan_.checkpoint->path().string(),
                       .place = "tensor " + io::in_quotes(tensor.ref->info.name) + " element " +
                                std::to_string(counts.first),
                       .found = (nonfinite ? std::to_string(counts.nan) + " NaN, " +
                                                 std::to_string(counts.infinite) + " infinite, "
                                           : std::string()) +
                                std::to_string(counts.overflowed) + " beyond the largest " +
                                target + " in this tensor, the first here",
                       .expected = "numbers that " + target + " can hold",
                       .advice = nonfinite ? "give --nonfinite=propagate"
                                           : "give --saturate, --nonfinite=propagate or a dtype "
                                             "with a wider range"});
  }

private:
  ConvertPlan const& plan_;
  ConvertOptions const& options_;
  std::mutex mutex_;
  std::atomic<std::size_t> last_{std::numeric_limits<std::size_t>::max()};
  std::map<std::size_t, ConversionCounts> tensors_;
  ConversionCounts total_;
};

}  // namespace detail

/// Writes the planned tensors with `metadata` as one file or, with output.largest_shard, as shards.
/// Every number is rounded once, to nearest, ties to even; tensors that keep their dtype are copied
/// byte for byte and not looked at. The files of the input are added to those that may not be
/// replaced. Kokkos must be initialised.
///
/// Throws FormatError for NaN, infinity and overflow as the policies say; then no output appears.
/// With OverflowPolicy::saturate only finite numbers saturate: infinity stays an infinity, or
/// becomes NaN where the target has none.
inline ConvertResult convert_dtype(ConvertPlan const& plan,
                                   std::map<std::string, std::string> const& metadata,
                                   std::filesystem::path const& path, io::CheckpointOutput output,
                                   ConvertOptions const& options = {},
                                   io::Progress& progress = io::no_progress()) {
  constexpr std::uint64_t elements = worker_bytes / (2 * sizeof(double));
  io::Checkpoint const& checkpoint = *plan.checkpoint;
  for (io::FileIdentity const& input : input_identities(checkpoint)) {
    output.file.inputs.push_back(input);
  }
  int const workers = workers_within(options.stream);
  io::CheckpointWriter writer(path, plan.specs(), metadata, output);
  std::vector<Piece> pieces;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    PlannedConversion const& tensor = plan.tensors[t];
    if (tensor.converted()) {
      append_pieces(pieces, t, tensor.ref->info.elements(), elements);
    } else {
      append_pieces(pieces, t, tensor.ref->info.bytes(), worker_bytes);
    }
  }

  struct Worker {
    Context<Kokkos::Serial> context{Kokkos::Serial(Kokkos::NewInstance{})};
    std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(worker_bytes);
  };
  std::vector<Worker> team(static_cast<std::size_t>(workers));
  detail::ConversionFaults faults(plan, options);
  progress.start(checkpoint.bytes());
  merging::run_chunks(pieces.size(), workers, [&](int w, std::uint64_t p) {
    Piece const& piece = pieces[p];
    if (piece.tensor > faults.last_tensor()) {
      return;
    }
    FloatingEnvironment const environment;
    Worker& worker = team[static_cast<std::size_t>(w)];
    PlannedConversion const& tensor = plan.tensors[piece.tensor];
    auto const width = [&](io::Dtype dtype) {
      return tensor.converted() ? static_cast<std::uint64_t>(io::bits(dtype)) / 8 : 1;
    };
    std::uint64_t const in_width = width(tensor.ref->info.dtype);
    std::span const in(worker.memory.get(), static_cast<std::size_t>(piece.count * in_width));
    checkpoint.read(*tensor.ref, piece.first * in_width, in);
    std::span out = in;
    if (tensor.converted()) {
      out = {worker.memory.get() + worker_bytes / 2,
             static_cast<std::size_t>(piece.count * width(tensor.to))};
      faults.add(piece,
                 detail::convert_elements(worker.context, tensor.ref->info.dtype, in.data(),
                                          tensor.to, out.data(), piece.count,
                                          options.overflow == merging::OverflowPolicy::saturate));
    }
    writer.write(piece.tensor, piece.first * width(tensor.to), out);
    progress.advance(in.size());
  });
  faults.expect_none();
  checkpoint.expect_unchanged();
  writer.commit();
  return {writer.path(), writer.shards(), faults.total()};
}

}  // namespace dashi::checkpoints

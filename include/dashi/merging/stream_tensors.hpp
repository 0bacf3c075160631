// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/buffer_stack.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/merge_faults.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/read_ahead.hpp>
#include <dashi/merging/source_digests.hpp>
#include <dashi/merging/tensor_sink.hpp>
#include <dashi/merging/typed_values.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dashi::merging {

/// What a pass over the members found.
struct MergeResult {
  std::vector<std::string> digests;  ///< one a source; empty where it was not computed
  kernels::MeanReport report;        ///< counts over all tensors
  std::filesystem::path path{};  ///< of the published file or index; empty if nothing was written
};

namespace detail {

/// One pass over a plan: reads, hashes, combines and hands on, chunk by chunk. See
/// stream_tensors().
template <class Combine>
class TensorStream {
public:
  TensorStream(MergePlan const& plan, Combine const& combine, TensorSink& sink,
               io::Progress& progress)
      : plan_(plan),
        combine_(combine),
        sink_(sink),
        progress_(progress),
        faults_(plan),
        ahead_(plan),
        digests_(plan) {}

  MergeResult run() {
    std::vector<Worker> workers;
    workers.reserve(static_cast<std::size_t>(plan_.layout.workers));
    for (int w = 0; w < plan_.layout.workers; ++w) {
      workers.emplace_back(plan_);
    }
    progress_.start(plan_.bytes_to_read);
    run_chunks(plan_.layout.chunks.size(), plan_.layout.workers, [&](int w, std::uint64_t chunk) {
      try {
        FloatingEnvironment const environment;
        if (chunk <= faults_.last_chunk()) {
          ahead_.at(chunk);
          run_chunk(workers[static_cast<std::size_t>(w)], chunk);
        }
      } catch (DigestAbandoned const&) {
        if (chunk <= faults_.last_chunk()) {
          throw;
        }
      } catch (...) {
        digests_.abandon_after(chunk);
        throw;
      }
    });
    faults_.expect_none();
    return {.digests = digests_.texts(), .report = faults_.total()};
  }

private:
  struct Worker {
    explicit Worker(MergePlan const& plan)
        : context(Kokkos::Serial(Kokkos::NewInstance{})),
          memory(std::make_unique_for_overwrite<std::byte[]>(plan.layout.worker_bytes +
                                                             BufferStack::alignment)) {}

    WorkerContext context;
    std::unique_ptr<std::byte[]> memory;
    std::vector<std::byte const*> held{};
  };

  void run_chunk(Worker& worker, std::uint64_t chunk) {
    Chunk const& c = plan_.layout.chunks[chunk];
    for (std::size_t s = 0; s < c.segments; ++s) {
      Segment const& segment = plan_.layout.segments[c.first_segment + s];
      PlannedTensor const& like = tensor_of(segment);
      if (like.averaged) {
        merge_segment(worker, chunk, segment, like);
      } else {
        copy_segment(worker, chunk, segment);
      }
    }
  }

  /// One of a segment's tensors, which are alike.
  PlannedTensor const& tensor_of(Segment const& segment) const {
    return plan_.tensors[plan_.layout.pieces[segment.first_piece].tensor];
  }

  /// Reads the pieces of a segment from one source, one after the other, and hashes them.
  void read(std::uint64_t chunk, Segment const& segment, std::size_t source, std::byte* out) {
    std::byte* at = out;
    for_each_extent(plan_, source, segment.first_piece, segment.first_piece + segment.pieces,
                    [&](io::InputFile const& file, std::uint64_t offset, std::uint64_t bytes) {
                      file.read_exact(offset, {at, static_cast<std::size_t>(bytes)});
                      at += bytes;
                    });
    if (digests_.wanted(source)) {
      std::byte const* from = out;
      for_each_piece(segment, [&](Piece const& piece) {
        ByteRange const range = byte_range(plan_, piece, source);
        auto const size = static_cast<std::size_t>(range.end - range.begin);
        digests_.update(chunk, source, piece.tensor, range.begin, {from, size});
        from += size;
      });
    }
    progress_.advance(static_cast<std::uint64_t>(at - out));
  }

  void copy_segment(Worker& worker, std::uint64_t chunk, Segment const& segment) {
    BufferStack buffers(worker.memory.get(), plan_.layout.worker_bytes + BufferStack::alignment);
    std::byte* const first = buffers.take(segment.count);
    std::byte* const other = buffers.take(segment.count);
    std::size_t const from = tensor_of(segment).first_source();
    read(chunk, segment, from, first);
    for (std::size_t s = from + 1; s < plan_.sources.size(); ++s) {
      if (tensor_of(segment).sources[s] == nullptr) {
        continue;
      }
      read(chunk, segment, s, other);
      std::uint64_t at = 0;
      for_each_piece(segment, [&](Piece const& piece) {
        if (std::memcmp(first + at, other + at, static_cast<std::size_t>(piece.count)) != 0) {
          faults_.add_difference(piece.tensor, s);
        }
        at += piece.count;
      });
    }
    write(segment, 1, first);
  }

  void merge_segment(Worker& worker, std::uint64_t chunk, Segment const& segment,
                     PlannedTensor const& like) {
    io::Dtype const type = held_dtype(like, Combine::as_double);
    std::uint64_t const out_width = unit_bytes(true, like.dtype);
    BufferStack buffers(worker.memory.get(), plan_.layout.worker_bytes + BufferStack::alignment);
    std::byte* const stored = buffers.take(segment.count * stored_bytes(like, type));
    std::byte* const out = buffers.take(segment.count * out_width);
    std::byte* const result = buffers.take(Combine::as_double ? segment.count * 8 : 0);
    worker.held.clear();
    for (std::size_t s = 0; s < plan_.sources.size(); ++s) {
      if (like.sources[s] == nullptr && plan_.options.on_missing != OnMissing::zero) {
        worker.held.push_back(nullptr);
        continue;
      }
      std::byte* const held = buffers.take(segment.count * unit_bytes(true, type));
      worker.held.push_back(held);
      if (like.sources[s] == nullptr) {
        std::memset(held, 0, static_cast<std::size_t>(segment.count * unit_bytes(true, type)));
        continue;
      }
      io::Dtype const dtype = like.sources[s]->info.dtype;
      read(chunk, segment, s, dtype == type ? held : stored);
      if (dtype != type) {
        widen_values(worker.context, dtype, stored, type, held, segment.count);
      }
    }
    if (plan_.options.on_missing == OnMissing::keep_base) {
      std::replace(worker.held.begin(), worker.held.end() - 1,
                   static_cast<std::byte const*>(nullptr), worker.held.back());
    }
    if (plan_.base == BaseUse::stands_in) {
      worker.held.pop_back();
    }
    Values const all{.tensor = &like,
                     .first = plan_.layout.pieces[segment.first_piece].first,
                     .count = segment.count,
                     .held_as = type,
                     .held = worker.held,
                     .result = reinterpret_cast<double*>(result),
                     .out = out};
    if (segment.pieces == 1) {
      combine(worker, plan_.layout.pieces[segment.first_piece].tensor, all);
    } else if (Combine::by_tensor || has_events(combine_(worker.context, all))) {
      combine_each(worker, segment, all);  // again: then the reports tell the tensors apart
    }
    auto const members = worker.held.begin() + static_cast<std::ptrdiff_t>(plan_.members);
    auto const only = std::find_if(worker.held.begin(), members, [](auto* held) { return held; });
    bool const alone = std::find_if(only + 1, members, [](auto* held) { return held; }) == members;
    if (alone && !Combine::as_double && type == like.dtype) {
      std::memcpy(out, *only,
                  static_cast<std::size_t>(segment.count * out_width));  // NaNs as they are
    }
    write(segment, out_width, out);
  }

  void combine_each(Worker& worker, Segment const& segment, Values const& all) {
    std::vector<std::byte const*> held(all.held.size());
    std::uint64_t at = 0;
    for_each_piece(segment, [&](Piece const& piece) {
      PlannedTensor const& tensor = plan_.tensors[piece.tensor];
      for (std::size_t s = 0; s < held.size(); ++s) {
        held[s] =
            all.held[s] == nullptr ? nullptr : all.held[s] + at * unit_bytes(true, all.held_as);
      }
      combine(worker, piece.tensor,
              {.tensor = &tensor,
               .first = piece.first,
               .count = piece.count,
               .held_as = all.held_as,
               .held = held,
               .result = Combine::as_double ? all.result + at : all.result,
               .out = all.out + at * unit_bytes(true, tensor.dtype)});
      at += piece.count;
    });
  }

  void combine(Worker& worker, std::size_t tensor, Values const& values) {
    kernels::MeanReport const report = combine_(worker.context, values);
    if (has_events(report)) {
      faults_.add(tensor, report.shifted(static_cast<std::int64_t>(values.first)));
      digests_.abandon_after(
          faults_.last_chunk());  // chunks behind it are skipped: do not wait for them
    }
    if (report.overflowed > 0 && plan_.options.overflow == OverflowPolicy::saturate) {
      saturate(values);
    }
  }

  static bool has_events(kernels::MeanReport const& report) {
    return report.nan_inputs > 0 || report.infinite_inputs > 0 || report.overflowed > 0;
  }

  void write(Segment const& segment, std::uint64_t width, std::byte const* from) {
    for_each_piece(segment, [&](Piece const& piece) {
      auto const size = static_cast<std::size_t>(piece.count * width);
      sink_.write(piece.tensor, piece.first * width, {from, size});
      from += size;
    });
  }

  template <class Body>
  void for_each_piece(Segment const& segment, Body&& body) const {
    for (std::size_t p = 0; p < segment.pieces; ++p) {
      body(plan_.layout.pieces[segment.first_piece + p]);
    }
  }

  MergePlan const& plan_;
  Combine const& combine_;
  TensorSink& sink_;
  io::Progress& progress_;
  MergeFaults faults_;
  ReadAhead ahead_;
  SourceDigests digests_;
};

}  // namespace detail

/// One pass over the members of `plan`: reads every tensor once, hashes what is to be digested,
/// combines and hands the result to `sink`. Memory: plan.peak_memory, whatever the members' sizes.
///
/// Worker threads take chunks in order; each reads its part of all members, hashes, computes and
/// writes it, so that reading, computing and writing overlap. The result does not depend on the
/// number of workers, the chunks or the order of the members' files.
///
/// Combine computes: `MeanReport operator()(WorkerContext&, Values const&) const`, called from many
/// threads; `as_double`: it wants values as double; `by_tensor`: it wants to know the tensor, so
/// that small ones are not given together.
///
/// Throws IoError when reading fails, FormatError for values that the policies refuse and for
/// copied tensors that differ. The sink is then incomplete.
template <class Combine>
MergeResult stream_tensors(MergePlan const& plan, Combine const& combine, TensorSink& sink,
                           io::Progress& progress = io::no_progress()) {
  DASHI_EXPECTS(Kokkos::is_initialized(),
                "Kokkos is not initialised: make a dashi::ScopeGuard first in main");
  return detail::TensorStream<Combine>(plan, combine, sink, progress).run();
}

}  // namespace dashi::merging

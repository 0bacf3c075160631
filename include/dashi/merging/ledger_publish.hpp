// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/publish.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/ledger_publication.hpp>
#include <dashi/merging/ledger_slices.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/stream_tensors.hpp>
#include <dashi/merging/sum_chunk.hpp>
#include <dashi/merging/typed_values.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Rounds the sums of a ledger into a sink: Σ w x / Σ w, exact, rounded once. Chunks in any order
/// on all workers; nothing but the ledger is read. About 2 MiB a worker.
class LedgerPublisher {
public:
  LedgerPublisher(LedgerFile const& ledger, LedgerPublication const& plan,
                  MergeOptions const& options, TensorSink& sink, io::Progress& progress)
      : ledger_(ledger),
        plan_(plan),
        options_(options),
        sink_(sink),
        progress_(progress),
        loaded_(plan.specs.size()) {}

  MergeResult run() {
    std::vector<LedgerSlice> const slices = ledger_slices(ledger_);
    std::vector<Worker> workers;
    int const team = ledger_workers(options_.workers, options_.memory_budget);
    for (int w = 0; w < team; ++w) {
      workers.emplace_back();
    }
    progress_.start(ledger_.file().size() - ledger_.layout().data_begin());
    run_chunks(slices.size(), team, [&](int w, std::uint64_t at) {
      FloatingEnvironment const environment;
      one_slice(workers[static_cast<std::size_t>(w)], slices[static_cast<std::size_t>(at)]);
    });
    ledger_.file().expect_unchanged();
    for (std::size_t t = 0; t < loaded_.size(); ++t) {
      ledger_.expect_all_loaded(t, loaded_[t]);
    }
    expect_no_overflow();
    MergeResult result{.digests = {}, .report = total_};
    for (LedgerMember const& member : ledger_.manifest().members) {
      result.digests.push_back(member.digest);
    }
    return result;
  }

private:
  struct Worker {
    Worker() : context(Kokkos::Serial(Kokkos::NewInstance{})), chunk(context) {}
    Worker(Worker&& other) noexcept : context(std::move(other.context)), chunk(context) {}
    Context<Kokkos::Serial> context;
    SumChunk chunk;
    std::vector<std::uint64_t> out;
  };

  void one_slice(Worker& worker, LedgerSlice const& part) {
    worker.out.resize(part.count);
    std::span<std::byte> const room = std::as_writable_bytes(std::span(worker.out));
    if (ledger_.layout().kinds()[part.tensor] == WordKind::copied) {
      ledger_.read(LedgerPart::copy, part.tensor, part.first, room.first(part.count));
      sink_.write(part.tensor, part.first, room.first(part.count));
      progress_.advance(part.count);
      return;
    }
    note_loaded(part, ledger_.load(part.tensor, part.first, part.count, worker.chunk));
    with_type(plan_.specs[part.tensor].dtype, [&]<class Out>() {
      Out* const out = reinterpret_cast<Out*>(worker.out.data());
      kernels::MeanReport const report = round_sums(worker, out);
      if (report.overflowed > 0) {
        note(part, report, out);
      }
      sink_.write(part.tensor, part.first * sizeof(Out), room.first(part.count * sizeof(Out)));
    });
    progress_.advance(part.count * (worker.chunk.kind() == WordKind::int64 ? 8 : 16));
  }

  void note_loaded(LedgerSlice const& part, SparseCounts const& counts) {
    if (counts.spilled + counts.zeros > 0) {
      std::scoped_lock const lock(mutex_);
      loaded_[part.tensor].spilled += counts.spilled;
      loaded_[part.tensor].zeros += counts.zeros;
    }
  }

  template <class Out>
  kernels::MeanReport round_sums(Worker& worker, Out* out) const {
    using Exec = Kokkos::Serial;
    SumChunk& chunk = worker.chunk;
    auto const count = static_cast<Index>(chunk.size());
    std::int64_t const total = plan_.scale.total;
    auto const result = vector_over<Out, Exec>(out, count);
    kernels::MeanReport report;
    if (chunk.kind() == WordKind::int64) {
      report = kernels::publish(worker.context,
                                vector_over<std::int64_t const, Exec>(chunk.sums().data(), count),
                                total, result);
    } else {
      kernels::Window<Exec> const window{
          vector_over<std::uint64_t, Exec>(chunk.low().data(), count),
          vector_over<std::int64_t, Exec>(chunk.high().data(), count)};
      report = kernels::publish(worker.context, window, total, result);
    }
    using F = FloatFormat<Out>;
    for (auto const& [element, sum] : chunk.wide()) {
      out[element] = sum.template mean<Out>(total);
      auto const bits = __builtin_bit_cast(typename F::Bits, out[element]);
      if ((bits & F::magnitude_mask) == F::exponent_mask) {
        kernels::MeanReport one;
        one.overflowed = 1;
        one.first_overflow = static_cast<std::int64_t>(element);
        report += one;
      }
    }
    for (std::size_t i = 0; i < chunk.zeros().size(); ++i) {
      if (chunk.zeros()[i] == plan_.scale.active) {  // then every term, and the sum, is a zero
        out[i] = __builtin_bit_cast(Out, static_cast<typename F::Bits>(F::sign_mask));
      }
    }
    return report;
  }

  template <class Out>
  void note(LedgerSlice const& part, kernels::MeanReport const& report, Out* out) {
    using F = FloatFormat<Out>;
    if (options_.overflow == OverflowPolicy::saturate) {
      for (std::size_t i = 0; i < part.count; ++i) {
        auto const bits = __builtin_bit_cast(typename F::Bits, out[i]);
        if ((bits & F::magnitude_mask) == F::exponent_mask) {
          out[i] = __builtin_bit_cast(
              Out, static_cast<typename F::Bits>((bits & F::sign_mask) | F::largest_finite));
        }
      }
    }
    std::scoped_lock const lock(mutex_);
    total_.overflowed += report.overflowed;
    overflows_[part.tensor] += report.shifted(static_cast<std::int64_t>(part.first));
  }

  void expect_no_overflow() const {
    if (overflows_.empty() || options_.overflow != OverflowPolicy::error ||
        options_.nonfinite != NonfinitePolicy::error) {
      return;
    }
    auto const& [tensor, report] = *overflows_.begin();
    std::string const dtype(io::name(plan_.specs[tensor].dtype));
    throw FormatError({.code = "overflow",
                       .file = {},
                       .place = "tensor " + io::in_quotes(plan_.specs[tensor].name) + " element " +
                                std::to_string(report.first_overflow),
                       .found = std::to_string(report.overflowed) + " results beyond the largest " +
                                dtype + ", the first here",
                       .expected = "results that " + dtype + " can hold",
                       .advice = "give --dtype with a wider range, or --saturate"});
  }

  LedgerFile const& ledger_;
  LedgerPublication const& plan_;
  MergeOptions const& options_;
  TensorSink& sink_;
  io::Progress& progress_;
  std::mutex mutex_;
  std::vector<SparseCounts> loaded_;
  std::map<std::size_t, kernels::MeanReport> overflows_;
  kernels::MeanReport total_;
};

}  // namespace dashi::merging

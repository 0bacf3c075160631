// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/largest_first.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/with_dtype.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ledger_change.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_layout.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/ledger_writer.hpp>
#include <dashi/merging/member_scan.hpp>
#include <dashi/merging/pass_members.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// One pass that makes the ledger of change.after from that of change.before (`old`, null when
/// there is none): reads the old sums, subtracts, rescales, adds, writes, and hashes the members it
/// reads.
///
/// A worker does one tensor at a time from its beginning to its end, because a SHA-256 is a chain
/// and costs more than the sums. Memory: about 2 MiB a worker and at most 16 MiB for sparse lists,
/// whatever the size of the soup.
class LedgerPass {
public:
  static constexpr std::size_t chunk_elements = std::size_t{1} << 15;
  static constexpr std::size_t copy_bytes = std::size_t{1} << 20;

  LedgerPass(LedgerChange& change, LedgerFile const* old, std::filesystem::path const& path,
             io::OutputOptions output, LedgerOptions const& options, io::Progress& progress)
      : change_(change),
        old_(old),
        options_(options),
        progress_(progress),
        members_(change),
        before_scale_(ledger_scale(change.before)),
        after_scale_(ledger_scale(change.after)),
        writer_(path, std::move(output), change.after, options) {}

  /// Runs the pass and commits the ledger. change.after becomes its manifest.
  void run() {
    std::vector<Worker> workers;
    int const team = ledger_workers(options_.workers, options_.memory_budget);
    for (int w = 0; w < team; ++w) {
      workers.emplace_back();
    }
    std::vector<std::uint64_t> sizes;
    std::vector<LedgerTensor> const& tensors = table();
    for (LedgerTensor const& tensor : tensors) {
      sizes.push_back(tensor.elements());
    }
    std::vector<std::size_t> const order = io::largest_first(sizes);
    progress_.start(members_.bytes());
    if (first_member() > 0) {  // what leaves need not look like what comes: only its digest counts
      members_.scan_removed(team);
    }
    run_chunks(order.size(), team, [&](int w, std::uint64_t at) {
      FloatingEnvironment const environment;
      one_tensor(workers[static_cast<std::size_t>(w)], order[static_cast<std::size_t>(at)]);
    });
    members_.settle(change_.after, options_.allow_duplicate);
    change_.after.sort();
    writer_.commit(change_.after, [&] {
      if (old_ != nullptr) {
        old_->file().expect_unchanged();
        old_->expect_current();
      }
    });
  }

private:
  struct Worker {
    Worker() : context(Kokkos::Serial(Kokkos::NewInstance{})), chunk(context) {}
    Worker(Worker&& other) noexcept : context(std::move(other.context)), chunk(context) {}
    Context<Kokkos::Serial> context;
    SumChunk chunk;
    std::vector<std::uint64_t> values;  // of one member, as stored; aligned to 8 bytes
    std::vector<std::byte> copy;
    SparseCounts loaded;  // list entries of the old ledger for this tensor
  };

  std::vector<LedgerTensor> const& table() const { return change_.after.tensors; }
  bool continues() const { return change_.kept > 0; }

  /// The first member that is read: with nothing to continue from, the first that comes.
  std::size_t first_member() const { return continues() ? 0 : change_.removed.size(); }

  void one_tensor(Worker& worker, std::size_t t) {
    std::vector<io::Sha256> hashes(members_.size());
    if (writer_.layout().kinds()[t] == WordKind::copied) {
      copy_tensor(worker, t, hashes);
    } else {
      std::uint64_t const count = table()[t].elements();
      worker.loaded = {};
      for (std::uint64_t first = 0; first < count; first += chunk_elements) {
        sum_chunk(worker, t, first,
                  static_cast<std::size_t>(std::min<std::uint64_t>(chunk_elements, count - first)),
                  hashes);
      }
      if (continues()) {
        old_->expect_all_loaded(t, worker.loaded);
      }
    }
    for (std::size_t m = first_member(); m < members_.size(); ++m) {
      members_.set_digest(m, t, hashes[m].finish());
    }
  }

  std::span<std::byte const> read(Worker& worker, std::size_t m, std::size_t t,
                                  std::uint64_t offset, std::size_t size, io::Sha256& hash) const {
    worker.values.resize((size + 7) / 8);
    std::span<std::byte> const bytes = std::as_writable_bytes(std::span(worker.values)).first(size);
    members_[m].checkpoint->read(members_.ref(m, t), offset, bytes);
    hash.update(bytes);
    progress_.advance(size);
    return bytes;
  }

  void sum_chunk(Worker& worker, std::size_t t, std::uint64_t first, std::size_t count,
                 std::vector<io::Sha256>& hashes) {
    SumChunk& chunk = worker.chunk;
    WordKind const target = writer_.layout().kinds()[t];
    if (continues()) {
      SparseCounts const loaded = old_->load(t, first, count, chunk);
      worker.loaded.spilled += loaded.spilled;
      worker.loaded.zeros += loaded.zeros;
    } else {
      chunk.reset(target, count);
    }
    if (target == WordKind::window) {
      chunk.widen();
    }
    for (std::size_t m = first_member(); m < members_.size(); ++m) {
      bool const leaves = members_.leaves(m);
      if (!leaves && m == change_.removed.size() && continues()) {
        chunk.rescale(before_scale_.places, after_scale_.places);
      }
      io::Dtype const dtype = members_.ref(m, t).info.dtype;
      std::uint64_t const width = static_cast<std::uint64_t>(io::bits(dtype)) / 8;
      std::span<std::byte const> const bytes =
          read(worker, m, t, first * width, count * static_cast<std::size_t>(width), hashes[m]);
      apply(chunk, m, t, dtype, bytes);
    }
    if (change_.added.empty()) {
      chunk.rescale(before_scale_.places, after_scale_.places);
    }
    chunk.settle();
    if (target == WordKind::int64 && !chunk.narrow()) {
      old_->damaged(t, "sums that are not of its members", "multiples of 2^-24");
    }
    writer_.store(chunk, t, first);
  }

  void apply(SumChunk& chunk, std::size_t m, std::size_t t, io::Dtype dtype,
             std::span<std::byte const> bytes) const {
    std::size_t const removed = change_.removed.size();
    bool const leaves = members_.leaves(m);
    std::int64_t const weight = leaves ? before_scale_.weights[change_.removed[m].index]
                                       : after_scale_.weights[change_.kept + m - removed];
    bool good = true;
    if (weight == 0) {
      good = leaves || all_finite(dtype, bytes);
    } else {
      auto const with = [&]<class T>() {
        T const* const x = reinterpret_cast<T const*>(bytes.data());
        if (leaves) {
          good = chunk.subtract(weight, x);
        } else {
          kernels::MeanReport const report = chunk.add(weight, x);
          good = report.nan_inputs + report.infinite_inputs == 0;
        }
      };
      io::with_dtype<Float16, BFloat16, float>(dtype, with);
    }
    if (!good && leaves) {
      members_.refuse_forged(
          m, "values that the soup's sums do not contain (" + io::in_quotes(table()[t].name) + ")");
    }
    if (!good) {
      refuse_nonfinite(*members_[m].checkpoint, members_.ref(m, t));
    }
  }

  /// Copied tensors: every added member must have the bytes of those that stay, or of the first
  /// added.
  void copy_tensor(Worker& worker, std::size_t t, std::vector<io::Sha256>& hashes) {
    io::TensorInfo const& info = *writer_.layout().find(LedgerPart::copy, t);
    for (std::uint64_t offset = 0; offset < info.bytes(); offset += copy_bytes) {
      auto const size =
          static_cast<std::size_t>(std::min<std::uint64_t>(copy_bytes, info.bytes() - offset));
      worker.copy.resize(size);
      bool known = continues();
      if (known) {
        old_->read(LedgerPart::copy, t, offset, worker.copy);
      }
      for (std::size_t m = first_member(); m < members_.size(); ++m) {
        std::span<std::byte const> const bytes = read(worker, m, t, offset, size, hashes[m]);
        if (members_.leaves(m)) {
          continue;
        }
        if (!known) {
          std::copy(bytes.begin(), bytes.end(), worker.copy.begin());
          known = true;
        } else if (!std::equal(bytes.begin(), bytes.end(), worker.copy.begin(),
                               worker.copy.end())) {
          detail::refuse_member(
              members_[m], table()[t].name, "copied-tensor-differs",
              "other values than in the soup (" + std::string(io::name(info.dtype)) + ")",
              "the same values in all members for dtypes that are not averaged",
              "only F16, BF16, F32 and F64 are averaged");
        }
      }
      writer_.store_copy(t, offset, worker.copy);
    }
  }

  LedgerChange& change_;
  LedgerFile const* old_;
  LedgerOptions options_;
  io::Progress& progress_;
  PassMembers members_;
  LedgerScale before_scale_;
  LedgerScale after_scale_;
  LedgerWriter writer_;
};

}  // namespace dashi::merging

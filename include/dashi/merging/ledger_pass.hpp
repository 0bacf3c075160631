// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ledger_change.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_layout.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/member_scan.hpp>
#include <dashi/merging/sparse_spool.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
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
  static constexpr std::size_t spool_bytes = std::size_t{16} << 20;

  /// Bytes of sparse lists that are kept in memory.
  static std::size_t spool_limit(LedgerOptions const& options) {
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(spool_bytes, options.memory_budget / 8));
  }

  LedgerPass(LedgerChange& change, LedgerFile const* old, std::filesystem::path path,
             io::OutputOptions output, LedgerOptions const& options, io::Progress& progress)
      : change_(change),
        old_(old),
        path_(std::move(path)),
        options_(options),
        progress_(progress),
        before_scale_(ledger_scale(change.before)),
        after_scale_(ledger_scale(change.after)),
        counts_(change.after.tensors.size()),
        layout_(change.after, counts_),
        output_(path_, std::move(output), layout_.dense_end()),
        spool_(path_, 4 * counts_.size(), spool_limit(options)) {
    for (RemovedMember const& r : change_.removed) {
      members_.push_back(&r.member);
    }
    for (MergeMember const& a : change_.added) {
      members_.push_back(&a);
    }
    for (MergeMember const* member : members_) {
      digests_.emplace_back(member->checkpoint->tensors().size());
    }
  }

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
    std::vector<std::size_t> const order = largest_first(sizes);
    std::uint64_t total = 0;
    for (MergeMember const* member : members_) {
      total += member->checkpoint->bytes();
    }
    progress_.start(total);
    bool const replaced_all = change_.kept == 0 && !change_.before.members.empty();
    if (replaced_all) {  // what leaves need not look like what comes: only its digest counts
      for (std::size_t r = 0; r < change_.removed.size(); ++r) {
        digests_[r] = {};
        removed_digest_.push_back(scan_member(*change_.removed[r].member.checkpoint, team, false));
      }
    }
    run_chunks(order.size(), team, [&](int w, std::uint64_t at) {
      FloatingEnvironment const environment;
      one_tensor(workers[static_cast<std::size_t>(w)], order[static_cast<std::size_t>(at)]);
    });
    finish();
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

  io::TensorRef const& ref(std::size_t member, std::size_t tensor) const {
    std::size_t const removed = change_.removed.size();
    return member < removed ? *change_.removed_refs[member][tensor]
                            : *change_.added_refs[member - removed][tensor];
  }

  void one_tensor(Worker& worker, std::size_t t) {
    std::vector<io::Sha256> hashes(members_.size());
    if (layout_.kinds()[t] == WordKind::copied) {
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
      io::TensorRef const& r = ref(m, t);
      auto const at = static_cast<std::size_t>(&r - members_[m]->checkpoint->tensors().data());
      digests_[m][at] = {r.info.name, r.info.dtype, r.info.shape, hashes[m].finish()};
    }
  }

  std::size_t first_member() const { return continues() ? 0 : change_.removed.size(); }

  std::span<std::byte const> read(Worker& worker, std::size_t m, std::size_t t,
                                  std::uint64_t offset, std::size_t size, io::Sha256& hash) const {
    worker.values.resize((size + 7) / 8);
    std::span<std::byte> const bytes = std::as_writable_bytes(std::span(worker.values)).first(size);
    members_[m]->checkpoint->read(ref(m, t), offset, bytes);
    hash.update(bytes);
    progress_.advance(size);
    return bytes;
  }

  void sum_chunk(Worker& worker, std::size_t t, std::uint64_t first, std::size_t count,
                 std::vector<io::Sha256>& hashes) {
    SumChunk& chunk = worker.chunk;
    WordKind const target = layout_.kinds()[t];
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
      bool const leaves = m < change_.removed.size();
      if (!leaves && m == change_.removed.size() && continues()) {
        chunk.rescale(before_scale_.places, after_scale_.places);
      }
      io::Dtype const dtype = ref(m, t).info.dtype;
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
    store(chunk, t, first);
  }

  void apply(SumChunk& chunk, std::size_t m, std::size_t t, io::Dtype dtype,
             std::span<std::byte const> bytes) const {
    std::size_t const removed = change_.removed.size();
    bool const leaves = m < removed;
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
      switch (dtype) {
        case io::Dtype::f16: with.template operator()<Float16>(); break;
        case io::Dtype::bf16: with.template operator()<BFloat16>(); break;
        default: with.template operator()<float>(); break;
      }
    }
    if (!good && leaves) {
      refuse_forged(
          m, "values that the soup's sums do not contain (" + io::in_quotes(table()[t].name) + ")");
    }
    if (!good) {
      refuse_nonfinite(*members_[m]->checkpoint, ref(m, t));
    }
  }

  void store(SumChunk& chunk, std::size_t t, std::uint64_t first) {
    if (chunk.kind() == WordKind::int64) {
      output_.write_at(layout_.offset(LedgerPart::sum, t) + first * 8,
                       std::as_bytes(std::span(chunk.sums())));
    } else {
      output_.write_at(layout_.offset(LedgerPart::high, t) + first * 8,
                       std::as_bytes(std::span(chunk.high())));
      output_.write_at(layout_.offset(LedgerPart::low, t) + first * 8,
                       std::as_bytes(std::span(chunk.low())));
    }
    std::vector<std::uint64_t> index;
    std::vector<std::uint64_t> value;
    auto const flush = [&](std::size_t list) {
      spool_.append(4 * t + list, std::as_bytes(std::span(index)));
      spool_.append(4 * t + list + 1, std::as_bytes(std::span(value)));
      index.clear();
      value.clear();
    };
    for (auto const& [element, sum] : chunk.wide()) {
      index.push_back(first + element);
      value.insert(value.end(), sum.value().limb, sum.value().limb + kernels::WideSum::words);
    }
    counts_[t].spilled += index.size();
    flush(0);
    for (std::size_t i = 0; i < chunk.zeros().size(); ++i) {
      if (chunk.zeros()[i] != 0) {
        index.push_back(first + i);
        value.push_back(chunk.zeros()[i]);
      }
    }
    counts_[t].zeros += index.size();
    flush(2);
  }

  /// Copied tensors: every added member must have the bytes of those that stay, or of the first
  /// added.
  void copy_tensor(Worker& worker, std::size_t t, std::vector<io::Sha256>& hashes) {
    io::TensorInfo const& info = *layout_.find(LedgerPart::copy, t);
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
        if (m < change_.removed.size()) {
          continue;
        }
        if (!known) {
          std::copy(bytes.begin(), bytes.end(), worker.copy.begin());
          known = true;
        } else if (!std::equal(bytes.begin(), bytes.end(), worker.copy.begin(),
                               worker.copy.end())) {
          detail::refuse_member(
              *members_[m], table()[t].name, "copied-tensor-differs",
              "other values than in the soup (" + std::string(io::name(info.dtype)) + ")",
              "the same values in all members for dtypes that are not averaged",
              "only F16, BF16, F32 and F64 are averaged");
        }
      }
      output_.write_at(layout_.offset(LedgerPart::copy, t) + offset, worker.copy);
    }
  }

  [[noreturn]] void refuse_forged(std::size_t m, std::string found) const {
    throw FormatError({.code = "digest-mismatch",
                       .file = members_[m]->checkpoint->path().string(),
                       .place = {},
                       .found = std::move(found),
                       .expected = "the member with digest " +
                                   change_.before.members[change_.removed[m].index].digest,
                       .advice = "the file is not the one that was added; find that one"});
  }

  void finish() {
    for (std::size_t m = 0; m < members_.size(); ++m) {
      members_[m]->checkpoint->expect_unchanged();
      bool const leaves = m < change_.removed.size();
      std::string const digest =
          leaves && !continues() ? removed_digest_[m] : io::member_digest(digests_[m]);
      if (leaves) {
        if (digest != change_.before.members[change_.removed[m].index].digest) {
          refuse_forged(m, "content with digest " + digest);
        }
        continue;
      }
      std::size_t const place = change_.kept + m - change_.removed.size();
      for (std::size_t other = 0; other < place && !options_.allow_duplicate; ++other) {
        if (change_.after.members[other].digest == digest) {
          throw FormatError(
              {.code = "duplicate-member",
               .file = members_[m]->checkpoint->path().string(),
               .place = {},
               .found =
                   "the same content as member " + io::in_quotes(change_.after.members[other].name),
               .expected = "each checkpoint once",
               .advice = "give it once with the sum of the weights, or --allow-duplicate"});
        }
      }
      change_.after.members[place].digest = digest;
    }
    change_.after.sort();
    LedgerLayout const final(change_.after, counts_);
    DASHI_EXPECTS(final.dense_end() == layout_.dense_end(), "digests do not move the data");
    output_.grow(final.file_size());
    constexpr LedgerPart parts[4] = {LedgerPart::spill_index, LedgerPart::spill_value,
                                     LedgerPart::zero_index, LedgerPart::zero_count};
    for (std::size_t t = 0; t < counts_.size(); ++t) {
      for (std::size_t p = 0; p < 4; ++p) {
        if (final.find(parts[p], t) != nullptr) {
          spool_.write_to(output_, 4 * t + p, final.offset(parts[p], t));
        }
      }
    }
    output_.write_at(0, final.header());
    if (old_ != nullptr) {
      old_->file().expect_unchanged();
      old_->expect_current();
    }
    output_.commit(final.header());
  }

  LedgerChange& change_;
  LedgerFile const* old_;
  std::filesystem::path path_;
  LedgerOptions options_;
  io::Progress& progress_;
  LedgerScale before_scale_;
  LedgerScale after_scale_;
  std::vector<SparseCounts> counts_;
  LedgerLayout layout_;
  io::OutputFile output_;
  SparseSpool spool_;
  std::vector<MergeMember const*> members_;  // removed, then added
  std::vector<std::vector<io::TensorDigest>> digests_;
  std::vector<std::string> removed_digest_;  // when nothing of the old soup stays
};

}  // namespace dashi::merging

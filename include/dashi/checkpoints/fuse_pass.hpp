// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_product.hpp>
#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_round.hpp>
#include <dashi/checkpoints/fuse_tensors.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ordered_digest.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints::detail {

/// One pass over a base: reads every byte once and hands on what it becomes. A tensor's factors are
/// in memory from its first piece to its last.
class FusePass {
public:
  FusePass(FusePlan const& plan, ConvertOptions const& options, bool digest_base, bool digest_fused)
      : plan_(plan), options_(options), pieces_(fuse_pieces(plan)), tensors_(plan, pieces_) {
    report_plan_.checkpoint = plan.base;
    for (PlannedFusion const& tensor : plan.tensors) {
      report_plan_.tensors.push_back({tensor.ref, tensor.ref->info.dtype});
    }
    std::vector<io::TensorDigestOf<io::Xxh3>> tensors;
    for (PlannedFusion const& tensor : plan.tensors) {
      tensors.push_back(
          {tensor.ref->info.name, tensor.ref->info.dtype, tensor.ref->info.shape, {}});
    }
    if (digest_base) {
      base_ = digests_.add_member(tensors);
    }
    if (digest_fused) {
      fused_ = digests_.add_member(tensors);
    }
  }

  std::vector<Piece> const& pieces() const noexcept { return pieces_; }

  /// Calls write(piece number, byte offset in the tensor, before, after) for every piece, from
  /// several threads; before and after are the same bytes where the tensor does not change.
  template <class Write>
  void run(io::Progress& progress, Write const& write) {
    int const workers = workers_within(options_.stream);
    std::vector<Worker> team(static_cast<std::size_t>(workers));
    ConversionFaults faults(report_plan_, options_);
    progress.start(plan_.base->bytes());
    merging::run_chunks(pieces_.size(), workers, [&](int w, std::uint64_t p) {
      try {
        FloatingEnvironment const environment;
        if (pieces_[p].tensor <= faults.last_tensor()) {
          fuse(team[static_cast<std::size_t>(w)], p, faults, progress, write);
        } else {
          digests_.abandon_after(p);
        }
      } catch (merging::DigestAbandoned const&) {
        if (pieces_[p].tensor <= faults.last_tensor()) {
          throw;
        }
      } catch (...) {
        digests_.abandon_after(p);
        throw;
      }
    });
    faults.expect_none();
    plan_.base->expect_unchanged();
    counts_ = faults.total();
  }

  ConversionCounts const& counts() const noexcept { return counts_; }
  /// After run(); of what was read, and of what it became. Only if asked for.
  std::string base_digest() const { return digests_.member_digest(base_); }
  std::string fused_digest() const { return digests_.member_digest(fused_); }

private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  struct Worker {
    std::vector<std::byte> before, after;
    std::vector<double> values;
  };
  template <class Write>
  void fuse(Worker& worker, std::uint64_t p, ConversionFaults& faults, io::Progress& progress,
            Write const& write) {
    Piece const& piece = pieces_[p];
    PlannedFusion const& tensor = plan_.tensors[piece.tensor];
    io::TensorInfo const& info = tensor.ref->info;
    bool const touched = tensor.touched() && tensor.cols() > 0;
    std::uint64_t const unit =
        touched ? tensor.cols() * (static_cast<std::uint64_t>(io::bits(info.dtype)) / 8) : 1;
    auto const size = static_cast<std::size_t>(piece.count * unit);
    std::uint64_t const offset = piece.first * unit;
    worker.before.resize(size);
    plan_.base->read(*tensor.ref, offset, worker.before);
    std::span<std::byte const> const before = worker.before;
    if (base_ != none) {
      digests_.update(p, base_, piece.tensor, offset, info.bytes(), before);
    }
    std::span<std::byte const> after = before;
    if (touched) {
      worker.after.resize(size);
      tensors_.use(piece.tensor, [&](FuseTensor const& changes) {
        std::uint64_t const most = rows_in_cache(tensor.cols());
        for (std::uint64_t row = 0; row < piece.count; row += most) {
          change(worker, {piece.tensor, piece.first + row, std::min(most, piece.count - row)},
                 static_cast<std::size_t>(row * unit), changes, faults);
        }
      });
      after = worker.after;
    }
    if (fused_ != none) {
      digests_.update(p, fused_, piece.tensor, offset, info.bytes(), after);
    }
    write(static_cast<std::size_t>(p), offset, before, after);
    progress.advance(size);
  }

  /// So many that their numbers in double stay in the second cache, and whole tiles of a product.
  static std::uint64_t rows_in_cache(std::uint64_t cols) {
    constexpr std::uint64_t elements = 8192;
    return (std::max<std::uint64_t>(1, elements / cols) + product_rows - 1) / product_rows *
           product_rows;
  }

  /// Rows of worker.before, from byte `at` on, to worker.after.
  void change(Worker& worker, Piece rows, std::size_t at, FuseTensor const& changes,
              ConversionFaults& faults) {
    PlannedFusion const& tensor = plan_.tensors[rows.tensor];
    io::Dtype const dtype = tensor.ref->info.dtype;
    worker.values.resize(static_cast<std::size_t>(rows.count * tensor.cols()));
    widen_to_double(dtype, worker.before.data() + at, worker.values);
    changes.apply(rows.first, rows.count, worker.values);
    auto const counts =
        round_changed(dtype, worker.before.data() + at, worker.values, worker.after.data() + at,
                      options_.overflow == merging::OverflowPolicy::saturate);
    rows.first *= tensor.cols();
    faults.add(rows, counts);
  }

  FusePlan const& plan_;
  ConvertOptions const& options_;
  std::vector<Piece> pieces_;
  FuseTensors tensors_;
  ConvertPlan report_plan_;  // for messages
  ConversionCounts counts_;
  merging::OrderedDigest<io::Xxh3> digests_;
  std::size_t base_ = none, fused_ = none;
};

}  // namespace dashi::checkpoints::detail

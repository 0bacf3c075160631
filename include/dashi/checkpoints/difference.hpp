// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// A tensor that both checkpoints have.
struct TensorDifference {
  io::TensorInfo first;
  io::TensorInfo second;
  bool equal_bytes = false;
  /// Of equal shapes and dtypes that are doubles exactly; else nothing is compared but bytes.
  std::optional<DifferenceNorms> norms{};
  /// Elements whose bytes differ, where shape and dtype agree.
  std::uint64_t different = 0;

  bool same_dtype() const noexcept { return first.dtype == second.dtype; }
  bool same_shape() const noexcept { return first.shape == second.shape; }
  /// The same dtype, shape and bytes.
  bool equal() const noexcept { return equal_bytes && same_dtype() && same_shape(); }
};

/// A metadata pair that differs; nothing where a side has no such key.
struct MetadataDifference {
  std::string key;
  std::optional<std::string> first{};
  std::optional<std::string> second{};
};

/// How two checkpoints differ. Shards, header order and padding make no difference.
struct CheckpointDifference {
  std::vector<std::string> only_first;
  std::vector<std::string> only_second;
  std::vector<TensorDifference> common;  ///< by name, equal ones included
  std::vector<MetadataDifference> metadata;

  /// Names, dtypes, shapes and bytes of all tensors agree; metadata may differ.
  bool same_content() const noexcept {
    return only_first.empty() && only_second.empty() &&
           std::all_of(common.begin(), common.end(), [](auto const& t) { return t.equal(); });
  }
};

/// What headers tell: all but equal_bytes, norms and counts of elements.
inline CheckpointDifference compare_headers(io::Checkpoint const& first,
                                            io::Checkpoint const& second) {
  CheckpointDifference out;
  auto a = first.tensors().begin();
  auto b = second.tensors().begin();
  while (a != first.tensors().end() || b != second.tensors().end()) {
    bool const left = a != first.tensors().end();
    bool const right = b != second.tensors().end();
    if (!right || (left && a->info.name < b->info.name)) {
      out.only_first.push_back(a++->info.name);
    } else if (!left || b->info.name < a->info.name) {
      out.only_second.push_back(b++->info.name);
    } else {
      out.common.push_back({.first = a++->info, .second = b++->info});
    }
  }
  for (auto const& [key, value] : first.metadata()) {
    auto const other = second.metadata().find(key);
    if (other == second.metadata().end()) {
      out.metadata.push_back({key, value, {}});
    } else if (other->second != value) {
      out.metadata.push_back({key, value, other->second});
    }
  }
  for (auto const& [key, value] : second.metadata()) {
    if (!first.metadata().contains(key)) {
      out.metadata.push_back({key, {}, value});
    }
  }
  std::sort(out.metadata.begin(), out.metadata.end(),
            [](auto const& x, auto const& y) { return x.key < y.key; });
  return out;
}

namespace detail {

/// Elements of one piece of a comparison; its buffers, two raw and two of doubles, fill
/// worker_bytes. Fixed, so that sums do not depend on threads or memory.
inline constexpr std::uint64_t compared_elements = worker_bytes / (4 * sizeof(double));

/// Bytes of one element, or, of dtypes narrower than a byte, of the unit that is compared.
inline std::uint64_t compared_width(io::Dtype dtype) {
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(io::bits(dtype)) / 8);
}

/// One pass over the tensors that have the same shape.
class Comparison {
public:
  Comparison(io::Checkpoint const& first, io::Checkpoint const& second, CheckpointDifference& out)
      : first_(first), second_(second), out_(out) {
    for (std::size_t t = 0; t < out.common.size(); ++t) {
      TensorDifference& tensor = out.common[t];
      refs_.push_back({first.find(tensor.first.name), second.find(tensor.first.name)});
      bool const numbers =
          is_exact_as_double(tensor.first.dtype) && is_exact_as_double(tensor.second.dtype);
      if (tensor.same_shape() && numbers) {
        tensor.norms.emplace();
      }
      if (tensor.same_shape() && (numbers || tensor.same_dtype())) {
        std::uint64_t const units = tensor.first.bytes() / compared_width(tensor.first.dtype);
        tensor.equal_bytes = tensor.same_dtype();
        append_pieces(pieces_, t, units, compared_elements);
        total_ += tensor.first.bytes() + tensor.second.bytes();
      }
    }
    results_.resize(pieces_.size());
  }

  void run(int workers, io::Progress& progress) {
    struct Buffers {
      std::unique_ptr<double[]> memory =
          std::make_unique_for_overwrite<double[]>(4 * compared_elements);
    };
    std::vector<Buffers> buffers(static_cast<std::size_t>(workers));
    progress.start(total_);
    merging::run_chunks(pieces_.size(), workers, [&](int worker, std::uint64_t piece) {
      compare(piece, buffers[static_cast<std::size_t>(worker)].memory.get(), progress);
    });
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      TensorDifference& tensor = out_.common[pieces_[p].tensor];
      tensor.equal_bytes = tensor.equal_bytes && results_[p].different == 0;
      tensor.different += results_[p].different;
      if (tensor.norms) {
        *tensor.norms += results_[p].norms;
      }
    }
  }

private:
  struct Refs {
    io::TensorRef const* first;
    io::TensorRef const* second;
  };
  struct Result {
    DifferenceNorms norms;
    std::uint64_t different = 0;
  };

  void compare(std::size_t p, double* memory, io::Progress& progress) {
    Piece const& piece = pieces_[p];
    TensorDifference const& tensor = out_.common[piece.tensor];
    auto const count = static_cast<std::size_t>(piece.count);
    auto const read = [&](io::Checkpoint const& from, io::TensorRef const& ref, double* to) {
      std::uint64_t const width = compared_width(ref.info.dtype);
      std::span const bytes(reinterpret_cast<std::byte*>(to),
                            static_cast<std::size_t>(piece.count * width));
      from.read(ref, piece.first * width, bytes);
      progress.advance(bytes.size());
      return bytes;
    };
    auto const a = read(first_, *refs_[piece.tensor].first, memory);
    auto const b = read(second_, *refs_[piece.tensor].second, memory + compared_elements);
    if (tensor.same_dtype() && std::memcmp(a.data(), b.data(), a.size()) != 0) {
      auto const width = static_cast<std::size_t>(compared_width(tensor.first.dtype));
      for (std::size_t i = 0; i < a.size(); i += width) {
        results_[p].different += std::memcmp(a.data() + i, b.data() + i, width) != 0 ? 1U : 0U;
      }
    }
    if (tensor.norms) {
      std::span const wide_a(memory + 2 * compared_elements, count);
      std::span const wide_b(memory + 3 * compared_elements, count);
      widen_to_double(tensor.first.dtype, a.data(), wide_a);
      widen_to_double(tensor.second.dtype, b.data(), wide_b);
      results_[p].norms = difference_norms(wide_a, wide_b);
    }
  }

  io::Checkpoint const& first_;
  io::Checkpoint const& second_;
  CheckpointDifference& out_;
  std::vector<Refs> refs_;
  std::vector<Piece> pieces_;
  std::vector<Result> results_;
  std::uint64_t total_ = 0;
};

}  // namespace detail

/// Compares all tensors, streaming on several threads. The result does not depend on their number.
/// Throws IoError, also (transfer) when a file changed meanwhile, and UsageError for a budget below
/// worker_bytes.
inline CheckpointDifference difference(io::Checkpoint const& first, io::Checkpoint const& second,
                                       StreamOptions const& options = {},
                                       io::Progress& progress = io::no_progress()) {
  CheckpointDifference out = compare_headers(first, second);
  detail::Comparison(first, second, out).run(workers_within(options), progress);
  first.expect_unchanged();
  second.expect_unchanged();
  return out;
}

}  // namespace dashi::checkpoints

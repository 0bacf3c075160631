// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/core/sincos_position.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// How a stored table of positions differs from that of SincosPosition.
struct PositionDifference {
  std::uint64_t count = 0;    ///< entries that are not the same bits
  std::uint64_t first = 0;    ///< index of the first of them
  double largest = 0;         ///< absolute difference; infinite when an entry is not finite
  std::uint64_t entries = 0;  ///< of the whole table
};

namespace detail {

/// The entry as a model holds it: rounded to float, whatever the checkpoint stores. In double the
/// sine of one library differs from the next one's in the last bit, in float not (docs/decisions).
template <class T>
T position_value(SincosPosition const& position, std::uint64_t entry) {
  auto const at = static_cast<std::int64_t>(entry);
  return convert<T>(convert<float>(position(at / position.dim(), at % position.dim())));
}

}  // namespace detail

/// Bytes of the table as the dtype, which must be convertible, from entry `first` on.
inline void fill_positions(SincosPosition const& position, io::Dtype dtype, std::uint64_t first,
                           std::span<std::byte> out) {
  FloatingEnvironment const environment;
  with_float_type(dtype, [&]<class T>() {
    DASHI_EXPECTS(out.size() % sizeof(T) == 0, "whole entries");
    for (std::size_t i = 0; i < out.size() / sizeof(T); ++i) {
      T const value = detail::position_value<T>(position, first + i);
      std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
    }
  });
}

/// Compares a stored table, bit for bit in its dtype, which must be convertible.
inline PositionDifference compare_positions(io::Checkpoint const& checkpoint,
                                            io::TensorRef const& stored,
                                            SincosPosition const& position,
                                            StreamOptions const& options = {}) {
  io::Dtype const dtype = stored.info.dtype;
  auto const width = static_cast<std::uint64_t>(io::bits(dtype)) / 8;
  std::vector<Piece> pieces;
  append_pieces(pieces, 0, stored.info.elements(), worker_bytes / 16);
  PositionDifference total{.count = 0,
                           .first = std::numeric_limits<std::uint64_t>::max(),
                           .largest = 0,
                           .entries = stored.info.elements()};
  std::mutex mutex;
  merging::run_chunks(pieces.size(), workers_within(options), [&](int, std::uint64_t p) {
    FloatingEnvironment const environment;
    Piece const& piece = pieces[p];
    std::vector<std::byte> bytes(static_cast<std::size_t>(piece.count * width));
    checkpoint.read(stored, piece.first * width, bytes);
    PositionDifference part;
    with_float_type(dtype, [&]<class T>() {
      for (std::uint64_t i = 0; i < piece.count; ++i) {
        T const expected = detail::position_value<T>(position, piece.first + i);
        T found{};
        std::memcpy(&found, bytes.data() + i * sizeof(T), sizeof(T));
        if (std::memcmp(&expected, &found, sizeof(T)) == 0) {
          continue;
        }
        auto const at = static_cast<std::int64_t>(piece.first + i);
        double const by = std::abs(static_cast<double>(convert<double>(found)) -
                                   position(at / position.dim(), at % position.dim()));
        part.first = part.count++ == 0 ? piece.first + i : part.first;
        part.largest = std::max(part.largest,
                                std::isfinite(by) ? by : std::numeric_limits<double>::infinity());
      }
    });
    std::scoped_lock const lock(mutex);
    if (part.count > 0) {
      total.count += part.count;
      total.first = std::min(total.first, part.first);
      total.largest = std::max(total.largest, part.largest);
    }
  });
  return total;
}

}  // namespace dashi::checkpoints

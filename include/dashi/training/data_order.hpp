// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/tensor.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dashi::training {

/// Which items of a data set the steps of a training take.
enum class Shuffle : unsigned char {
  epochs,       ///< each item once an epoch; a batch may end one epoch and begin the next
  drop_last,    ///< epochs of whole batches: the items left over at the end of one are not taken
  replacement,  ///< every sample any item, independently
};

/// Item number `position` of a permutation of [0, items) that seed, purpose and epoch choose: a
/// Feistel network on the least even number of bits, with Philox as its round function, walked
/// until it is below `items` (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
/// 2002, section 4). No memory; about 25 Philox blocks on average at most.
inline std::uint64_t permuted(std::uint64_t seed, std::uint16_t purpose, std::uint64_t epoch,
                              std::uint64_t items, std::uint64_t position) {
  DASHI_EXPECTS(position < items && items <= std::uint64_t{1} << 60,
                "position " + std::to_string(position) + " of " + std::to_string(items) + " items");
  constexpr std::uint32_t rounds = 8;
  auto const half = static_cast<unsigned>(std::bit_width(items - 1) + 1) / 2;
  std::uint64_t const mask = (std::uint64_t{1} << half) - 1;
  std::uint64_t at = position;
  do {
    std::uint64_t left = at >> half;
    std::uint64_t right = at & mask;
    for (std::uint32_t round = 0; round < rounds; ++round) {
      std::uint64_t const mixed =
          left ^ (Philox(seed, {purpose, epoch, round}).block(right)[0] & mask);
      left = right;
      right = mixed;
    }
    at = left << half | right;
  } while (at >= items);
  return at;
}

/// Which item sample i of step s is: a pure function, the same for any batch split, thread count
/// and resume.
class DataOrder {
public:
  /// per_step: samples that a step takes; at most `items` where the last ones are dropped.
  DataOrder(std::uint64_t seed, std::uint16_t purpose, std::uint64_t items, Index per_step,
            Shuffle shuffle)
      : seed_(seed),
        items_(items),
        per_step_(static_cast<std::uint64_t>(per_step)),
        purpose_(purpose),
        shuffle_(shuffle) {
    DASHI_EXPECTS(items > 0 && per_step > 0, "an order needs items, and steps that take some");
    DASHI_EXPECTS(shuffle != Shuffle::drop_last || per_step_ <= items,
                  "a step takes " + std::to_string(per_step) + " samples of " +
                      std::to_string(items) + ": there is no whole batch in an epoch");
  }

  std::uint64_t item(std::uint64_t step, Index sample) const {
    std::uint64_t const at = step * per_step_ + static_cast<std::uint64_t>(sample);
    switch (shuffle_) {
      case Shuffle::replacement: {
        auto const place = RandomPlace{purpose_, step, static_cast<std::uint32_t>(sample)};
        double const u = Philox(seed_, place).uniform<double>(0);
        return static_cast<std::uint64_t>(u * static_cast<double>(items_));
      }
      case Shuffle::drop_last: {
        std::uint64_t const taken = items_ / per_step_ * per_step_;
        return permuted(seed_, purpose_, at / taken, items_, at % taken);
      }
      case Shuffle::epochs: break;
    }
    return permuted(seed_, purpose_, at / items_, items_, at % items_);
  }

private:
  std::uint64_t seed_;
  std::uint64_t items_;
  std::uint64_t per_step_;
  std::uint16_t purpose_;
  Shuffle shuffle_;
};

}  // namespace dashi::training

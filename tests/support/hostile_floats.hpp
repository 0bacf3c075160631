// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>

#include <cstdint>
#include <random>
#include <vector>

namespace dashi::test {

/// Finite numbers that are hard to average: every exponent, subnormals, both zeros, the largest
/// values, neighbours that make ties, pairs that cancel.
template <class T>
class HostileFloats {
public:
  using F = FloatFormat<T>;
  using Bits = typename F::Bits;

  explicit HostileFloats(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t random() { return engine_(); }

  /// One element's values, one a member.
  void element(std::vector<T>& values) {
    std::uint64_t const kind = random() % 11;
    spread_ = 1 + random() % 48;
    Bits const base = finite();
    for (T& value : values) {
      value = number(kind, base);
    }
    if (kind == 10 &&
        values.size() > 1) {  // a tie of two neighbours, disturbed by what is far below
      values[0] = near(base, 0);
      values[1] = near(base, 1);
    }
    if (kind == 5 && values.size() > 1) {  // the last one cancels the first but for an ulp or two
      Bits const bits = bits_of(values.front()) ^ F::sign_mask;
      values.back() = near(bits, random() % 3);
    }
  }

  std::vector<std::int64_t> weights(std::size_t count) {
    std::vector<std::int64_t> w(count, 1);
    std::uint64_t const kind = random() % 6;
    std::int64_t total = 0;
    do {
      total = 0;
      for (std::int64_t& x : w) {
        std::int64_t const r = static_cast<std::int64_t>(random() >> 1);
        x = kind == 0   ? 1
            : kind == 1 ? 1 + r % 9
            : kind == 2 ? r % 20001 - 4000  // four places, some negative
            : kind == 3 ? r % 1000000001    // up to ten with eight places
            : kind == 4 ? r % 5 - 1         // zeros and cancelling weights
                        : std::int64_t{1} << (r % 40);
        total += x;
      }
    } while (total <= 0);
    return w;
  }

private:
  static Bits bits_of(T value) { return __builtin_bit_cast(Bits, value); }
  static T from(Bits bits) { return __builtin_bit_cast(T, bits); }

  Bits finite() {
    Bits bits;
    do {
      bits = static_cast<Bits>(random());
    } while ((bits & F::magnitude_mask) > F::largest_finite);
    return bits;
  }

  static T near(Bits bits, std::uint64_t steps) {
    Bits const moved = static_cast<Bits>((bits & F::magnitude_mask) + steps);
    Bits const magnitude = moved > F::largest_finite ? F::largest_finite : moved;
    return from(static_cast<Bits>((bits & F::sign_mask) | magnitude));
  }

  T number(std::uint64_t kind, Bits base) {
    switch (kind) {
      case 0: return from(finite());
      case 1: {  // as weights are: Normal(0, 0.02) cut to a few bits
        double const x = normal_(engine_) * 0.02;
        return convert<T>(x);
      }
      case 2: return near(base, random() % 4);  // neighbours: ties
      case 3: {                                 // subnormals and the smallest normals
        Bits const magnitude =
            static_cast<Bits>(random() % (2 * (std::uint64_t{F::fraction_mask} + 1)));
        return from(static_cast<Bits>(magnitude | (random() % 2 == 0 ? F::sign_mask : Bits{0})));
      }
      case 4: {  // special values
        static constexpr Bits special[] = {0, 1, F::largest_finite, F::fraction_mask + Bits{1},
                                           static_cast<Bits>(Bits{F::bias} << F::fraction_bits)};
        Bits const bits = special[random() % 5];
        return from(static_cast<Bits>(bits | (random() % 2 == 0 ? F::sign_mask : Bits{0})));
      }
      case 5: return from(finite());
      case 6: {  // exponents within a few binades of each other, few significant bits
        Bits const coarse = static_cast<Bits>(base & ~(F::fraction_mask >> 3));
        Bits const shift = static_cast<Bits>((random() % 6) << F::fraction_bits);
        Bits const magnitude = static_cast<Bits>(coarse & F::magnitude_mask);
        Bits const lowered = magnitude > shift ? static_cast<Bits>(magnitude - shift) : magnitude;
        return from(static_cast<Bits>(lowered | (random() % 2 == 0 ? F::sign_mask : Bits{0})));
      }
      case 7:
      case 8: {  // full significands at most `spread_` binades apart: the edges of each proof
        Bits const fraction = static_cast<Bits>(random() & F::fraction_mask);
        Bits const top = static_cast<Bits>((base & F::exponent_mask) >> F::fraction_bits);
        Bits const lower = static_cast<Bits>(random() % 3 == 0 ? spread_ : random() % spread_);
        Bits const exponent = static_cast<Bits>(top > lower ? top - lower : top);
        return from(static_cast<Bits>(static_cast<Bits>(exponent << F::fraction_bits) | fraction |
                                      1U | (random() % 2 == 0 ? F::sign_mask : Bits{0})));
      }
      case 10: {
        Bits const top = static_cast<Bits>((base & F::exponent_mask) >> F::fraction_bits);
        Bits const lower = static_cast<Bits>(random() % 48);
        Bits const exponent = static_cast<Bits>(top > lower ? top - lower : 0);
        return random() % 4 != 0
                   ? from(random() % 2 == 0 ? F::sign_mask : Bits{0})
                   : from(static_cast<Bits>(static_cast<Bits>(exponent << F::fraction_bits) |
                                            (random() % 2 == 0 ? F::sign_mask : Bits{0}) | 1U));
      }
      default: {  // zeros of both signs, seldom something else
        if (random() % 16 == 0) {
          return from(finite());
        }
        return from(random() % 2 == 0 ? F::sign_mask : Bits{0});
      }
    }
  }

  std::uint64_t spread_ = 1;
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

}  // namespace dashi::test

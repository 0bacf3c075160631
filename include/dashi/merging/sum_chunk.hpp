// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/rescale.hpp>
#include <dashi/kernels/sparse_events.hpp>
#include <dashi/kernels/wide_sum.hpp>
#include <dashi/kernels/window.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/manifest.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The two words of a window sum, units of 2^-79.
struct WindowWords {
  std::uint64_t low = 0;
  std::int64_t high = 0;
};

/// Window sums in a ledger lie in [-2^47, 2^47): upper words in [-2^62, 2^62). One more term then
/// overflows 128 bits only into values that are outside again, so that every overflow is seen.
constexpr bool in_ledger_window(std::int64_t high) noexcept {
  constexpr std::uint64_t half = std::uint64_t{1} << 62;
  return static_cast<std::uint64_t>(high) + half < 2 * half;
}

/// The sum as window words when it is a multiple of 2^-79 in [-2^47, 2^47). What a ledger keeps in
/// the window and what in its sparse list is decided by the value of the sum alone: that makes it
/// independent of history.
inline std::optional<WindowWords> ledger_window(kernels::WideSum const& sum) {
  std::uint64_t const* const l = sum.value().limb;  // window unit = bit 70
  WindowWords const words{l[1] >> 6 | l[2] << 58,
                          static_cast<std::int64_t>(l[2] >> 6 | l[3] << 58)};
  std::int64_t const sign = words.high >> 63;
  bool const multiple = l[0] == 0 && (l[1] & 63U) == 0;
  bool const fits = static_cast<std::int64_t>(l[3]) >> 6 == sign &&
                    static_cast<std::int64_t>(l[4]) == sign && in_ledger_window(words.high);
  return multiple && fits ? std::optional(words) : std::nullopt;
}

/// The exact sums of a part of one tensor in memory, and what members do to them.
///
/// Words as WordKind says. `wide()` holds the elements whose sum is not in the window, which is
/// then 0 there; `zeros()` how many terms of each element are -0. Belongs to one thread.
class SumChunk {
public:
  using Exec = Kokkos::Serial;

  explicit SumChunk(Context<Exec>& context) : context_(&context) {}

  /// `count` sums of zero.
  void reset(WordKind kind, std::size_t count) {
    DASHI_EXPECTS(kind != WordKind::copied, "only averaged tensors have sums");
    kind_ = kind;
    sums_.assign(kind == WordKind::int64 ? count : 0, 0);
    low_.assign(kind == WordKind::window ? count : 0, 0);
    high_.assign(kind == WordKind::window ? count : 0, 0);
    wide_.clear();
    zeros_.clear();
    count_ = count;
  }

  std::size_t size() const noexcept { return count_; }
  WordKind kind() const noexcept { return kind_; }
  std::vector<std::int64_t>& sums() noexcept { return sums_; }
  std::vector<std::uint64_t>& low() noexcept { return low_; }
  std::vector<std::int64_t>& high() noexcept { return high_; }
  std::map<std::size_t, kernels::WideSum>& wide() noexcept { return wide_; }
  std::vector<std::uint64_t>& zeros() noexcept { return zeros_; }  ///< empty: all 0

  void put_zeros(std::size_t element, std::uint64_t count) {
    zeros_.resize(count_, 0);
    zeros_[element] = count;
  }

  /// += weight·x. The report counts non-finite x; the sums are then useless.
  template <class In>
  kernels::MeanReport add(std::int64_t weight, In const* x) {
    kernels::MeanReport const report = accumulate(weight, x);
    if (!events_.negative_zeros.empty()) {
      zeros_.resize(count_, 0);
    }
    for (Index const i : events_.negative_zeros) {
      ++zeros_[static_cast<std::size_t>(i)];
    }
    return report;
  }

  /// Takes back add(weight, x). False when the sums cannot contain it.
  template <class In>
  bool subtract(std::int64_t weight, In const* x) {
    kernels::MeanReport const report = accumulate(-weight, x);
    if (report.nan_inputs + report.infinite_inputs > 0) {
      return false;
    }
    using Bits = typename FloatFormat<In>::Bits;
    Bits const negative_term = weight > 0 ? FloatFormat<In>::sign_mask : Bits{0};
    for (std::size_t i = 0; i < count_; ++i) {
      if (__builtin_bit_cast(Bits, x[i]) == negative_term) {
        if (zeros_.empty() || zeros_[i] == 0) {
          return false;
        }
        --zeros_[i];
      }
    }
    return true;
  }

  /// Sums in units of 10^-from become sums in units of 10^-to; exact.
  void rescale(int from, int to) {
    if (from == to) {
      return;
    }
    std::int64_t const factor =
        detail::powers_of_ten[static_cast<std::size_t>(from < to ? to - from : from - to)];
    std::int64_t const multiply = from < to ? factor : 1;
    std::int64_t const divide = from < to ? 1 : factor;
    if (kind_ == WordKind::int64) {
      kernels::rescale(*context_, vector_over<std::int64_t, Exec>(sums_.data(), extent()), multiply,
                       divide);
    } else {
      if (multiply > 1) {
        take_out_large((std::int64_t{1} << 62) / multiply - 1);
      } else {
        take_out_finer(from - to);
      }
      kernels::rescale(*context_, window(), multiply, divide);
    }
    context_->fence();
    for (auto& [element, sum] : wide_) {
      sum.multiply(static_cast<std::uint64_t>(multiply));
      sum.divide_exactly(static_cast<std::uint64_t>(divide));
    }
  }

  void widen() {
    if (kind_ == WordKind::window) {
      return;
    }
    kind_ = WordKind::window;
    low_.assign(count_, 0);
    high_.assign(count_, 0);
    kernels::widen_sums(*context_, vector_over<std::int64_t const, Exec>(sums_.data(), extent()),
                        window());
    context_->fence();
    sums_.clear();
  }

  /// Back to one word. False when a sum is not one of Float16 values with few enough weights.
  bool narrow() {
    if (kind_ == WordKind::int64) {
      return true;
    }
    bool fits = wide_.empty();
    sums_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      constexpr int shift = 55;  // 2^-24 in units of 2^-79
      sums_[i] = static_cast<std::int64_t>(low_[i] >> shift | static_cast<std::uint64_t>(high_[i])
                                                                  << (64 - shift));
      bool const exact = static_cast<std::uint64_t>(sums_[i]) << shift == low_[i] &&
                         sums_[i] >> (64 - shift) == high_[i];
      fits = fits && exact;
    }
    kind_ = WordKind::int64;
    low_.clear();
    high_.clear();
    return fits;
  }

  /// Puts every sum where a ledger keeps it: ledger_window().
  void settle() {
    if (kind_ != WordKind::window) {
      return;
    }
    for (auto at = wide_.begin(); at != wide_.end();) {
      std::optional<WindowWords> const words = ledger_window(at->second);
      if (!words) {
        ++at;
        continue;
      }
      low_[at->first] = words->low;
      high_[at->first] = words->high;
      at = wide_.erase(at);
    }
  }

private:
  Index extent() const noexcept { return static_cast<Index>(count_); }
  kernels::Window<Exec> window() {
    return {vector_over<std::uint64_t, Exec>(low_.data(), extent()),
            vector_over<std::int64_t, Exec>(high_.data(), extent())};
  }

  template <class In>
  kernels::MeanReport accumulate(std::int64_t weight, In const* x) {
    VectorOf<In const, Exec> const values = vector_over<In const, Exec>(x, extent());
    if (kind_ == WordKind::int64) {
      if constexpr (std::is_same_v<In, Float16>) {
        return kernels::accumulate(*context_, weight, values,
                                   vector_over<std::int64_t, Exec>(sums_.data(), extent()),
                                   events_);
      }
      DASHI_EXPECTS(false, "one word holds sums of Float16 only");
    }
    kernels::MeanReport const report =
        kernels::accumulate(*context_, weight, values, window(), events_);
    if (report.nan_inputs + report.infinite_inputs > 0) {
      return report;
    }
    for (auto& [element, sum] : wide_) {  // their windows were 0 and now hold this term
      sum.add_window(low_[element], high_[element]);
      low_[element] = 0;
      high_[element] = 0;
    }
    for (Index const i : events_.spilled) {
      auto const element = static_cast<std::size_t>(i);
      take_out(element).add_product(x[element], weight);
    }
    for (std::size_t i = 0; i < count_; ++i) {
      if (!in_ledger_window(high_[i])) [[unlikely]] {
        take_out_overflow(i, x[i], weight);
      }
    }
    return report;
  }

  /// The element's sum among the wide ones, with its window emptied.
  kernels::WideSum& take_out(std::size_t element) {
    auto const [at, fresh] = wide_.try_emplace(element);
    if (fresh) {
      at->second.add_window(low_[element], high_[element]);
      low_[element] = 0;
      high_[element] = 0;
    }
    return at->second;
  }

  void take_out_large(std::int64_t limit) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (high_[i] >= limit || high_[i] < -limit) {
        take_out(i);
      }
    }
  }

  /// A sum may be a multiple of 2^-79 only thanks to the factor 2^places that goes.
  void take_out_finer(int places) {
    std::uint64_t const mask = (std::uint64_t{1} << places) - 1;
    for (std::size_t i = 0; i < count_; ++i) {
      if ((low_[i] & mask) != 0) {
        take_out(i);
      }
    }
  }

  /// The window may have wrapped: takes the term out again, modulo 2^128, and adds both exactly.
  template <class In>
  void take_out_overflow(std::size_t element, In x, std::int64_t weight) {
    kernels::WideSum term;
    term.add_product(x, weight);
    std::uint64_t const* const l = term.value().limb;
    std::uint64_t const low = l[1] >> 6 | l[2] << 58;
    std::uint64_t const high = l[2] >> 6 | l[3] << 58;
    std::uint64_t const borrow = low_[element] < low ? 1 : 0;
    low_[element] -= low;
    high_[element] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(high_[element]) - high - borrow);
    take_out(element).add(term);
  }

  Context<Exec>* context_;
  WordKind kind_ = WordKind::int64;
  std::size_t count_ = 0;
  std::vector<std::int64_t> sums_;
  std::vector<std::uint64_t> low_;
  std::vector<std::int64_t> high_;
  std::map<std::size_t, kernels::WideSum> wide_;
  std::vector<std::uint64_t> zeros_;
  kernels::SparseEvents<Exec> events_;
};

}  // namespace dashi::merging

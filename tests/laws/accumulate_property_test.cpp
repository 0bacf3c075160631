// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/publish.hpp>
#include <dashi/kernels/rescale.hpp>
#include <dashi/kernels/wide_sum.hpp>

#include <reference/exact_mean.hpp>
#include <support/hostile_floats.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace {

using namespace dashi;
using namespace dashi::kernels;
using Kokkos::Serial;

/// A ledger in memory: dense sums, spilled sums and counts of -0 terms.
template <class In, bool Windowed>
struct Sums {
  std::vector<std::int64_t> high;
  std::vector<std::uint64_t> low;
  std::map<Index, WideSum> spilled;
  std::map<Index, int> negative_zeros;

  explicit Sums(Index n)
      : high(static_cast<std::size_t>(n)), low(static_cast<std::size_t>(Windowed ? n : 0)) {}

  VectorOf<std::int64_t, Serial> words() {
    return vector_over<std::int64_t, Serial>(high.data(), static_cast<Index>(high.size()));
  }
  Window<Serial> window() {
    return {vector_over<std::uint64_t, Serial>(low.data(), static_cast<Index>(low.size())),
            words()};
  }

  /// sign +1 adds the member, -1 takes it out again.
  MeanReport add(Context<Serial>& ctx, std::vector<In> const& x, std::int64_t weight, int sign) {
    auto const view = vector_over<In const, Serial>(x.data(), static_cast<Index>(x.size()));
    SparseEvents<Serial> events;
    MeanReport report;
    if constexpr (Windowed) {
      report = accumulate(ctx, sign * weight, view, window(), events);
    } else {
      report = accumulate(ctx, sign * weight, view, words(), events);
    }
    for (Index const i : events.spilled) {
      WideSum& sum = spilled[i];
      sum.add_product(x[static_cast<std::size_t>(i)], sign * weight);
      if (sum.is_zero()) {
        spilled.erase(i);
      }
    }
    if (sign < 0) {  // the -0 terms of the member that leaves are those of its own weight
      events.negative_zeros.clear();
      for (std::size_t i = 0; i < x.size(); ++i) {
        auto const bits = __builtin_bit_cast(typename FloatFormat<In>::Bits, x[i]);
        bool const negative = ((bits & FloatFormat<In>::sign_mask) != 0) != (weight < 0);
        if ((bits & FloatFormat<In>::magnitude_mask) == 0 && negative) {
          events.negative_zeros.push_back(static_cast<Index>(i));
        }
      }
    }
    for (Index const i : events.negative_zeros) {
      if ((negative_zeros[i] += sign) == 0) {
        negative_zeros.erase(i);
      }
    }
    return report;
  }

  template <class Out>
  std::vector<Out> publish(Context<Serial>& ctx, std::int64_t total, int members) {
    std::vector<Out> out(high.size());
    auto const view = vector_over<Out, Serial>(out.data(), static_cast<Index>(out.size()));
    if constexpr (Windowed) {
      kernels::publish(ctx, window(), total, view);
    } else {
      VectorOf<std::int64_t const, Serial> const sums = words();
      kernels::publish(ctx, sums, total, view);
    }
    for (auto const& [i, sum] : spilled) {
      auto const at = static_cast<std::size_t>(i);
      WideSum all = sum;
      all.add_window(low[at], high[at]);
      out[at] = all.mean<Out>(total);
    }
    for (auto const& [i, count] : negative_zeros) {
      if (count == members) {
        out[static_cast<std::size_t>(i)] = __builtin_bit_cast(Out, FloatFormat<Out>::sign_mask);
      }
    }
    return out;
  }

  bool operator==(Sums const& other) const {
    auto const same_spill = [](auto const& a, auto const& b) {
      return a.first == b.first &&
             std::equal(std::begin(a.second.value().limb), std::end(a.second.value().limb),
                        std::begin(b.second.value().limb));
    };
    return high == other.high && low == other.low && negative_zeros == other.negative_zeros &&
           std::equal(spilled.begin(), spilled.end(), other.spilled.begin(), other.spilled.end(),
                      same_spill);
  }
};

/// Weights as a ledger admits them: none is 0, Σ|w| within capacity, total positive.
std::vector<std::int64_t> admitted(std::vector<std::int64_t> weights, std::int64_t capacity) {
  for (std::int64_t& w : weights) {
    w = w % (capacity / 16);
    w = w == 0 ? 1 : w;
  }
  while (std::accumulate(weights.begin(), weights.end(), std::int64_t{0}) <= 0) {
    for (std::int64_t& w : weights) {
      w = std::max(w, -w);
    }
  }
  return weights;
}

template <class In, bool Windowed, class Out>
void check_against_reference(std::int64_t batches) {
  constexpr std::int64_t n = 1003;
  Context<Serial> ctx;
  reference::ExactMean oracle;
  for (std::int64_t b = 0; b < batches; ++b) {
    test::HostileFloats<In> hostile(static_cast<std::uint64_t>(7919 * b + 5));
    std::size_t const count = 1 + hostile.random() % 6;
    auto const weights =
        admitted(hostile.weights(count), Windowed ? window_capacity : half_sum_capacity);
    std::vector<std::vector<In>> members(count, std::vector<In>(n));
    std::vector<In> values(count);
    for (std::size_t i = 0; i < n; ++i) {
      hostile.element(values);
      for (std::size_t k = 0; k < count; ++k) {
        members[k][i] = values[k];
      }
    }
    Sums<In, Windowed> sums(n);
    std::vector<In> const passing = members[hostile.random() % count];
    sums.add(ctx, passing, 3, 1);
    for (std::size_t k = 0; k < count; ++k) {
      CHECK(sums.add(ctx, members[k], weights[k], 1).nan_inputs == 0);
    }
    sums.add(ctx, passing, 3, -1);
    Sums<In, Windowed> fresh(n);
    for (std::size_t k = count; k-- > 0;) {
      fresh.add(ctx, members[k], weights[k], 1);
    }
    REQUIRE(sums == fresh);

    std::int64_t const total = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
    auto const out = sums.template publish<Out>(ctx, total, static_cast<int>(count));
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < count; ++k) {
        values[k] = members[k][i];
      }
      wrong += oracle.bits<In, Out>(weights, values) !=
               __builtin_bit_cast(typename FloatFormat<Out>::Bits, out[i]);
    }
    REQUIRE(wrong == 0);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("one-word sums publish the rational mean and forget what was removed",
                   "[property]", Float16, BFloat16, float, double) {
  check_against_reference<Float16, false, TestType>(200);
}

TEMPLATE_TEST_CASE("window sums publish the rational mean and forget what was removed",
                   "[property]", (std::pair<Float16, Float16>), (std::pair<BFloat16, BFloat16>),
                   (std::pair<float, float>), (std::pair<float, BFloat16>),
                   (std::pair<BFloat16, double>)) {
  check_against_reference<typename TestType::first_type, true, typename TestType::second_type>(200);
}

TEST_CASE("sums have the same bits with every instruction set", "[property]") {
#if defined(__x86_64__)
  using backends::host::InstructionSet;
  for (auto const limit : {InstructionSet::baseline, InstructionSet::avx2}) {
    backends::host::limit_instruction_set(limit);
    check_against_reference<float, true, float>(60);
    check_against_reference<Float16, false, Float16>(60);
  }
  backends::host::limit_instruction_set(InstructionSet::avx512);
#else
  SKIP("one instruction set only");
#endif
}

TEST_CASE("the window holds what its definition says") {
  CHECK(in_window(0.0F));
  CHECK(in_window(-0x1.fffffep7F));
  CHECK_FALSE(in_window(0x1p8F));
  CHECK(in_window(0x1p-79F));
  CHECK_FALSE(in_window(0x1p-80F));
  CHECK_FALSE(in_window(0x1.8p-79F));
  CHECK(in_window(0x1.000002p-56F));
  CHECK_FALSE(in_window(0x1.000002p-57F));
  CHECK_FALSE(in_window(1e-45F));
}

TEST_CASE("accumulation counts numbers that are not finite") {
  Context<Serial> ctx;
  std::vector<float> x(21, 1.0F);
  x[9] = NAN;
  x[20] = -INFINITY;
  Sums<float, true> sums(21);
  MeanReport const report = sums.add(ctx, x, 1, 1);
  CHECK(report.nan_inputs == 1);
  CHECK(report.infinite_inputs == 1);
  CHECK(report.first_nonfinite == 9);
  CHECK(sums.spilled.empty());
}

TEST_CASE("rescaling and widening keep every sum's value") {
  Context<Serial> ctx;
  test::HostileFloats<Float16> hostile(11);
  std::vector<Float16> x(999);
  std::vector<Float16> value(1);
  for (auto& v : x) {
    hostile.element(value);
    v = in_window(widen(value[0])) ? value[0] : Float16{0x3c00};
  }
  Sums<Float16, false> words(999);
  words.add(ctx, x, -7, 1);
  rescale(ctx, words.words(), 1000, 1);
  Sums<Float16, false> scaled(999);
  scaled.add(ctx, x, -7000, 1);
  CHECK(words.high == scaled.high);

  Sums<Float16, true> wide(999);
  VectorOf<std::int64_t const, Serial> const narrow = scaled.words();
  widen_sums(ctx, narrow, wide.window());
  Sums<Float16, true> direct(999);
  direct.add(ctx, x, -7000, 1);
  CHECK(wide.high == direct.high);
  CHECK(wide.low == direct.low);
  rescale(ctx, wide.window(), 1, 1000);
  Sums<Float16, true> back(999);
  back.add(ctx, x, -7, 1);
  CHECK(wide.high == back.high);
  CHECK(wide.low == back.low);
}

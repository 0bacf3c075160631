// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/exact_mean.hpp>

#include <reference/exact_mean.hpp>
#include <support/hostile_floats.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <span>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace dashi;
using dashi::kernels::MeanWeights;

/// Weights of a model as training leaves them, whose sums are nearly always exact in float: whole
/// blocks are proven at once. One element in a thousand or so has a member of any bits, a zero, or
/// one far below the others.
template <class F>
struct TameFloats {
  test::HostileFloats<F> hostile;
  std::normal_distribution<float> normal{0.0F, 0.02F};
  std::mt19937_64 random;
  bool calm;

  explicit TameFloats(std::uint64_t seed) : hostile(seed), random(seed), calm(seed % 3 == 0) {}

  std::vector<std::int64_t> weights(std::size_t count) {
    std::vector<std::int64_t> out(count, 1);
    for (std::int64_t& weight : out) {
      weight = random() % 4 == 0 ? 1 + static_cast<std::int64_t>(random() % 5) : weight;
    }
    return random() % 2 == 0 ? out : std::vector<std::int64_t>(count, 1);
  }
  void element(std::vector<F>& values) {
    for (F& value : values) {
      value = convert<F>(normal(random));
    }
    if (!calm && random() % 1000 == 0) {
      F& value = values[random() % values.size()];
      switch (random() % 4) {
        case 0: hostile.element(values); break;
        case 1: value = convert<F>(0.0F); break;
        case 2: value = convert<F>(0.01F * normal(random)); break;
        default: value = convert<F>(1e-4F * normal(random)); break;
      }
    }
  }
};

/// Elements whose mean differs in a bit from the rational one, among `elements` random ones.
template <class In, class Out, class Floats = test::HostileFloats<In>>
std::int64_t wrong_elements(std::int64_t elements, std::uint64_t seed) {
  constexpr std::int64_t batch = 4001;  // odd: every loop's remainder is met
  std::atomic<std::int64_t> wrong{0};
  std::atomic<std::int64_t> next{0};
  auto const work = [&] {
    Context<Kokkos::Serial> ctx{Kokkos::Serial(Kokkos::NewInstance{})};
    reference::ExactMean oracle;
    for (std::int64_t b = next++; b * batch < elements; b = next++) {
      Floats hostile(seed * 1000003U + static_cast<std::uint64_t>(b));
      std::size_t const count = 1 + static_cast<std::size_t>(hostile.random() % 9);
      std::vector<std::int64_t> const weights = hostile.weights(count);
      std::vector<std::vector<In>> members(count, std::vector<In>(batch));
      std::vector<In> values(count);
      for (std::size_t i = 0; i < batch; ++i) {
        hostile.element(values);
        for (std::size_t k = 0; k < count; ++k) {
          members[k][i] = values[k];
        }
      }
      std::vector<VectorOf<In const, Kokkos::Serial>> views;
      for (auto const& m : members) {
        views.push_back(vector_over<In const, Kokkos::Serial>(m.data(), batch));
      }
      std::vector<Out> out(batch);
      kernels::exact_mean<In, Out>(ctx, MeanWeights(weights),
                                   std::span<VectorOf<In const, Kokkos::Serial> const>(views),
                                   vector_over<Out, Kokkos::Serial>(out.data(), batch));
      for (std::size_t i = 0; i < batch; ++i) {
        for (std::size_t k = 0; k < count; ++k) {
          values[k] = members[k][i];
        }
        auto const expected = oracle.bits<In, Out>(weights, values);
        if (expected != __builtin_bit_cast(typename FloatFormat<Out>::Bits, out[i])) {
          ++wrong;
        }
      }
    }
  };
  std::vector<std::thread> threads(std::max(1U, std::thread::hardware_concurrency()));
  for (auto& t : threads) {
    t = std::thread(work);
  }
  for (auto& t : threads) {
    t.join();
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "exact means equal the rational mean rounded once, 10^7 hostile elements a format",
    "[property]", Float16, BFloat16, float, double) {
  CHECK(wrong_elements<TestType, TestType>(10'000'000, 1) == 0);
}

TEMPLATE_TEST_CASE("exact means of weights that are near each other, 10^6 elements a format",
                   "[property]", Float16, BFloat16, float, double) {
  CHECK(wrong_elements<TestType, TestType, TameFloats<TestType>>(1'000'000, 4) == 0);
}

TEMPLATE_TEST_CASE("exact means in another output format are rounded once", "[property]",
                   (std::pair<Float16, BFloat16>), (std::pair<Float16, float>),
                   (std::pair<Float16, double>), (std::pair<BFloat16, Float16>),
                   (std::pair<BFloat16, float>), (std::pair<BFloat16, double>),
                   (std::pair<float, Float16>), (std::pair<float, BFloat16>),
                   (std::pair<float, double>), (std::pair<double, Float16>),
                   (std::pair<double, BFloat16>), (std::pair<double, float>)) {
  using In = typename TestType::first_type;
  using Out = typename TestType::second_type;
  CHECK(wrong_elements<In, Out>(400'000, 2) == 0);
}

#if defined(__x86_64__)
TEMPLATE_TEST_CASE("exact means have the same bits with every instruction set", "[property]",
                   Float16, BFloat16, float, double) {
  using backends::host::InstructionSet;
  for (auto const limit : {InstructionSet::baseline, InstructionSet::avx2}) {
    backends::host::limit_instruction_set(limit);
    CHECK(wrong_elements<TestType, TestType>(400'000, 3) == 0);
    CHECK(wrong_elements<TestType, TestType, TameFloats<TestType>>(200'000, 5) == 0);
  }
  backends::host::limit_instruction_set(InstructionSet::avx512);
}
#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/exact_mean.hpp>

#include <support/device_copy.hpp>
#include <support/hostile_floats.hpp>
#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace exact_mean_test {

namespace {

using namespace dashi;
using namespace dashi::kernels;

template <class In, class Out>
struct Result {
  std::vector<Out> mean;
  MeanReport report;
};

template <class In>
struct Problem {
  std::vector<std::int64_t> weights;
  std::vector<std::vector<In>> members;
};

template <class In>
Problem<In> hostile_problem(std::size_t count, std::size_t size, std::uint64_t seed) {
  test::HostileFloats<In> hostile(seed);
  Problem<In> p{hostile.weights(count), {count, std::vector<In>(size)}};
  std::vector<In> values(count);
  for (std::size_t i = 0; i < size; ++i) {
    hostile.element(values);
    for (std::size_t k = 0; k < count; ++k) {
      p.members[k][i] = values[k];
    }
  }
  return p;
}

template <class Exec, class In, class Out>
Result<In, Out> mean_on(Problem<In> const& p) {
  Context<Exec> ctx;
  std::vector<Kokkos::View<In*, typename Exec::memory_space>> owners;
  std::vector<VectorOf<In const, Exec>> members;
  for (auto const& m : p.members) {
    owners.push_back(test::device_copy<Exec>(m));
    members.push_back(owners.back());
  }
  Kokkos::View<Out*, typename Exec::memory_space> const out("out", p.members.front().size());
  MeanReport const report = exact_mean<In, Out>(
      ctx, MeanWeights(p.weights), std::span(std::as_const(members)), VectorOf<Out, Exec>(out));
  return {test::host_copy(out), report};
}

/// The device's form of the kernel, arrays of lanes in tiles of eight, on the host.
template <class In, class Out>
Result<In, Out> mean_in_device_form(Problem<In> const& p) {
  MeanWeights const weights(p.weights);
  std::vector<In const*> members;
  std::vector<std::int64_t> integers;
  std::vector<float> floats;
  for (std::size_t k = 0; k < p.members.size(); ++k) {
    if (weights.values()[k] != 0) {
      members.push_back(p.members[k].data());
      integers.push_back(weights.values()[k]);
      floats.push_back(static_cast<float>(weights.values()[k]));
    }
  }
  auto const size = static_cast<std::int64_t>(p.members.front().size());
  Result<In, Out> result{std::vector<Out>(p.members.front().size()), {}};
  MeanCounters counters;
  MeanKernel<In, Out> const kernel{members.data(),     integers.data(),
                                   floats.data(),      mean_constants<In, Out>(weights),
                                   result.mean.data(), &counters};
  for (std::int64_t at = 0; at < size; at += 8) {
    kernel.template tile<ArrayLanes, 16>(at, at + 8 < size ? at + 8 : size);
  }
  result.report = counters.report();
  return result;
}

template <class In, class Out>
void check_same(Result<In, Out> const& found, Result<In, Out> const& expected) {
  CHECK(test::different_bits(found.mean, expected.mean) == 0);
  CHECK(found.report.nan_inputs == expected.report.nan_inputs);
  CHECK(found.report.infinite_inputs == expected.report.infinite_inputs);
  CHECK(found.report.overflowed == expected.report.overflowed);
  CHECK(found.report.first_nonfinite == expected.report.first_nonfinite);
  CHECK(found.report.first_overflow == expected.report.first_overflow);
}

template <class In, class Out>
void check_device_mean(std::uint64_t seed) {
  for (std::size_t const size : {0U, 1U, 7U, 8U, 33U, 1000U, 40'003U}) {
    for (std::size_t const count : {1U, 2U, 5U, 8U}) {
      auto const problem = hostile_problem<In>(count, size, seed * 7919 + size + count);
      auto const expected = mean_on<Kokkos::Serial, In, Out>(problem);
      check_same(mean_on<Kokkos::DefaultExecutionSpace, In, Out>(problem), expected);
      check_same(mean_in_device_form<In, Out>(problem), expected);
    }
  }
}

template <class T>
void check_nonfinite() {
  using F = FloatFormat<T>;
  auto problem = hostile_problem<T>(3, 100, 5);
  problem.members[1][17] = __builtin_bit_cast(T, F::nan);
  problem.members[0][40] = __builtin_bit_cast(T, F::exponent_mask);
  problem.members[2][40] = problem.members[0][40];
  auto const expected = mean_on<Kokkos::Serial, T, T>(problem);
  check_same(mean_on<Kokkos::DefaultExecutionSpace, T, T>(problem), expected);
  CHECK(expected.report.nan_inputs == 1);
  CHECK(expected.report.infinite_inputs == 2);
  CHECK(expected.report.first_nonfinite == 17);
}

}  // namespace

TEMPLATE_TEST_CASE("the exact mean has the host's bits on the device", "[device]",
                   DASHI_TEST_SCALARS(Float16, BFloat16, float, double)) {
  check_device_mean<TestType, TestType>(1);
}

TEMPLATE_TEST_CASE("the exact mean in another format has the host's bits on the device", "[device]",
                   DASHI_TEST_SCALARS((std::pair<BFloat16, float>), (std::pair<Float16, BFloat16>),
                                      (std::pair<float, Float16>), (std::pair<float, double>),
                                      (std::pair<double, float>))) {
  check_device_mean<typename TestType::first_type, typename TestType::second_type>(2);
}

TEMPLATE_TEST_CASE("numbers that are not finite are counted on the device", "[device]",
                   DASHI_TEST_SCALARS(Float16, BFloat16, float, double)) {
  check_nonfinite<TestType>();
}

}  // namespace exact_mean_test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/publish.hpp>
#include <dashi/kernels/rescale.hpp>

#include <support/device_copy.hpp>
#include <support/hostile_floats.hpp>
#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <vector>

namespace accumulate_test {

namespace {

using namespace dashi;
using namespace dashi::kernels;

/// Sums in a space's memory, with everything that the kernels said of them.
template <class In, bool Windowed, class Exec>
struct Sums {
  using Space = typename Exec::memory_space;
  Context<Exec> ctx;
  Kokkos::View<std::int64_t*, Space> high;
  Kokkos::View<std::uint64_t*, Space> low;
  std::vector<Index> spilled;
  std::vector<Index> negative_zeros;
  std::int64_t nonfinite = 0;

  explicit Sums(std::size_t size) : high("high", size), low("low", Windowed ? size : 0) {}

  Window<Exec> window() const { return {low, high}; }

  void add(std::vector<In> const& x, std::int64_t weight) {
    auto const device = test::device_copy<Exec>(x);
    VectorOf<In const, Exec> const view = device;
    SparseEvents<Exec> events;
    MeanReport report;
    if constexpr (Windowed) {
      report = accumulate(ctx, weight, view, window(), events);
    } else {
      report = accumulate(ctx, weight, view, VectorOf<std::int64_t, Exec>(high), events);
    }
    spilled.insert(spilled.end(), events.spilled.begin(), events.spilled.end());
    negative_zeros.insert(negative_zeros.end(), events.negative_zeros.begin(),
                          events.negative_zeros.end());
    nonfinite += report.nan_inputs + report.infinite_inputs;
  }

  void rescale(std::int64_t multiply, std::int64_t divide) {
    if constexpr (Windowed) {
      kernels::rescale(ctx, window(), multiply, divide);
    } else {
      kernels::rescale(ctx, VectorOf<std::int64_t, Exec>(high), multiply, divide);
    }
  }

  template <class Out>
  std::vector<Out> publish(std::int64_t total) {
    Kokkos::View<Out*, Space> const out("out", high.extent(0));
    if constexpr (Windowed) {
      kernels::publish(ctx, window(), total, VectorOf<Out, Exec>(out));
    } else {
      kernels::publish(ctx, VectorOf<std::int64_t const, Exec>(high), total,
                       VectorOf<Out, Exec>(out));
    }
    return test::host_copy(out);
  }
};

template <class In, bool Windowed, class Exec>
Sums<In, Windowed, Exec> add_members(std::vector<std::vector<In>> const& members) {
  Sums<In, Windowed, Exec> sums(members.front().size());
  std::int64_t weight = 3;
  for (auto const& m : members) {
    sums.add(m, weight);
    weight = -weight - (weight > 0 ? 4 : 0);  // 3, -7, 7, -11, 11, ...
  }
  sums.rescale(1000, 1);
  return sums;
}

/// Sums of the two spaces, and what is published from them.
template <class In, bool Windowed, class Out>
void check_device_sums(std::size_t size, std::uint64_t seed) {
  using Device = Kokkos::DefaultExecutionSpace;
  test::HostileFloats<In> hostile(seed);
  std::vector<std::vector<In>> members(3, std::vector<In>(size));
  std::vector<In> values(3);
  for (std::size_t i = 0; i < size; ++i) {
    hostile.element(values);
    for (std::size_t k = 0; k < 3; ++k) {
      members[k][i] = values[k];
    }
  }
  if (size > 20) {
    members[1][20] = __builtin_bit_cast(In, FloatFormat<In>::nan);
  }
  auto on_host = add_members<In, Windowed, Kokkos::Serial>(members);
  auto on_device = add_members<In, Windowed, Device>(members);
  CHECK(test::different_bits(test::host_copy(on_device.high), test::host_copy(on_host.high)) == 0);
  CHECK(test::different_bits(test::host_copy(on_device.low), test::host_copy(on_host.low)) == 0);
  CHECK(on_device.spilled == on_host.spilled);
  CHECK(on_device.negative_zeros == on_host.negative_zeros);
  CHECK(on_device.nonfinite == on_host.nonfinite);
  CHECK(test::different_bits(on_device.template publish<Out>(3000),
                             on_host.template publish<Out>(3000)) == 0);
}

template <class In, bool Windowed, class Out>
void check_device_sums() {
  for (std::size_t const size : {0U, 1U, 8U, 63U, 1001U, 30'001U}) {
    check_device_sums<In, Windowed, Out>(size, size + 3);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("one-word sums have the host's bits on the device", "[device]",
                   DASHI_TEST_SCALARS(Float16, BFloat16, float, double)) {
  check_device_sums<Float16, false, TestType>();
}

TEMPLATE_TEST_CASE("window sums have the host's bits on the device", "[device]",
                   DASHI_TEST_SCALARS(BFloat16, Float16, float)) {
  check_device_sums<TestType, true, TestType>();
}

TEST_CASE("widened sums have the host's bits on the device", "[device]") {
  using Device = Kokkos::DefaultExecutionSpace;
  std::vector<std::int64_t> const sums{0, 1, -1, 123456789, -987654321, 1LL << 60, -(1LL << 60)};
  Sums<Float16, true, Kokkos::Serial> host(sums.size());
  Sums<Float16, true, Device> device(sums.size());
  auto const on_host = test::device_copy<Kokkos::Serial>(sums);
  auto const on_device = test::device_copy<Device>(sums);
  widen_sums(host.ctx, VectorOf<std::int64_t const, Kokkos::Serial>(on_host), host.window());
  widen_sums(device.ctx, VectorOf<std::int64_t const, Device>(on_device), device.window());
  device.ctx.fence();
  CHECK(test::different_bits(test::host_copy(device.high), test::host_copy(host.high)) == 0);
  CHECK(test::different_bits(test::host_copy(device.low), test::host_copy(host.low)) == 0);
}

}  // namespace accumulate_test

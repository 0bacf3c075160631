// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::kernels {

/// What an exact mean or an accumulation met on its way. Reports of parts add up; `first_*` are
/// indices into the call's own vectors, none = -1, so shift them before adding.
struct MeanReport {
  std::int64_t nan_inputs = 0;
  std::int64_t infinite_inputs = 0;
  std::int64_t overflowed = 0;  ///< finite inputs whose result is infinite
  std::int64_t first_nonfinite = -1;
  std::int64_t first_overflow = -1;
  std::int64_t wide = 0;  ///< elements that needed wide integers

  MeanReport& operator+=(MeanReport const& other) {
    auto const earlier = [](std::int64_t a, std::int64_t b) {
      return a < 0 ? b : b < 0 ? a : a < b ? a : b;
    };
    nan_inputs += other.nan_inputs;
    infinite_inputs += other.infinite_inputs;
    overflowed += other.overflowed;
    first_nonfinite = earlier(first_nonfinite, other.first_nonfinite);
    first_overflow = earlier(first_overflow, other.first_overflow);
    wide += other.wide;
    return *this;
  }

  /// The same report of elements that begin at `offset` in a longer vector.
  MeanReport shifted(std::int64_t offset) const {
    MeanReport r = *this;
    r.first_nonfinite += first_nonfinite < 0 ? 0 : offset;
    r.first_overflow += first_overflow < 0 ? 0 : offset;
    return r;
  }
};

/// Counters that kernels raise; indices start at the largest value so that a minimum finds the
/// first.
struct MeanCounters {
  std::int64_t nan_inputs = 0;
  std::int64_t infinite_inputs = 0;
  std::int64_t overflowed = 0;
  std::int64_t first_nonfinite = INT64_MAX;
  std::int64_t first_overflow = INT64_MAX;
  std::int64_t wide = 0;

  KOKKOS_INLINE_FUNCTION void count_nonfinite(std::int64_t at, std::int64_t nans,
                                              std::int64_t infinities) {
    Kokkos::atomic_add(&nan_inputs, nans);
    Kokkos::atomic_add(&infinite_inputs, infinities);
    Kokkos::atomic_min(&first_nonfinite, at);
  }
  KOKKOS_INLINE_FUNCTION void count_overflow(std::int64_t at) {
    Kokkos::atomic_add(&overflowed, std::int64_t{1});
    Kokkos::atomic_min(&first_overflow, at);
  }

  MeanReport report() const {
    auto const index = [](std::int64_t i) { return i == INT64_MAX ? -1 : i; };
    return {nan_inputs, infinite_inputs, overflowed, index(first_nonfinite), index(first_overflow),
            wide};
  }
};

/// Runs body(pointer to counters) on exec, fences, and returns what was counted.
template <class Exec, class Body>
MeanReport with_counters(Exec const& exec, Body const& body) {
  MeanCounters host;
  if constexpr (bool(Kokkos::SpaceAccessibility<Exec, Kokkos::HostSpace>::accessible)) {
    body(&host);
    exec.fence("dashi::kernels::with_counters");
  } else {
    using Counters = Kokkos::View<MeanCounters, typename Exec::memory_space>;
    using HostCounters = Kokkos::View<MeanCounters, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
    Counters const device(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::counters"));
    Kokkos::deep_copy(exec, device, HostCounters(&host));
    body(device.data());
    Kokkos::deep_copy(exec, HostCounters(&host), device);
    exec.fence("dashi::kernels::with_counters");
  }
  return host.report();
}

}  // namespace dashi::kernels

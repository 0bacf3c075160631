// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <limits>
#include <string>
#include <type_traits>

namespace dashi::backends::portable {

/// What works on a row of numbers: one thread of a host.
struct HostRowTeam {
  template <class Body>
  KOKKOS_INLINE_FUNCTION void each(Index begin, Index end, Body const& body) const {
    for (Index j = begin; j < end; ++j) {
      body(j);
    }
  }
  KOKKOS_INLINE_FUNCTION void barrier() const {}

  /// Sixteen lanes and a tree over them: one order for every number of threads.
  template <class T>
  KOKKOS_INLINE_FUNCTION T dot(Index begin, Index end, T const* x, T const* y) const {
    constexpr Index lanes = 16;
    T lane[lanes] = {};
    Index j = begin;
    for (; j + lanes <= end; j += lanes) {
      for (Index l = 0; l < lanes; ++l) {
        lane[l] += x[j + l] * y[j + l];
      }
    }
    for (Index l = 0; j < end; ++j, ++l) {
      lane[l] += x[j] * y[j];
    }
    for (Index half = lanes / 2; half > 0; half /= 2) {
      for (Index l = 0; l < half; ++l) {
        lane[l] += lane[l + half];
      }
    }
    return lane[0];
  }
};

/// What works on a row of numbers: a team of a device.
template <class Member>
struct DeviceRowTeam {
  Member const& member;

  template <class Body>
  KOKKOS_INLINE_FUNCTION void each(Index begin, Index end, Body const& body) const {
    Kokkos::parallel_for(Kokkos::TeamThreadRange(member, begin, end), body);
  }
  KOKKOS_INLINE_FUNCTION void barrier() const { member.team_barrier(); }

  template <class T>
  KOKKOS_INLINE_FUNCTION T dot(Index begin, Index end, T const* x, T const* y) const {
    T sum{};
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(member, begin, end), [&](Index j, T& part) { part += x[j] * y[j]; },
        sum);
    return sum;
  }
};

template <class Exec>
inline constexpr bool is_host_space =
    std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace>;

namespace detail {

template <class Exec, class Kernel>
void for_each_row_on_host(char const* label, Exec const& exec, Index count, Index work,
                          Kernel const& kernel) {
  constexpr Index worth_all_threads = 32768;
  if (count == 1 || count * work < worth_all_threads) {
    exec.fence(label);
    for (Index i = 0; i < count; ++i) {
      kernel(HostRowTeam{}, i);
    }
    return;
  }
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, count),
                       [=](Index i) { kernel(HostRowTeam{}, i); });
}

template <class Exec, class Kernel>
void for_each_row_on_device(char const* label, Exec const& exec, Index count,
                            Kernel const& kernel) {
  using Policy = Kokkos::TeamPolicy<Exec>;
  using Member = typename Policy::member_type;
  constexpr Index most = std::numeric_limits<int>::max();  // teams that a league may have
  DASHI_EXPECTS(count <= most, std::string(label) + " has " + std::to_string(count) +
                                   " rows, on devices at most " + std::to_string(most));
  Kokkos::parallel_for(
      label, Policy(exec, static_cast<int>(count), 128), KOKKOS_LAMBDA(Member const& member) {
        kernel(DeviceRowTeam<Member>{member}, Index{member.league_rank()});
      });
}

}  // namespace detail

/// Calls kernel(team, i) for i in [0, count), each with a team of its own; asynchronous. `work` is
/// about the number of elements that one call touches: little work stays on one thread of a host.
template <class Exec, class Kernel>
void for_each_row(char const* label, Exec const& exec, Index count, Index work,
                  Kernel const& kernel) {
  if constexpr (is_host_space<Exec>) {
    detail::for_each_row_on_host(label, exec, count, work, kernel);
  } else {
    detail::for_each_row_on_device(label, exec, count, kernel);
  }
}

}  // namespace dashi::backends::portable

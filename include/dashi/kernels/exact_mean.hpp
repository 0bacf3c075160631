// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/mean_kernel.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_weights.hpp>
#include <dashi/kernels/tile_runner.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace dashi::kernels {

namespace detail {

template <class T>
inline constexpr bool is_mean_type = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16> ||
                                     std::is_same_v<T, float> || std::is_same_v<T, double>;

/// A host vector where Exec can read it: itself, or a copy in Exec's memory.
template <class T, class Exec>
class Reachable {
public:
  Reachable(Exec const& exec, std::vector<T> const& host) : data_(host.data()) {
    if constexpr (!bool(Kokkos::SpaceAccessibility<Exec, Kokkos::HostSpace>::accessible)) {
      using HostBytes = Kokkos::View<std::byte const*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
      std::size_t const size = host.size() * sizeof(T);
      copy_ = Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::mean_table"), size);
      Kokkos::deep_copy(exec, copy_,
                        HostBytes(reinterpret_cast<std::byte const*>(host.data()), size));
      data_ = reinterpret_cast<T const*>(copy_.data());
    }
  }
  T const* data() const { return data_; }

private:
  // Bytes, because an array of pointers would be a view of another rank.
  using Bytes = Kokkos::View<std::byte*, typename Exec::memory_space>;
  Bytes copy_;
  T const* data_;
};

}  // namespace detail

/// out[i] = Σ w_k members[k][i] / Σ w_k, the exact rational value rounded once to Out, to nearest,
/// ties to even. Diffusion Soup, arXiv 2406.08431, section 3; exactness: docs/maths/exact_mean.md.
///
/// In, Out: Float16, BFloat16, float or double. members: one vector a weight, all of out's extent;
/// those of weight 0 are not read. The result is a function of the set of (weight, value) pairs
/// alone: order, threads and device change no bit. Values beyond the largest finite number become
/// infinity, subnormals are kept, a zero is negative iff every term (sign of w times sign of x) is
/// -0. NaN inputs give NaN, infinities of both signs NaN. All of these are counted in the report.
/// Memory: reads each member once, writes out once. Fences. Floating-point environment: to nearest,
/// without flushing subnormals (FloatingEnvironment).
template <class In, class Out, class Exec, class Provider>
MeanReport exact_mean(Context<Exec, Provider>& ctx, MeanWeights const& weights,
                      std::span<VectorOf<In const, Exec> const> members, VectorOf<Out, Exec> out) {
  static_assert(
      detail::is_mean_type<In> && detail::is_mean_type<Out>,
      "dashi::kernels::exact_mean: In and Out must be Float16, BFloat16, float or double; "
      "widen other types with convert_values first");
  DASHI_EXPECTS(members.size() == weights.values().size(), "one weight a member");
  std::vector<In const*> pointers;
  std::vector<std::int64_t> integers;
  std::vector<float> floats;
  for (std::size_t k = 0; k < members.size(); ++k) {
    DASHI_EXPECTS(members[k].extent(0) == out.extent(0), "members must have the extent of out");
    if (weights.values()[k] != 0) {
      pointers.push_back(members[k].data());
      integers.push_back(weights.values()[k]);
      floats.push_back(static_cast<float>(weights.values()[k]));
    }
  }
  Exec const& exec = ctx.exec();
  detail::Reachable<In const*, Exec> const pointer_table(exec, pointers);
  detail::Reachable<std::int64_t, Exec> const weight_table(exec, integers);
  detail::Reachable<float, Exec> const float_table(exec, floats);
  MeanConstants const constants = mean_constants<In, Out>(weights);
  return with_counters(exec, [&](MeanCounters* counters) {
    run_tiles("dashi::kernels::exact_mean", exec, static_cast<Index>(out.extent(0)),
              MeanKernel<In, Out>{pointer_table.data(), weight_table.data(), float_table.data(),
                                  constants, out.data(), counters});
  });
}

}  // namespace dashi::kernels

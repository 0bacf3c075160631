// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace dashi::kernels {

namespace detail {

template <class T>
struct Weighted {
  T const* values;
  AccumulatorOf<T> weight;
};

/// Carries some entries of a table to where kernels can read it, in the arguments of a launch.
template <class T>
struct WriteWeighted {
  static constexpr int most = 32;
  Weighted<T> entries[std::size_t{most}];
  Weighted<T>* to;

  KOKKOS_INLINE_FUNCTION void operator()(int i) const { to[i] = entries[i]; }
};

template <class T>
struct WeightedSumKernel {
  Weighted<T> const* members;
  int count;
  T* out;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using C = StorageChunk<Lanes, Bytes, T>;
    Index at = begin;
    for (; at + C::size <= end; at += C::size) {
      step<C>(at, AllOfIt{});
    }
    if (at < end) {
      step<C>(at, end - at);
    }
  }

private:
  template <class C, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void step(Index at, Elements elements) const {
    C sum = C::splat(0);
    for (int k = 0; k < count; ++k) {
      C::Part::prefetch(members[k].values + at);
      sum.add_product(C::splat(members[k].weight), C::load(members[k].values + at, elements));
    }
    sum.store(out + at, elements);
  }
};

}  // namespace detail

/// Bytes of ctx.scratch() that weighted_sum takes.
template <class T, class Exec>
std::size_t weighted_sum_scratch(std::size_t members) {
  Arena measuring;
  measuring.vector<detail::Weighted<T>, Exec>(static_cast<Index>(members));
  return measuring.peak();
}

/// out[i] = Σ_k weights[k] members[k][i]: the fast, approximate sister of exact_mean for tensors
/// that are in memory anyway.
///
/// Terms are added in order of k in the accumulator type (float for 16-bit types), the result is
/// rounded once, so that threads change no bit; weights are rounded to the accumulator type. All
/// members in one pass: each is read once, out written once; out may be one of them. No members
/// give zero. Takes weighted_sum_scratch bytes. Asynchronous.
template <class T, class Exec, class Provider>
void weighted_sum(Context<Exec, Provider>& ctx, std::span<double const> weights,
                  std::span<VectorOf<T const, Exec> const> members, VectorOf<T, Exec> out) {
  using Write = detail::WriteWeighted<T>;
  detail::expect_size(weights.size(), "weights", static_cast<Index>(members.size()));
  Frame const frame(ctx.scratch());
  auto const table =
      ctx.scratch().template vector<detail::Weighted<T>, Exec>(static_cast<Index>(members.size()));
  for (std::size_t first = 0; first < members.size(); first += Write::most) {
    Write write{};
    write.to = table.data() + first;
    std::size_t const count = std::min<std::size_t>(Write::most, members.size() - first);
    for (std::size_t k = 0; k < count; ++k) {
      detail::expect_size(members[first + k].extent(0), "a member",
                          static_cast<Index>(out.extent(0)));
      write.entries[k] = {members[first + k].data(),
                          static_cast<AccumulatorOf<T>>(weights[first + k])};
    }
    Kokkos::parallel_for("dashi::kernels::weighted_sum",
                         Kokkos::RangePolicy<Exec>(ctx.exec(), 0, static_cast<int>(count)), write);
  }
  if (out.extent(0) > 0) {
    run_tiles(
        "dashi::kernels::weighted_sum", ctx.exec(), static_cast<Index>(out.extent(0)),
        detail::WeightedSumKernel<T>{table.data(), static_cast<int>(members.size()), out.data()});
  }
}

}  // namespace dashi::kernels

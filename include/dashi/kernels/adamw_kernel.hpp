// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/fast_math.hpp>
#include <dashi/kernels/adamw_arguments.hpp>
#include <dashi/kernels/league_size.hpp>
#include <dashi/kernels/reduce_lanes.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels::detail {

/// Square root of x >= 0 with arithmetic only: the library's sets errno and so keeps loops from
/// vectorising. Newton's iteration for x^-1/2 from the exponent halved, then one for x^1/2; below 1
/// unit in the last place.
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION Real square_root(Real x) noexcept {
  constexpr bool single = std::is_same_v<Real, float>;
  using Bits = typename FloatFormat<Real>::Bits;
  constexpr Bits magic = single ? Bits(0x5f3759dfU) : static_cast<Bits>(0x5fe6eb50c7b537a9ULL);
  constexpr Real tiny =
      single ? Real(5.42101086e-20) : Real(1.4916681462400413e-154);  // 2^-64, -512
  constexpr Real up = single ? Real(18446744073709551616.0) : Real(1.3407807929942597e154);
  constexpr Real down = single ? Real(2.3283064365386963e-10) : Real(8.636168555094445e-78);
  Real const scaled = x < tiny ? x * up : x;  // subnormals have no exponent to halve
  Real y = dashi::detail::same_bits<Real>(
      static_cast<Bits>(magic - (dashi::detail::same_bits<Bits>(scaled) >> 1)));
  Real const half = Real(0.5) * scaled;
  y = y * (Real(1.5) - half * y * y);
  y = y * (Real(1.5) - half * y * y);
  y = y * (Real(1.5) - half * y * y);
  if constexpr (!single) {
    y = y * (Real(1.5) - half * y * y);
  }
  Real const root = scaled * y;
  Real const better = root + Real(0.5) * y * (scaled - root * root);
  Real const result = x < tiny ? better * down : better;
  return x <= Kokkos::Experimental::finite_max_v<Real> ? result : x;
}

/// Constants of a step, bias corrections included.
template <class Real>
struct AdamWStep {
  Real keep, beta1, rest1, beta2, rest2, rate, root_scale, epsilon, average_keep, average_rest,
      gradient_scale;

  AdamWStep(AdamWOptions const& o, std::int64_t step)
      : keep(static_cast<Real>(1 - o.learning_rate * o.weight_decay)),
        beta1(static_cast<Real>(o.beta1)),
        rest1(static_cast<Real>(1 - o.beta1)),
        beta2(static_cast<Real>(o.beta2)),
        rest2(static_cast<Real>(1 - o.beta2)),
        rate(static_cast<Real>(o.learning_rate / bias(o.beta1, step))),
        root_scale(static_cast<Real>(1 / std::sqrt(bias(o.beta2, step)))),
        epsilon(static_cast<Real>(o.epsilon)),
        average_keep(static_cast<Real>(o.average_decay)),
        average_rest(static_cast<Real>(1 - o.average_decay)),
        gradient_scale(static_cast<Real>(o.gradient_scale)) {}

  KOKKOS_FORCEINLINE_FUNCTION void update(Real& p, Real& m, Real& v, Real gradient) const {
    Real const g = gradient * gradient_scale;
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * (g * g);
    p = keep * p - rate * (m / (square_root(v) * root_scale + epsilon));
  }
  KOKKOS_FORCEINLINE_FUNCTION Real averaged(Real average, Real p) const {
    return average_keep * average + average_rest * p;
  }

private:
  static double bias(double beta, std::int64_t step) {
    return -std::expm1(static_cast<double>(step) * std::log(beta));
  }
};

template <class Master, class Gradient, class Shadow>
struct AdamWPointers {
  Master* parameter;
  Gradient const* gradient;
  Master* first_moment;
  Master* second_moment;
  Master* average;  // null for none
  Shadow* shadow;   // null for none
};

/// Elements [first, last) of a tensor: what one task updates.
struct AdamWPiece {
  std::int64_t tensor, first, last;
};

template <class Master, class Gradient, class Shadow>
struct AdamWKernel {
  AdamWPointers<Master, Gradient, Shadow> const* tensors;
  AdamWPiece const* pieces;
  AdamWStep<Master> step;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      AdamWPiece const piece = pieces[task];
      auto const tensor = tensors[piece.tensor];
      for (Index i = piece.first; i < piece.last; i += chunk_size) {
        chunk(tensor, i, piece.last - i < chunk_size ? piece.last - i : chunk_size);
      }
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void one(AdamWPointers<Master, Gradient, Shadow> const& t,
                                       Index i) const {
    Master p = t.parameter[i];
    Master m = t.first_moment[i];
    Master v = t.second_moment[i];
    step.update(p, m, v, convert<Master>(t.gradient[i]));
    t.parameter[i] = p;
    t.first_moment[i] = m;
    t.second_moment[i] = v;
    if (t.average != nullptr) {
      t.average[i] = step.averaged(t.average[i], p);
    }
    if (t.shadow != nullptr) {
      t.shadow[i] = convert<Shadow>(p);
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION void chunk(AdamWPointers<Master, Gradient, Shadow> const& t, Index i,
                                         Index count) const {
    Chunk<Master> p;
    Chunk<Master> m;
    Chunk<Master> v;
    Chunk<Master> g;
    p.load(t.parameter + i, count);
    m.load(t.first_moment + i, count);
    v.load(t.second_moment + i, count);
    g.load(t.gradient + i, count);
    for (Index k = 0; k < chunk_size; ++k) {
      step.update(p.value[k], m.value[k], v.value[k], g.value[k]);
    }
    p.store(t.parameter + i, count);
    m.store(t.first_moment + i, count);
    v.store(t.second_moment + i, count);
    if (t.average != nullptr) {
      g.load(t.average + i, count);
      for (Index k = 0; k < chunk_size; ++k) {
        g.value[k] = step.averaged(g.value[k], p.value[k]);
      }
      g.store(t.average + i, count);
    }
    if (t.shadow != nullptr) {
      p.store(t.shadow + i, count);
    }
  }
};

/// Elements of a piece: some pages of each array on hosts, a few for each thread of a device's
/// team.
template <class Exec>
inline constexpr Index adamw_piece = runs_on_host<Exec> ? 16384 : 2048;

template <class Exec, class Kernel>
void adamw_by_teams(Exec const& exec, Index pieces, Kernel const& kernel) {
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for(
      "dashi::kernels::adamw",
      Policy(exec, league_size(pieces, "adamw"), runs_on_host<Exec> ? 1 : 256),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        AdamWPiece const piece = kernel.pieces[team.league_rank()];
        auto const tensor = kernel.tensors[piece.tensor];
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, piece.last - piece.first),
                             [&](Index i) { kernel.one(tensor, piece.first + i); });
      });
}

}  // namespace dashi::kernels::detail

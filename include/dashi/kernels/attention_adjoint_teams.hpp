// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/attention_teams.hpp>

#include <Kokkos_Core.hpp>

// The adjoint of attention on devices: once a thread a query for dq, once a thread a key for dk and
// dv, so that nothing is added by two threads.
namespace dashi::kernels::detail {

template <int Width, class T, class Exec>
void attention_dq_by_teams(Exec const& exec, AttentionAdjoint<T, Exec> const& a,
                           AttentionSizes const& sizes) {
  using Real = AccumulatorOf<T>;
  constexpr int team_size = attention_team_size<Exec>;
  constexpr auto numbers = static_cast<std::size_t>(2 * attention_team_rows * Width);
  Kokkos::parallel_for(
      "dashi::kernels::attention_adjoint", attention_teams<Real>(exec, sizes, numbers),
      KOKKOS_LAMBDA(typename AttentionTeams<Exec>::member_type const& team) {
        AttentionPlace const place(sizes, team.league_rank(), team_size);
        auto* const keys =
            static_cast<Real*>(team.team_scratch(0).get_shmem(numbers * sizeof(Real)));
        Real* const values = keys + attention_team_rows * Width;
        Index const query = place.first + team.team_rank();
        Index const present = query < sizes.tokens ? query : 0;
        Index const row = place.row + present;
        Real const scale = static_cast<Real>(sizes.scale);
        HeadRow<Width, Real> q;
        HeadRow<Width, Real> g;
        HeadRow<Width, Real> dq;
        load_head<Width>(a.out.row(row) + place.column, sizes.head_size, Real(1), q);
        load_head<Width>(a.d_out.row(row) + place.column, sizes.head_size, Real(1), g);
        Real const delta = head_dot<Width>(g, q);
        load_head<Width>(a.q.row(row) + place.column, sizes.head_size, scale, q);
        DASHI_UNROLL
        for (int c = 0; c < Width; ++c) {
          dq[c] = 0;
        }
        Real const log_sum = a.log_sum_exp(place.head_of_sample, present);
        for (Index first = 0; first < sizes.tokens; first += attention_team_rows) {
          team.team_barrier();
          load_rows<Width>(team, a.k, place, sizes, first, keys);
          load_rows<Width>(team, a.v, place, sizes, first, values);
          team.team_barrier();
          Index const count = sizes.tokens - first < attention_team_rows ? sizes.tokens - first
                                                                         : attention_team_rows;
          for (Index key = 0; key < count; ++key) {
            Real const p = exponential(head_dot<Width>(q, keys + key * Width) - log_sum);
            Real const dp = head_dot<Width>(g, values + key * Width);
            head_add<Width>(p * (dp - delta), keys + key * Width, dq);
          }
        }
        if (query < sizes.tokens) {
          store_head<Width>(dq, sizes.head_size, scale, a.dq.row(row) + place.column);
        }
      });
}

template <int Width, class T, class Exec>
void attention_dk_dv_by_teams(Exec const& exec, AttentionAdjoint<T, Exec> const& a,
                              AttentionSizes const& sizes) {
  using Real = AccumulatorOf<T>;
  constexpr int team_size = attention_team_size<Exec>;
  constexpr auto numbers = static_cast<std::size_t>(2 * attention_team_rows * (Width + 1));
  Kokkos::parallel_for(
      "dashi::kernels::attention_adjoint", attention_teams<Real>(exec, sizes, numbers),
      KOKKOS_LAMBDA(typename AttentionTeams<Exec>::member_type const& team) {
        AttentionPlace const place(sizes, team.league_rank(), team_size);
        auto* const queries =
            static_cast<Real*>(team.team_scratch(0).get_shmem(numbers * sizeof(Real)));
        Real* const gradients = queries + attention_team_rows * Width;
        Real* const log_sums = gradients + attention_team_rows * Width;
        Real* const deltas = log_sums + attention_team_rows;
        Index const key = place.first + team.team_rank();
        Index const row = place.row + (key < sizes.tokens ? key : 0);
        HeadRow<Width, Real> k;
        HeadRow<Width, Real> v;
        HeadRow<Width, Real> dk;
        HeadRow<Width, Real> dv;
        Real const scale = static_cast<Real>(sizes.scale);
        load_head<Width>(a.k.row(row) + place.column, sizes.head_size, scale, k);
        load_head<Width>(a.v.row(row) + place.column, sizes.head_size, Real(1), v);
        DASHI_UNROLL
        for (int c = 0; c < Width; ++c) {
          dk[c] = 0;
          dv[c] = 0;
        }
        for (Index first = 0; first < sizes.tokens; first += attention_team_rows) {
          Index const count = sizes.tokens - first < attention_team_rows ? sizes.tokens - first
                                                                         : attention_team_rows;
          team.team_barrier();
          load_rows<Width>(team, a.q, place, sizes, first, queries);
          load_rows<Width>(team, a.d_out, place, sizes, first, gradients);
          Kokkos::parallel_for(Kokkos::TeamThreadRange(team, count), [&](Index r) {
            Index const from = place.row + first + r;
            Real delta = 0;
            for (Index c = 0; c < sizes.head_size; ++c) {
              delta += widened(a.d_out.row(from)[place.column + c]) *
                       widened(a.out.row(from)[place.column + c]);
            }
            deltas[r] = delta;
            log_sums[r] = a.log_sum_exp(place.head_of_sample, first + r);
          });
          team.team_barrier();
          for (Index r = 0; r < count; ++r) {
            Real const p = exponential(head_dot<Width>(k, queries + r * Width) - log_sums[r]);
            Real const dp = head_dot<Width>(v, gradients + r * Width);
            head_add<Width>(p, gradients + r * Width, dv);
            head_add<Width>(p * (dp - deltas[r]), queries + r * Width, dk);
          }
        }
        if (key < sizes.tokens) {
          store_head<Width>(dk, sizes.head_size, scale, a.dk.row(row) + place.column);
          store_head<Width>(dv, sizes.head_size, Real(1), a.dv.row(row) + place.column);
        }
      });
}

template <class T, class Exec>
void attention_adjoint_by_teams(Exec const& exec, AttentionAdjoint<T, Exec> const& a,
                                AttentionSizes const& sizes) {
  if (a.q.rows == 0) {
    return;
  }
  with_head_width(sizes.head_size, [&](auto width) {
    attention_dq_by_teams<decltype(width)::value>(exec, a, sizes);
    attention_dk_dv_by_teams<decltype(width)::value>(exec, a, sizes);
  });
}

}  // namespace dashi::kernels::detail

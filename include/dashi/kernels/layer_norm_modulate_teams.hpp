// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/layer_norm_modulate_adjoint_rows.hpp>
#include <dashi/kernels/layer_norm_modulate_arguments.hpp>
#include <dashi/kernels/league_size.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

// Layer norm on devices: a team a row, neighbouring threads on neighbouring columns.
namespace dashi::kernels::detail {

/// Threads of a team: as many as a row can feed.
template <class Exec>
inline constexpr int norm_team_size = runs_on_host<Exec> ? 1 : 128;

template <class T, class Exec>
void layer_norm_modulate_by_teams(Exec const& exec, LayerNormModulate<T, Exec> const& a) {
  using Real = AccumulatorOf<T>;
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  if (a.x.rows == 0) {
    return;
  }
  Kokkos::parallel_for(
      "dashi::kernels::layer_norm_modulate",
      Policy(exec, league_size(a.x.rows, "layer_norm_modulate"), norm_team_size<Exec>),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        Index const row = team.league_rank();
        Index const sample = row / a.rows_per_sample;
        Index const cols = a.x.cols;
        T const* const h = a.branch.given() ? a.sum.row(row) : a.x.row(row);
        Real total = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, cols),
            [&](Index c, Real& part) {
              Real value = widened(a.x.row(row)[c]);
              if (a.branch.given()) {
                Real const g = a.gate.given() ? widened(a.gate.row(sample)[c]) : Real(1);
                T const stored = convert<T>(value + g * widened(a.branch.row(row)[c]));
                a.sum.row(row)[c] = stored;
                value = widened(stored);
              }
              part += value;
            },
            total);
        team.team_barrier();
        Real const mean = total / static_cast<Real>(cols);
        Real squares = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, cols),
            [&](Index c, Real& part) {
              Real const centred = widened(h[c]) - mean;
              part += centred * centred;
            },
            squares);
        Real const reciprocal = Real(1) / Kokkos::sqrt(squares / static_cast<Real>(cols) +
                                                       static_cast<Real>(a.epsilon));
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          a.mean(row) = mean;
          a.reciprocal_deviation(row) = reciprocal;
        });
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, cols), [&](Index c) {
          Real const s = a.scale.given() ? widened(a.scale.row(sample)[c]) : Real(0);
          Real const b = a.shift.given() ? widened(a.shift.row(sample)[c]) : Real(0);
          a.y.row(row)[c] = convert<T>((widened(h[c]) - mean) * reciprocal * (Real(1) + s) + b);
        });
      });
}

/// Contributions of a block of rows to one column of d_gate, d_scale and d_shift: a thread each.
template <class T, class Exec>
void norm_partials_by_columns(Exec const& exec, LayerNormModulateAdjoint<T, Exec> const& a,
                              Rows<AccumulatorOf<T>> const& partial) {
  using Real = AccumulatorOf<T>;
  Index const cols = a.dy.cols;
  Kokkos::parallel_for(
      "dashi::kernels::layer_norm_modulate_adjoint",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, partial.rows * cols),
      KOKKOS_LAMBDA(Index task) {
        Index const block = task / cols;
        Index const c = task - block * cols;
        Index const blocks = norm_blocks(a.rows_per_sample);
        Index const sample = block / blocks;
        Index const first = (block - sample * blocks) * norm_block;
        Index const last =
            first + norm_block < a.rows_per_sample ? first + norm_block : a.rows_per_sample;
        Real gate = 0;
        Real scale = 0;
        Real shift = 0;
        for (Index r = first; r < last; ++r) {
          Index const row = sample * a.rows_per_sample + r;
          Real const g = widened(a.dy.row(row)[c]);
          if (a.branch.given()) {
            gate += widened(a.d_sum.row(row)[c]) * widened(a.branch.row(row)[c]);
          }
          scale += g * (widened(a.sum.row(row)[c]) - a.mean(row)) * a.reciprocal_deviation(row);
          shift += g;
        }
        partial.row(block)[c] = gate;
        partial.row(block)[cols + c] = scale;
        partial.row(block)[2 * cols + c] = shift;
      });
}

template <class T, class Exec>
void layer_norm_modulate_adjoint_by_teams(Exec const& exec,
                                          LayerNormModulateAdjoint<T, Exec> const& a,
                                          Rows<AccumulatorOf<T>> const& partial) {
  using Real = AccumulatorOf<T>;
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  if (a.dy.rows == 0) {
    return;
  }
  Kokkos::parallel_for(
      "dashi::kernels::layer_norm_modulate_adjoint",
      Policy(exec, league_size(a.dy.rows, "layer_norm_modulate_adjoint"), norm_team_size<Exec>),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        Index const row = team.league_rank();
        Index const sample = row / a.rows_per_sample;
        Index const cols = a.dy.cols;
        Real const mean = a.mean(row);
        Real const reciprocal = a.reciprocal_deviation(row);
        auto const scaled = [&](Index c) {
          Real const s = a.scale.given() ? widened(a.scale.row(sample)[c]) : Real(0);
          return widened(a.dy.row(row)[c]) * (Real(1) + s);
        };
        auto const normalised = [&](Index c) {
          return (widened(a.sum.row(row)[c]) - mean) * reciprocal;
        };
        Real total = 0;
        Real projected = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, cols), [&](Index c, Real& part) { part += scaled(c); },
            total);
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, cols),
            [&](Index c, Real& part) { part += scaled(c) * normalised(c); }, projected);
        Real const average = total / static_cast<Real>(cols);
        Real const slope = projected / static_cast<Real>(cols);
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, cols), [&](Index c) {
          Real const other = a.other_d_sum.given() ? widened(a.other_d_sum.row(row)[c]) : Real(0);
          Real const dh = other + reciprocal * (scaled(c) - average - normalised(c) * slope);
          a.d_sum.row(row)[c] = convert<T>(dh);
          if (a.d_branch.given()) {
            Real const g = a.gate.given() ? widened(a.gate.row(sample)[c]) : Real(1);
            a.d_branch.row(row)[c] = convert<T>(g * dh);
          }
        });
      });
  norm_partials_by_columns(exec, a, partial);
}

}  // namespace dashi::kernels::detail

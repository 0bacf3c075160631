// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/attention_arguments.hpp>
#include <dashi/kernels/exponential.hpp>
#include <dashi/kernels/league_size.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <type_traits>

// Attention on devices: a thread a query, keys and values of some rows in the team's memory, and
// softmax with a running maximum (Milakov and Gimelshein, arXiv 1805.02867).
namespace dashi::kernels::detail {

/// Queries of a team, one each thread.
template <class Exec>
inline constexpr int attention_team_size = runs_on_host<Exec> ? 1 : 64;
inline constexpr int attention_team_rows = 16;  // keys at a time

#if defined(KOKKOS_ENABLE_PRAGMA_UNROLL)
#define DASHI_UNROLL _Pragma("unroll")
#else
#define DASHI_UNROLL
#endif

/// A thread's row of a head, in registers.
template <int Width, class Real>
using HeadRow = Real[static_cast<std::size_t>(Width)];

/// `cols` numbers of a row, zeros up to Width.
template <int Width, class Real, class T>
KOKKOS_INLINE_FUNCTION void load_head(T const* from, Index cols, Real factor,
                                      HeadRow<Width, Real>& to) {
  DASHI_UNROLL
  for (int c = 0; c < Width; ++c) {
    to[c] = c < cols ? factor * widened(from[c < cols ? c : 0]) : Real(0);
  }
}

template <int Width, class Real>
KOKKOS_INLINE_FUNCTION Real head_dot(HeadRow<Width, Real> const& a, Real const* b) {
  Real total = 0;
  DASHI_UNROLL
  for (int c = 0; c < Width; ++c) {
    total += a[c] * b[c];
  }
  return total;
}

template <int Width, class Real>
KOKKOS_INLINE_FUNCTION void head_add(Real factor, Real const* b, HeadRow<Width, Real>& to) {
  DASHI_UNROLL
  for (int c = 0; c < Width; ++c) {
    to[c] += factor * b[c];
  }
}

template <int Width, class Real, class T>
KOKKOS_INLINE_FUNCTION void store_head(HeadRow<Width, Real> const& from, Index cols, Real factor,
                                       T* to) {
  DASHI_UNROLL
  for (int c = 0; c < Width; ++c) {
    if (c < cols) {
      to[c] = convert<T>(factor * from[c]);
    }
  }
}

/// Which sample, head and row a team's thread works on.
struct AttentionPlace {
  Index head_of_sample, row, column, first;

  KOKKOS_INLINE_FUNCTION AttentionPlace(AttentionSizes const& sizes, Index team, int team_size) {
    Index const blocks = (sizes.tokens + team_size - 1) / team_size;
    head_of_sample = team / blocks;
    first = (team - head_of_sample * blocks) * team_size;
    Index const sample = head_of_sample / sizes.heads;
    row = sample * sizes.tokens;
    column = (head_of_sample - sample * sizes.heads) * sizes.head_size;
  }
};

template <class Exec>
using AttentionTeams = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;

/// Teams for all rows of all heads, each with memory for `numbers` of Real.
template <class Real, class Exec>
AttentionTeams<Exec> attention_teams(Exec const& exec, AttentionSizes const& sizes,
                                     std::size_t numbers) {
  Index const size = attention_team_size<Exec>;
  int const league =
      league_size(sizes.samples * sizes.heads * ((sizes.tokens + size - 1) / size), "attention");
  std::size_t const bytes = numbers * sizeof(Real) + 64;
  return AttentionTeams<Exec>(exec, league, attention_team_size<Exec>)
      .set_scratch_size(0, Kokkos::PerTeam(bytes));
}

/// Calls body with the number of columns, as a type, that threads hold of a head of this size.
template <class Body>
void with_head_width(Index head_size, Body const& body) {
  if (head_size <= 64) {
    body(std::integral_constant<int, 64>{});
  } else if (head_size <= 80) {
    body(std::integral_constant<int, 80>{});
  } else {
    body(std::integral_constant<int, largest_head>{});
  }
}

/// Rows [first, first + attention_team_rows) of a head into the team's memory, with zeros past the
/// last token and column.
template <int Width, class Team, class T, class Real>
KOKKOS_INLINE_FUNCTION void load_rows(Team const& team, Rows<T> const& from,
                                      AttentionPlace const& place, AttentionSizes const& sizes,
                                      Index first, Real* to) {
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, attention_team_rows * Width), [&](int i) {
    Index const r = first + i / Width;
    Index const c = i % Width;
    to[i] = r < sizes.tokens && c < sizes.head_size
                ? widened(from.row(place.row + r)[place.column + c])
                : Real(0);
  });
}

template <int Width, class T, class Exec>
void attention_by_teams_of(Exec const& exec, Attention<T, Exec> const& a,
                           AttentionSizes const& sizes) {
  using Real = AccumulatorOf<T>;
  constexpr int team_size = attention_team_size<Exec>;
  constexpr auto numbers = static_cast<std::size_t>(2 * attention_team_rows * Width);
  Kokkos::parallel_for(
      "dashi::kernels::attention", attention_teams<Real>(exec, sizes, numbers),
      KOKKOS_LAMBDA(typename AttentionTeams<Exec>::member_type const& team) {
        AttentionPlace const place(sizes, team.league_rank(), team_size);
        auto* const keys =
            static_cast<Real*>(team.team_scratch(0).get_shmem(numbers * sizeof(Real)));
        Real* const values = keys + attention_team_rows * Width;
        Index const query = place.first + team.team_rank();
        Index const row = place.row + (query < sizes.tokens ? query : 0);
        HeadRow<Width, Real> q;
        HeadRow<Width, Real> o;
        load_head<Width>(a.q.row(row) + place.column, sizes.head_size,
                         static_cast<Real>(sizes.scale), q);
        DASHI_UNROLL
        for (int c = 0; c < Width; ++c) {
          o[c] = 0;
        }
        Real top = -Kokkos::Experimental::finite_max_v<Real>;
        Real sum = 0;
        for (Index first = 0; first < sizes.tokens; first += attention_team_rows) {
          team.team_barrier();
          load_rows<Width>(team, a.k, place, sizes, first, keys);
          load_rows<Width>(team, a.v, place, sizes, first, values);
          team.team_barrier();
          Index const count = sizes.tokens - first < attention_team_rows ? sizes.tokens - first
                                                                         : attention_team_rows;
          for (Index key = 0; key < count; ++key) {
            Real const score = head_dot<Width>(q, keys + key * Width);
            if (score > top) {
              Real const factor = exponential(top - score);
              top = score;
              sum *= factor;
              DASHI_UNROLL
              for (int c = 0; c < Width; ++c) {
                o[c] *= factor;
              }
            }
            Real const weight = exponential(score - top);
            sum += weight;
            head_add<Width>(weight, values + key * Width, o);
          }
        }
        if (query < sizes.tokens) {
          store_head<Width>(o, sizes.head_size, Real(1) / sum, a.out.row(row) + place.column);
          a.log_sum_exp(place.head_of_sample, query) = top + Kokkos::log(sum);
        }
      });
}

template <class T, class Exec>
void attention_by_teams(Exec const& exec, Attention<T, Exec> const& a,
                        AttentionSizes const& sizes) {
  if (a.q.rows == 0) {
    return;
  }
  with_head_width(sizes.head_size, [&](auto width) {
    attention_by_teams_of<decltype(width)::value>(exec, a, sizes);
  });
}

}  // namespace dashi::kernels::detail

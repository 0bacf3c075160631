// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/objective_arguments.hpp>
#include <dashi/kernels/league_size.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

// Objectives on devices: a team a sample, sums in double.
namespace dashi::diffusion::detail {

template <class T, class X>
struct ObjectiveElement {
  ObjectiveArguments<T, X> const& a;
  StepTerms const& s;
  Index sample;
  using Real = typename ObjectiveArguments<T, X>::Real;

  /// The square of element i's error; writes its slope.
  KOKKOS_INLINE_FUNCTION double square(Index i) const {
    Real const error = a.error(sample, i);
    if (a.wants_gradient()) {
      a.d_output.row(sample)[i] = convert<T>(static_cast<Real>(a.error_scale(s, sample)) * error);
    }
    return static_cast<double>(error) * static_cast<double>(error);
  }

  /// The variational term of element i; writes its slope.
  KOKKOS_INLINE_FUNCTION double bound(Index i) const {
    T* const slope = a.wants_gradient() ? a.d_output.row(sample) + a.target.cols + i : nullptr;
    if (s.decodes) {
      TermAndSlope<double> const term = a.decoder_term(s, sample, i);
      if (slope != nullptr) {
        *slope = convert<T>(a.bound_scale(sample) * term.slope);
      }
      return term.value;
    }
    TermAndSlope<Real> const term =
        divergence(a.error(sample, i), convert<Real>(a.output.row(sample)[a.target.cols + i]),
                   static_cast<Real>(s.log_range), static_cast<Real>(s.mean_weight));
    if (slope != nullptr) {
      *slope = convert<T>(static_cast<Real>(a.bound_scale(sample)) * term.slope);
    }
    return static_cast<double>(term.value);
  }
};

template <class Exec, class T, class X>
void objective_by_teams(Exec const& exec, ObjectiveArguments<T, X> const& a) {
  if (a.target.rows == 0) {
    return;
  }
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  int const league = kernels::detail::league_size(a.target.rows, "objective");
  Kokkos::parallel_for(
      "dashi::diffusion::objective", Policy(exec, league, kernels::runs_on_host<Exec> ? 1 : 256),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        Index const sample = team.league_rank();
        StepTerms const s = a.terms(sample);
        ObjectiveElement<T, X> const element{a, s, sample};
        double squares = 0;
        double nats = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, a.target.cols),
            [&](Index i, double& sum) { sum += element.square(i); }, squares);
        if (a.learned_range) {
          Kokkos::parallel_reduce(
              Kokkos::TeamThreadRange(team, a.target.cols),
              [&](Index i, double& sum) { sum += element.bound(i); }, nats);
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() { a.write(sample, s, squares, nats); });
      });
}

}  // namespace dashi::diffusion::detail

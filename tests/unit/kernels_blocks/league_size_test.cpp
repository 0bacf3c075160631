// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/attention_teams.hpp>
#include <dashi/kernels/layer_norm_modulate_teams.hpp>
#include <dashi/kernels/league_size.hpp>

#include <catch2/catch_test_macros.hpp>

#include <limits>

namespace league_size_test {

namespace {

using dashi::Index;
using Exec = Kokkos::DefaultExecutionSpace;

constexpr Index most = std::numeric_limits<int>::max();

}  // namespace

TEST_CASE("more teams than a launch has are refused before anything is read", "[league_size]") {
  namespace detail = dashi::kernels::detail;
  CHECK(detail::league_size(most, "test") == most);
  CHECK_THROWS_AS(detail::league_size(most + 1, "test"), dashi::PreconditionError);
  CHECK_THROWS_AS(detail::attention_teams<float>(Exec(), {most, 64, 16, 64, 1}, 1),
                  dashi::PreconditionError);
  dashi::kernels::LayerNormModulate<float, Exec> forward;
  forward.x.rows = most + 1;
  forward.x.cols = 1;
  CHECK_THROWS_AS(detail::layer_norm_modulate_by_teams(Exec(), forward), dashi::PreconditionError);
  dashi::kernels::LayerNormModulateAdjoint<float, Exec> adjoint;
  adjoint.dy.rows = most + 1;
  adjoint.dy.cols = 1;
  CHECK_THROWS_AS(detail::layer_norm_modulate_adjoint_by_teams(Exec(), adjoint, {}),
                  dashi::PreconditionError);
}

}  // namespace league_size_test

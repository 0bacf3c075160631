// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/shared_svd.hpp>

#include <catch2/catch_test_macros.hpp>

#include <type_traits>

namespace placement_test {

namespace {

using namespace dashi;
using P = precision::Float32;
using Exec = Kokkos::DefaultHostExecutionSpace;

template <class Placement, class R, class Expected>
constexpr bool has = std::is_same_v<typename Placement::template Adapter<R>, Expected>;

}  // namespace

TEST_CASE("a role includes those derived from it", "[placement]") {
  using Attention = Place<On<role::attention, LowRank>>;
  STATIC_REQUIRE(has<Attention, role::query, LowRank>);
  STATIC_REQUIRE(has<Attention, role::key, LowRank>);
  STATIC_REQUIRE(has<Attention, role::value, LowRank>);
  STATIC_REQUIRE(has<Attention, role::attention_output, LowRank>);
  STATIC_REQUIRE(has<Attention, role::mlp_in, Dense>);
  STATIC_REQUIRE(has<Attention, role::qkv, Dense>);
  STATIC_REQUIRE(has<Attention, role::modulation, Dense>);
  using Mlp = Place<On<role::mlp, LowRank>>;
  STATIC_REQUIRE(has<Mlp, role::mlp_in, LowRank>);
  STATIC_REQUIRE(has<Mlp, role::mlp_out, LowRank>);
  STATIC_REQUIRE(has<Mlp, role::query, Dense>);
  using All = Place<On<role::any, LowRank>>;
  STATIC_REQUIRE(has<All, role::final, LowRank>);
  STATIC_REQUIRE(has<All, role::qkv, LowRank>);
  STATIC_REQUIRE(has<Place<>, role::final, Dense>);
}

TEST_CASE("the first match wins", "[placement]") {
  using Some = Place<On<role::key, ScaleBias>, On<role::attention, LowRank>,
                     On<role::any, LowRank, ScaleBias>>;
  STATIC_REQUIRE(has<Some, role::key, ScaleBias>);
  STATIC_REQUIRE(has<Some, role::query, LowRank>);
  STATIC_REQUIRE(has<Some, role::patch, Stack<LowRank, ScaleBias>>);
  STATIC_REQUIRE(Some::index<role::key> == 0);
  STATIC_REQUIRE(Some::index<role::value> == 1);
  STATIC_REQUIRE(Some::index<role::mlp_out> == 2);
}

TEST_CASE("options are a value or a function of the layer", "[placement]") {
  using Some = Place<On<role::key, ScaleBias>, On<role::attention, LowRank>>;
  Some::Options const options{
      ScaleBias{.scale = false}, [](LayerInfo const& layer) {
        return LowRank{.rank = layer.block * 10 + (layer.role == "query" ? 1 : 2)};
      }};
  LayerInfo const layer{3, 12, {}, {8, 8}};
  CHECK_FALSE(Some::options_for<role::key>(options, layer).scale);
  CHECK(Some::options_for<role::query>(options, layer).rank == 31);
  CHECK(Some::options_for<role::value>(options, layer).rank == 32);
  STATIC_REQUIRE(std::is_same_v<decltype(Some::options_for<role::mlp_in>(options, layer)), Dense>);
  CHECK(Some::options_for<role::value>(Some::Options{}, layer).rank == LowRank{}.rank);
}

TEST_CASE("a base is frozen under adapters that add to it", "[placement]") {
  using Additive = Place<On<role::attention, LowRank>>;
  using Replacing = Place<On<role::attention, GatedSvd>, On<role::mlp, SharedSvd, ScaleBias>>;
  using Both = Place<On<role::attention, GatedSvd>, On<role::mlp, LowRank>>;
  STATIC_REQUIRE(Place<>::trains_base<P, Exec>);
  STATIC_REQUIRE_FALSE(Additive::trains_base<P, Exec>);
  STATIC_REQUIRE(Replacing::trains_base<P, Exec>);
  STATIC_REQUIRE_FALSE(Both::trains_base<P, Exec>);
}

}  // namespace placement_test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/low_rank.hpp>

#include <examples/04_custom_adapter/input_scale.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <adapter_archetype.hpp>
#include <linear_fixture.hpp>

namespace linear_test {

namespace {

using namespace dashi;
using test::LinearFixture;

static_assert(require_adapter<test::AdapterArchetype>());
static_assert(require_adapter<InputScale>());
static_assert(require_adapter<LowRank>());
static_assert(require_adapter<LowRank, precision::Bf16Mixed>());
static_assert(require_adapter<LowRank, precision::Float64, Kokkos::DefaultHostExecutionSpace>());

constexpr LinearShape shape{13, 7};

template <class A>
void check_map(A const& options) {
  LinearFixture<A> map(shape, 9, options);
  map.check_materialised();
  map.check_gradients();
  LinearFixture<A> wide({5, 34}, 70, options, 0);
  wide.check_materialised();
  wide.check_gradients();
}

LowRank rank(Index r) { return {.rank = r, .alpha = 3}; }

}  // namespace

TEST_CASE("a linear map without adapters", "[linear]") { check_map(Dense{}); }

TEST_CASE("the archetype changes nothing", "[linear]") {
  check_map(test::AdapterArchetype{});
  LinearFixture<test::AdapterArchetype> with(shape, 4);
  LinearFixture<Dense> without(shape, 4);
  CHECK(with.forward() == without.forward());
}

TEST_CASE("a linear map with LowRank", "[linear]") {
  check_map(rank(3));
  check_map(LowRank{.rank = 1, .alpha = 2, .rank_stabilised = true});
}

TEST_CASE("LowRank of rank 0 has no parameters and no effect", "[linear]") {
  LinearFixture<LowRank> map(shape, 4, rank(0));
  CHECK(map.list.size() == 2);
  LinearFixture<Dense> without(shape, 4);
  CHECK(map.forward() == without.forward());
  map.check_gradients();
}

TEST_CASE("a linear map with a user's adapter of the input", "[linear]") {
  check_map(InputScale{});
}

TEST_CASE("stacks of stages", "[linear]") {
  check_map(Stack<LowRank, InputScale>{rank(2), {}});
  check_map(Stack<InputScale, LowRank>{{}, rank(2)});
  check_map(Stack<LowRank, LowRank, InputScale, InputScale>{rank(2), rank(3), {}, {}});
  check_map(Stack<InputScale, test::AdapterArchetype, LowRank>{{}, {}, rank(1)});
}

TEST_CASE("the last adapter of a stack is the outermost", "[linear]") {
  // (W + B A) L against W L + B A, with L = 2 and B A known.
  auto const value = [](auto&& map) {
    for (auto const& entry : map.list) {
      double const fill = entry.name == "l" ? 2 : entry.name == "weight" ? 5 : 1;
      std::vector<double> const all(static_cast<std::size_t>(entry.parameter.size()),
                                    entry.kind == ParameterKind::bias ? 0 : fill);
      entry.parameter.write(std::span<double const>(all));
    }
    map.x(0, 0) = 1;
    return map.forward()[0];
  };
  LowRank const low{.rank = 1, .alpha = 1};
  CHECK(value(LinearFixture<Stack<LowRank, InputScale>>({1, 1}, 1, {low, {}})) == 12);
  CHECK(value(LinearFixture<Stack<InputScale, LowRank>>({1, 1}, 1, {{}, low})) == 11);
}

TEST_CASE("adapters of one kind in a stack have names of their own", "[linear]") {
  LinearFixture<Stack<LowRank, InputScale, LowRank>> const map(shape, 2);
  std::vector<std::string> names;
  for (auto const& entry : map.list) {
    names.push_back(entry.name);
  }
  CHECK(names == std::vector<std::string>{"weight", "bias", "lora_A.weight", "lora_B.weight", "l",
                                          "stage_2.lora_A.weight", "stage_2.lora_B.weight"});
}

TEST_CASE("an arena smaller than what was measured is refused", "[linear]") {
  LinearFixture<LowRank> map(shape, 9, rank(3));
  (void)map.forward();
  Context<Kokkos::DefaultHostExecutionSpace> small;
  small.reserve_scratch(map.scratch_bytes - Arena::alignment);
  std::swap(small, map.ctx);
  CHECK_THROWS_WITH(map.backward(), Catch::Matchers::ContainsSubstring("arena too small"));
}

TEST_CASE("only trained parameters have and receive gradients", "[linear]") {
  using Map = LinearFixture<Stack<LowRank, InputScale>>;
  Map all(shape, 9);
  (void)all.forward();
  all.backward();
  for (std::size_t chosen = 0; chosen < all.list.size(); ++chosen) {
    Map one(shape, 9);
    for (std::size_t i = 0; i < one.list.size(); ++i) {
      one.list[i].parameter.train(i == chosen);
    }
    (void)one.forward();
    one.backward();
    auto const& parameter = one.list[chosen].parameter;
    for (std::size_t i = 0; i < one.list.size(); ++i) {
      CHECK((one.list[i].parameter.gradient().extent(0) > 0) == (i == chosen));
    }
    for (Index i = 0; i < parameter.size(); ++i) {
      CHECK(parameter.gradient().data()[i] == all.list[chosen].parameter.gradient().data()[i]);
    }
    for (std::size_t i = 0; i < one.dx.size(); ++i) {
      CHECK(one.dx.data()[i] == all.dx.data()[i]);
    }
  }
}

TEST_CASE("adapters freeze their base by default", "[linear]") {
  auto const trained = []<class A>(A const& options) {
    LinearFixture<A> map(shape, 2, options);
    train_default(map.list);
    std::vector<std::string> names;
    for (auto const& entry : map.list) {
      if (entry.parameter.trained()) {
        names.push_back(entry.name);
      }
    }
    return names;
  };
  using Names = std::vector<std::string>;
  CHECK(trained(Dense{}) == Names{"weight", "bias"});
  CHECK(trained(LowRank{}) == Names{"lora_A.weight", "lora_B.weight"});
  CHECK(trained(InputScale{}) == Names{"l"});
}

TEST_CASE("LowRank scales by alpha over its rank or the root of it", "[low_rank]") {
  CHECK(LowRank{.rank = 4, .alpha = 8}.scale() == 2);
  CHECK(LowRank{.rank = 4, .alpha = 8, .rank_stabilised = true}.scale() == 4);
  CHECK(LowRank{.rank = 0}.scale() == 0);
  CHECK(LowRank{}.scale() == 1);
}

TEST_CASE("LowRank counts what it has", "[low_rank]") {
  for (Index const r : {0, 1, 5}) {
    LinearFixture<LowRank> const map(shape, 1, rank(r));
    CHECK(rank(r).count(shape) + 13 * 7 + 13 == map.list.count());
  }
  // DiT-XL/2 with two adapters of 1152 x 1152 a block and a class table of 102 rows: the counts of
  // the baseline of DiffFit, arXiv 2304.06648.
  LinearShape const square{1152, 1152};
  CHECK(28 * 2 * rank(8).count(square) + 102 * 1152 == 1149696);
  CHECK(28 * 2 * rank(16).count(square) + 102 * 1152 == 2181888);
}

TEST_CASE("LowRank refuses a negative rank", "[low_rank]") {
  CHECK_THROWS_WITH(LinearFixture<LowRank>(shape, 1, LowRank{.rank = -1}),
                    Catch::Matchers::ContainsSubstring("the rank of LowRank is -1"));
}

}  // namespace linear_test

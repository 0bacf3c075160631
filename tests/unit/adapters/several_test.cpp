// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/several.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <linear_fixture.hpp>

#include <algorithm>

namespace several_test {

namespace {

using namespace dashi;
using test::LinearFixture;
using Adapters = Several<LowRank, Kronecker, ScaleBias>;
using Part = Adapters::Part;
using Map = LinearFixture<Adapters>;

static_assert(require_adapter<Adapters>());
static_assert(require_adapter<Adapters, precision::Bf16Mixed>());

constexpr LinearShape shape{12, 10};
constexpr Index rows = 9;

LowRank low_rank(Index rank) { return {.rank = rank, .alpha = 3}; }
Kronecker krona() { return {.a_rows = 3, .a_cols = 2, .alpha = 2}; }

void check_map(Adapters const& options) {
  Map map(shape, rows, options);
  map.check_materialised();
  map.check_gradients();
  CHECK(map.list.count() == shape.out * shape.in + shape.out + options.count(shape));
}

std::vector<double> values_of(Map& map, std::string const& name) {
  auto const parameter = map.parameter(name);
  std::vector<double> values(static_cast<std::size_t>(parameter.size()));
  parameter.read(std::span<double>(values));
  return values;
}

}  // namespace

TEST_CASE("gradients and weights of a map with several adapters", "[several]") {
  check_map(Adapters{});
  check_map(low_rank(2));
  check_map(krona());
  check_map(ScaleBias{});
  check_map({{Part{low_rank(2)}, Part{krona()}, Part{ScaleBias{}}, Part{low_rank(3)}}});
}

TEST_CASE("gradients and weights of adapters on some outputs of a map", "[several]") {
  check_map({{Part{low_rank(2), "query", 0, 4}, Part{krona(), "key", 4, 4},
              Part{ScaleBias{}, "value", 8}}});
  check_map({{Part{ScaleBias{}, "middle", 3, 5}, Part{low_rank(1), "all"},
              Part{low_rank(2), "over", 5, 4}}});
}

TEST_CASE("an adapter on some outputs leaves the others", "[several]") {
  LinearFixture<Dense> base(shape, rows);
  Map map(shape, rows, {{Part{low_rank(2), "key", 4, 3}}});
  auto const before = base.forward();
  auto const after = map.forward();
  for (std::size_t i = 0; i < before.size(); ++i) {
    bool const touched = i % 12 >= 4 && i % 12 < 7;
    CHECK((before[i] != after[i]) == touched);
  }
}

TEST_CASE("two adapters that add are their sum", "[several]") {
  Map first(shape, rows, low_rank(2));
  Map second(shape, rows, krona());
  Map both(shape, rows, {{Part{low_rank(2)}, Part{krona(), "second"}}});
  LinearFixture<Dense> base(shape, rows);
  for (char const* const name : {"lokr_w1", "lokr_w2"}) {
    both.parameter(std::string("second.") + name)
        .write(std::span<double const>(values_of(second, name)));
  }
  auto const none = base.forward();
  auto const a = first.forward();
  auto const b = second.forward();
  auto const sum = both.forward();
  double largest = 0;
  double change = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    largest = std::fmax(largest, std::fabs(sum[i] - (a[i] + b[i] - none[i])));
    change = std::fmax(change, std::fabs(b[i] - none[i]));
  }
  CHECK(largest < 1e-13);
  CHECK(change > 0.1);
}

TEST_CASE("a map without adapters is the plain one", "[several]") {
  LinearFixture<Dense> base(shape, rows);
  for (Adapters const& options :
       {Adapters{}, Adapters{low_rank(0)}, Adapters{ScaleBias{.scale = false}}}) {
    Map map(shape, rows, options);
    CHECK(map.map.idle());
    CHECK(map.list.size() == 2);
    CHECK(map.forward() == base.forward());
    map.parameter("weight").train(false);
    map.parameter("bias").train(false);
    CHECK_FALSE(map.map.any_trained());
  }
  CHECK_FALSE(Map(shape, rows, {{Part{low_rank(0)}, Part{krona()}}}).map.idle());
  CHECK_FALSE(LinearFixture<LowRank>(shape, rows, low_rank(1)).map.idle());
}

TEST_CASE("adapters of one map have names of their own", "[several]") {
  Map const map(shape, rows, {{Part{low_rank(1)}, Part{low_rank(1)}, Part{ScaleBias{}, "style"}}});
  std::vector<std::string> names;
  for (auto const& entry : map.list) {
    names.push_back(entry.name);
  }
  CHECK(names == std::vector<std::string>{"weight", "bias", "lora_A.weight", "lora_B.weight",
                                          "adapter_1.lora_A.weight", "adapter_1.lora_B.weight",
                                          "style.gamma"});
}

TEST_CASE("an adapter beyond the outputs of its map is refused", "[several]") {
  CHECK_THROWS_WITH(Map(shape, rows, {{Part{low_rank(1), "", 9, 4}}}),
                    Catch::Matchers::ContainsSubstring("outputs 9 to 13 of a map with 12"));
}

}  // namespace several_test

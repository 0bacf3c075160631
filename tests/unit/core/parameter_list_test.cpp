// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/parameter_list.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <string>
#include <vector>

namespace {

using namespace dashi;
using P = precision::Float32;
using Exec = Kokkos::DefaultExecutionSpace;
using List = ParameterList<P, Exec>;

Parameter<P, Exec> parameter(Index rows, Index cols) { return {"p", rows, cols}; }

}  // namespace

TEST_CASE("scopes name entries and give them role and block", "[parameter_list]") {
  List list;
  list.add("first", parameter(1, 1), ParameterKind::weight, true);
  {
    List::Scope const blocks(list, "blocks.4");
    List::Block const block(list, 4);
    {
      List::Scope const attention(list, "attn", "attention_output");
      list.add("weight", parameter(2, 3), ParameterKind::weight, true);
      List::Scope const inner(list, "inner");
      list.add("lora", parameter(1, 2), ParameterKind::adapter, true);
    }
    list.add("bias", parameter(3, 1), ParameterKind::bias, false);
  }
  list.add("last", parameter(1, 1), ParameterKind::buffer, false);
  REQUIRE(list.size() == 5);
  CHECK(list[0].name == "first");
  CHECK(list[0].role.empty());
  CHECK(list[0].block == -1);
  CHECK(list[1].name == "blocks.4.attn.weight");
  CHECK(list[1].role == "attention_output");
  CHECK(list[1].block == 4);
  CHECK(list[2].name == "blocks.4.attn.inner.lora");
  CHECK(list[2].role == "attention_output");
  CHECK(list[3].name == "blocks.4.bias");
  CHECK(list[3].role.empty());
  CHECK(list[3].block == 4);
  CHECK(list[4].name == "last");
  CHECK(list[4].block == -1);
  CHECK(list.find("blocks.4.bias") == &list[3]);
  CHECK(list.find("bias") == nullptr);
}

TEST_CASE("entries have the shapes that files have", "[parameter_list]") {
  List list;
  list.add("weight", parameter(2, 12), ParameterKind::weight, true);
  list.add("bias", parameter(3, 1), ParameterKind::bias, true);
  list.add("gamma", parameter(1, 4), ParameterKind::scale, true);
  list.add("conv", parameter(2, 12), ParameterKind::weight, true, {}, {2, 3, 2, 2});
  list.add("nothing", parameter(0, 7), ParameterKind::adapter, true);
  list.add("none", Parameter<P, Exec>(), ParameterKind::weight, true);
  REQUIRE(list.size() == 4);
  CHECK(list[0].shape == std::vector<Index>{2, 12});
  CHECK(list[1].shape == std::vector<Index>{3});
  CHECK(list[2].shape == std::vector<Index>{4});
  CHECK(list[3].shape == std::vector<Index>{2, 3, 2, 2});
  CHECK(list.count() == 24 + 3 + 4 + 24);
}

TEST_CASE("predicates choose what is trained, buffers never are", "[parameter_list]") {
  List list;
  list.add("a", parameter(1, 2), ParameterKind::weight, true);
  list.add("b", parameter(1, 3), ParameterKind::bias, false);
  list.add("c", parameter(1, 5), ParameterKind::buffer, true);
  train_default(list);
  CHECK(list[0].parameter.trained());
  CHECK_FALSE(list[1].parameter.trained());
  CHECK_FALSE(list[2].parameter.trained());
  CHECK(list.count(true) == 2);
  train_where(list, [](auto const& entry) { return entry.name != "a"; });
  CHECK_FALSE(list[0].parameter.trained());
  CHECK(list[1].parameter.trained());
  CHECK_FALSE(list[2].parameter.trained());
  CHECK(list.count(true) == 3);
  CHECK(list.count() == 10);
}

TEST_CASE("distributions know their deviation and maps that of their weight", "[parameter_list]") {
  CHECK(Initial::constant(7).deviation() == 0);
  CHECK(Initial::zero().deviation() == 0);
  CHECK(Initial::normal(0.5).deviation() == 0.5);
  CHECK_THAT(Initial::uniform(3).deviation(),
             Catch::Matchers::WithinRel(1.7320508075688772, 1e-15));
  List list;
  {
    List::WeightInitial const weight(list, Initial::normal(2));
    CHECK(list.weight_initial().deviation() == 2);
    {
      List::WeightInitial const other(list, Initial::normal(3));
      CHECK(list.weight_initial().deviation() == 3);
    }
    CHECK(list.weight_initial().deviation() == 2);
  }
  CHECK(list.weight_initial().deviation() == 0);
}

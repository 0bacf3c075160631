// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/low_rank.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include "tiny_dit.hpp"

namespace dit_low_rank_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using P = precision::Float64;

using OnBranches = Place<On<role::attention, LowRank>, On<role::mlp, LowRank>>;
using OnEachRole =
    Place<On<role::qkv, LowRank>, On<role::attention_output, LowRank>, On<role::mlp_in, LowRank>,
          On<role::mlp_out, LowRank>, On<role::modulation, LowRank>, On<role::patch, LowRank>,
          On<role::timestep, LowRank>, On<role::final, LowRank>>;
using OnAll = Place<On<role::any, LowRank>>;

template <class Placement, class Precision = P>
using Net = BasicDiT<Exec, Precision, Placement>;

static_assert(diffusion::require_backbone<Net<Place<>>>());
static_assert(diffusion::Backbone<Net<OnAll, precision::Bf16Mixed>>);

template <class Fixture>
std::vector<std::string> adapter_names(Fixture const& dit) {
  std::vector<std::string> names;
  for (auto const& entry : dit.list) {
    if (entry.kind == ParameterKind::adapter) {
      names.push_back(entry.name);
    }
  }
  return names;
}

}  // namespace

TEST_CASE("gradients of a DiT without adapters", "[dit]") {
  test::TinyDit<Net<Place<>>> dit;
  dit.check_gradients();
}

TEMPLATE_TEST_CASE("gradients of a DiT with LowRank", "[dit]", OnBranches, OnEachRole, OnAll) {
  test::TinyDit<Net<TestType>> dit;
  dit.check_gradients();
}

TEST_CASE("gradients of a DiT whose blocks have embedders of their own", "[dit]") {
  auto config = test::tiny_config();
  config.embedders = Embedders::per_block;
  config.learn_sigma = false;
  config.recompute = Recompute::blocks;
  test::TinyDit<Net<OnAll>> dit({}, config);
  dit.check_gradients();
}

TEST_CASE("adapters are where their roles say", "[dit]") {
  test::TinyDit<Net<OnBranches>> const branches;
  CHECK(adapter_names(branches).size() == 2 * 2 * 6);
  for (char const* const name :
       {"blocks.1.attn.qkv.query.lora_A.weight", "blocks.1.attn.qkv.value.lora_B.weight",
        "blocks.0.attn.proj.lora_A.weight", "blocks.0.mlp.fc1.lora_A.weight",
        "blocks.0.mlp.fc2.lora_B.weight"}) {
    INFO(name);
    CHECK(branches.list.find(name) != nullptr);
  }
  CHECK(branches.list.find("blocks.1.attn.qkv.key.lora_A.weight")->role == "key");
  CHECK(branches.list.find("blocks.1.attn.qkv.key.lora_A.weight")->block == 1);
  test::TinyDit<Net<OnEachRole>> const each;
  CHECK(adapter_names(each).size() == 2 * (2 * 5 + 1 + 2 + 2));
  CHECK(each.list.find("blocks.1.attn.qkv.lora_A.weight") != nullptr);
  test::TinyDit<Net<OnAll>> const all;
  CHECK(adapter_names(all).size() == 2 * (2 * 7 + 1 + 2 + 2));
  CHECK(all.list.find("final_layer.adaLN_modulation.1.lora_A.weight") != nullptr);
  CHECK(all.list.find("t_embedder.mlp.2.lora_B.weight") != nullptr);
  CHECK(all.list.find("x_embedder.proj.lora_B.weight") != nullptr);
}

TEST_CASE("ranks may differ from layer to layer", "[dit]") {
  std::vector<LayerInfo> asked;
  auto const rank = [&asked](LayerInfo const& layer) {
    asked.push_back(layer);
    return LowRank{.rank = layer.role == "key" ? 0 : layer.block + 1};
  };
  test::TinyDit<Net<OnBranches>> const dit({rank, LowRank{.rank = 5}});
  REQUIRE(asked.size() == 8);
  for (LayerInfo const& layer : asked) {
    CHECK(layer.depth == 2);
    CHECK(layer.shape.out == 8);
    CHECK(layer.shape.in == 8);
  }
  CHECK(dit.list.find("blocks.0.attn.qkv.query.lora_A.weight")->parameter.rows() == 1);
  CHECK(dit.list.find("blocks.1.attn.proj.lora_A.weight")->parameter.rows() == 2);
  CHECK(dit.list.find("blocks.1.attn.qkv.key.lora_A.weight") == nullptr);
  CHECK(dit.list.find("blocks.1.mlp.fc2.lora_A.weight")->parameter.rows() == 5);
}

TEST_CASE("the base under adapters is frozen and has no memory for gradients", "[dit]") {
  test::TinyDit<Net<OnBranches, precision::Bf16Mixed>> dit;
  train_default(dit.list);
  LowRank const options;
  Index const expected =
      2 * (4 * options.count({8, 8}) + options.count({12, 8}) + options.count({8, 12}));
  CHECK(dit.list.count(true) == expected);
  for (auto const& entry : dit.list) {
    INFO(entry.name);
    bool const adapter = entry.kind == ParameterKind::adapter;
    CHECK(entry.parameter.trained() == adapter);
    CHECK((entry.parameter.gradient().data() != nullptr) == adapter);
    CHECK((entry.parameter.master().data() != nullptr) == adapter);
  }
}

TEMPLATE_TEST_CASE("gradients do not depend on what else is trained", "[dit]", OnBranches, OnAll) {
  test::TinyDit<Net<TestType>> all, adapters;
  train_default(adapters.list);
  (void)all.forward();
  (void)adapters.forward();
  CHECK(all.backward(all.d_out) == adapters.backward(all.d_out));
  for (std::size_t i = 0; i < all.list.size(); ++i) {
    if (adapters.list[i].parameter.trained()) {
      INFO(all.list[i].name);
      CHECK(all.download(all.list[i].parameter.gradient()) ==
            adapters.download(adapters.list[i].parameter.gradient()));
    }
  }
}

TEMPLATE_TEST_CASE("a net with new adapters is its base", "[dit]", OnBranches, OnEachRole, OnAll) {
  test::TinyDit<Net<TestType>> with;
  test::TinyDit<Net<Place<>>> base;
  initialise(with.ctx, with.list, 5);
  for (auto const& entry : base.list) {
    entry.parameter.write(std::span<double const>(base.value(entry.name)));
    with.list.find(entry.name)->parameter.write(std::span<double const>(base.value(entry.name)));
  }
  auto const a = with.forward();
  auto const b = base.forward();
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(std::fabs(a[i] - b[i]) < 1e-13);
  }
}

}  // namespace dit_low_rank_test

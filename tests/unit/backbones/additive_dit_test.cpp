// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/backbones/additive_dit.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include "tiny_dit.hpp"

#include <golden_case.hpp>

#include <algorithm>

namespace additive_dit_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using Net = AdditiveDit<Exec, precision::Float64>;
using Plain = BasicDiT<Exec, precision::Float64>;
using Part = AdditiveAdapters::Part;

static_assert(diffusion::require_backbone<Net>());

/// All kinds, thirds of query, key and value, and maps without.
AdditiveAdapters some_adapters(LayerInfo const& layer) {
  LowRank const low_rank{.rank = 2, .alpha = 3};
  Kronecker const krona{.a_rows = 2, .a_cols = 4};
  if (layer.role == "qkv") {
    return {{Part{low_rank, "query", 0, layer.shape.in},
             Part{krona, "value", 2 * layer.shape.in, layer.shape.in}}};
  }
  if (layer.name == "blocks.1.mlp.fc1" || layer.role == "patch") {
    return {{Part{krona}, Part{ScaleBias{}}}};
  }
  if (layer.role == "modulation" || layer.role == "timestep") {
    return low_rank;
  }
  if (layer.name == "final_layer.linear") {
    return {{Part{low_rank}, Part{low_rank}}};
  }
  return {};
}

}  // namespace

TEST_CASE("gradients of a DiT with several adapters a map", "[dit]") {
  test::TinyDit<Net> dit(additive_options(some_adapters));
  for (char const* const name :
       {"blocks.0.attn.qkv.query.lora_A.weight", "blocks.1.attn.qkv.value.lokr_w2",
        "blocks.1.mlp.fc1.adapter_1.gamma", "x_embedder.proj.lokr_w1",
        "blocks.0.adaLN_modulation.1.lora_B.weight", "t_embedder.mlp.2.lora_A.weight",
        "final_layer.linear.adapter_1.lora_B.weight"}) {
    INFO(name);
    CHECK(dit.list.find(name) != nullptr);
  }
  CHECK(dit.list.find("blocks.0.mlp.fc1.lokr_w1") == nullptr);
  dit.check_gradients();
}

TEST_CASE("blocks of other adapters share the memory of one", "[dit]") {
  auto config = test::tiny_config();
  config.depth = 4;
  auto const options = additive_options([](LayerInfo const& layer) -> AdditiveAdapters {
    if (layer.role == "qkv" && layer.block == 1) {
      return some_adapters(layer);
    }
    if (layer.role == "mlp_in" || layer.role == "mlp_out") {
      switch (layer.block) {
        case 1: return LowRank{.rank = 3};
        case 2: return {{Part{Kronecker{.a_rows = 2, .a_cols = 2}}, Part{LowRank{.rank = 1}}}};
        default: return {};
      }
    }
    return {};
  });
  test::TinyDit<Net> kept(options, config);
  config.recompute = Recompute::blocks;
  test::TinyDit<Net> again(options, config);
  auto const forward = kept.forward();
  CHECK(forward == again.forward());
  CHECK(test::relative_difference(kept.evaluate(), forward) < 1e-14);
  CHECK(kept.all_gradients() == again.all_gradients());
  Arena much, little;
  (void)kept.net.saved(much, 3);
  (void)again.net.saved(little, 3);
  CHECK(10 * little.peak() < 6 * much.peak());
}

TEST_CASE("an additive DiT without adapters gives the bits of a plain one", "[dit]") {
  for (Embedders const embedders : {Embedders::shared, Embedders::per_block}) {
    auto config = test::tiny_config();
    config.embedders = embedders;
    test::TinyDit<Net> with({}, config);
    test::TinyDit<Plain> plain({}, config);
    REQUIRE(with.list.size() == plain.list.size());
    for (std::size_t i = 0; i < with.list.size(); ++i) {
      CHECK(with.list[i].name == plain.list[i].name);
    }
    CHECK(with.forward() == plain.forward());
    CHECK(with.all_gradients() == plain.all_gradients());
    CHECK(with.evaluate() == plain.evaluate());
    Arena a, b;
    (void)with.net.saved(a, 3);
    (void)plain.net.saved(b, 3);
    CHECK(a.peak() == b.peak());
  }
}

TEST_CASE("options know the maps of a DiT by name", "[dit]") {
  for (Embedders const embedders : {Embedders::shared, Embedders::per_block}) {
    auto config = test::tiny_config();
    config.embedders = embedders;
    std::vector<std::string> asked;
    test::TinyDit<Net> const dit(additive_options([&](LayerInfo const& layer) {
                                   asked.push_back(layer.name);
                                   return AdditiveAdapters{};
                                 }),
                                 config);
    std::vector<std::string> maps;
    for (auto const& entry : dit.list) {
      if (entry.kind == ParameterKind::weight) {
        maps.push_back(entry.name.substr(0, entry.name.size() - std::string(".weight").size()));
      }
    }
    std::sort(asked.begin(), asked.end());
    std::sort(maps.begin(), maps.end());
    CHECK(asked == maps);
  }
}

TEST_CASE("a frozen map without adapters takes no part in backward", "[dit]") {
  // Adapters in the blocks' branches alone: nobody wants the gradient of the condition.
  test::TinyDit<Net> dit(additive_options([](LayerInfo const& layer) {
    return layer.role == "mlp_in" ? AdditiveAdapters(LowRank{.rank = 2}) : AdditiveAdapters{};
  }));
  (void)dit.forward();
  auto const all = dit.all_gradients();
  train_default(dit.list);
  Index trained = 0;
  for (auto const& entry : dit.list) {
    trained += entry.parameter.trained() ? 1 : 0;
    CHECK(entry.parameter.trained() == (entry.kind == ParameterKind::adapter));
    CHECK((entry.parameter.gradient().data() != nullptr) == entry.parameter.trained());
  }
  CHECK(trained == 4);
  (void)dit.forward();
  (void)dit.backward(dit.d_out);
  auto const some = dit.gradients();
  CHECK(std::any_of(some.begin(), some.end(), [](double d) { return d != 0; }));
  CHECK(std::search(all.begin(), all.end(), some.begin(), some.begin() + 16) != all.end());
}

}  // namespace additive_dit_test

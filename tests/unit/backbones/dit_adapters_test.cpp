// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/one_of.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/shared_svd.hpp>
#include <dashi/core/initialise.hpp>

#include <examples/04_custom_adapter/input_scale.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include "tiny_dit.hpp"

#include <golden_case.hpp>

namespace dit_adapters_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using P = precision::Float64;
template <class Placement>
using Net = BasicDiT<Exec, P, Placement>;

using Additive = OneOf<LowRank, Kronecker, ScaleBias>;
using Replacing = OneOf<GatedSvd, SharedSvd>;
using OnAll = Place<On<role::any, Additive>>;
using Factorised = Place<On<role::attention, Replacing>, On<role::mlp, Replacing, LowRank>>;
using Mixed = Place<On<role::qkv, SharedSvd>, On<role::attention_output, InputScale>,
                    On<role::mlp, LowRank, InputScale, ScaleBias>, On<role::timestep, Kronecker>,
                    On<role::modulation, SharedSvd>>;

GatedSvd gated() { return {.learngene = 2, .tailors = 4, .groups = 2, .classes = 3}; }
Kronecker krona() { return {.a_rows = 2, .a_cols = 4}; }

/// Another adapter in each block.
Additive by_block(LayerInfo const& layer) {
  switch (layer.block) {
    case 0: return LowRank{.rank = 2};
    case 1: return krona();
    default: return ScaleBias{};
  }
}
Net<Factorised>::Options factorised() {
  return {Replacing(gated()), Stack<Replacing, LowRank>(SharedSvd{.rank = 5}, LowRank{.rank = 1})};
}
Net<OnAll>::Options chosen() { return {PlacedOptions<Additive>(by_block)}; }

}  // namespace

TEST_CASE("gradients of a DiT whose layers choose their adapters", "[dit]") {
  test::TinyDit<Net<OnAll>> dit(chosen());
  CHECK(dit.list.find("blocks.0.attn.qkv.key.lora_A.weight") != nullptr);
  CHECK(dit.list.find("blocks.1.attn.qkv.key.lokr_w1") != nullptr);
  CHECK(dit.list.find("x_embedder.proj.gamma") != nullptr);
  dit.check_gradients();
}

TEST_CASE("gradients of a factorised DiT", "[dit]") {
  test::TinyDit<Net<Factorised>> dit(factorised());
  CHECK(dit.list.find("blocks.0.attn.proj.weight") == nullptr);
  CHECK(dit.list.find("blocks.0.attn.qkv.weight") == nullptr);
  CHECK(dit.list.find("blocks.0.attn.qkv.query.learngene.u") != nullptr);
  CHECK(dit.list.find("blocks.1.attn.proj.tailors.sigma") != nullptr);
  CHECK(dit.list.find("shared.blocks.attn.qkv.key.gates")->kind == ParameterKind::buffer);
  CHECK(dit.list.find("shared.blocks.mlp.fc1.u")->role == "mlp_in");
  dit.check_gradients();
}

TEST_CASE("gradients of a DiT with an adapter of each kind", "[dit]") {
  auto config = test::tiny_config();
  config.recompute = Recompute::blocks;
  typename Mixed::Options options;
  std::get<3>(options) = krona();
  test::TinyDit<Net<Mixed>> dit(options, config);
  dit.check_gradients();
}

TEST_CASE("gradients of a DiT with merged adapters, the same bits where blocks run again",
          "[dit]") {
  auto config = test::tiny_config();
  config.height = 16;
  config.width_pixels = 18;
  typename Net<OnAll>::Options const options{PlacedOptions<Additive>(Additive(krona()))};
  test::TinyDit<Net<OnAll>> kept(options, config);
  Arena arena;
  auto const saved = kept.net.saved(arena, test::TinyDit<Net<OnAll>>::samples);
  for (auto const& inner : saved.inner) {
    CHECK(inner.fc1_saved.merged.extent(0) == 12);
    CHECK(inner.fc2_saved.merged.extent(0) == 8);
  }
  CHECK(saved.patches.map.merged.extent(0) == 8);
  config.recompute = Recompute::blocks;
  test::TinyDit<Net<OnAll>> again(options, config);
  auto const forward = kept.forward();
  CHECK(forward == again.forward());
  CHECK(test::relative_difference(kept.evaluate(), forward) < 1e-14);
  CHECK(kept.all_gradients() == again.all_gradients());
  kept.check_gradients();
}

TEST_CASE("a DiT counts its adapters as their formulas do", "[dit]") {
  test::TinyDit<Net<OnAll>> const with(chosen());
  test::TinyDit<Net<Place<>>> const base;
  LinearShape const block[] = {{8, 8}, {8, 8}, {8, 8}, {8, 8}, {12, 8}, {8, 12}, {48, 8}};
  LinearShape const other[] = {{8, 12}, {8, 10}, {8, 8}, {16, 8}, {24, 8}};
  Index expected = base.list.count();
  for (LinearShape const shape : block) {
    expected += LowRank{.rank = 2}.count(shape) + krona().count(shape);
  }
  for (LinearShape const shape : other) {
    expected += ScaleBias{}.count(shape);
  }
  CHECK(with.list.count() == expected);
  test::TinyDit<Net<Factorised>> const net(factorised());
  Index dense = 0;
  Index factors = 0;
  Index shared = 0;
  for (int i = 0; i < 6; ++i) {
    LinearShape const shape = block[i];
    dense += 2 * shape.out * shape.in;
    if (i < 4) {
      factors += 2 * gated().count(shape);
      shared += 4 * 4;  // gates of three classes and none
    } else {
      factors += 2 * (SharedSvd{.rank = 5}.count(shape) + LowRank{.rank = 1}.count(shape));
      shared += SharedSvd{.rank = 5}.shared_count(shape);
    }
  }
  CHECK(net.list.count() == base.list.count() - dense + factors + shared);
}

TEST_CASE("what is trained by default follows from the adapters", "[dit]") {
  test::TinyDit<Net<OnAll>> added(chosen());
  train_default(added.list);
  CHECK_FALSE(added.list.find("blocks.0.mlp.fc1.weight")->parameter.trained());
  CHECK(added.list.find("blocks.0.mlp.fc1.lora_A.weight")->parameter.trained());
  // A factorised model is one that is trained as a whole.
  test::TinyDit<Net<Factorised>> whole(factorised());
  train_default(whole.list);
  for (auto const& entry : whole.list) {
    INFO(entry.name);
    CHECK(entry.parameter.trained() == (entry.kind != ParameterKind::buffer));
  }
}

TEST_CASE("new adapters that add leave a DiT as it was", "[dit]") {
  test::TinyDit<Net<OnAll>> with(chosen());
  test::TinyDit<Net<Place<>>> base;
  initialise(with.ctx, with.list, 5);
  for (auto const& entry : base.list) {
    auto const values = base.value(entry.name);
    with.list.find(entry.name)->parameter.write(std::span<double const>(values));
  }
  auto const a = with.forward();
  auto const b = base.forward();
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(std::fabs(a[i] - b[i]) < 1e-13);
  }
}

TEST_CASE("a new DiT with factorised modulation predicts zero", "[dit]") {
  typename Mixed::Options options;
  std::get<3>(options) = krona();
  test::TinyDit<Net<Mixed>> dit(options);
  initialise(dit.ctx, dit.list, 5);
  for (double const value : dit.forward()) {
    REQUIRE(value == 0);
  }
  for (char const* const name :
       {"blocks.0.adaLN_modulation.1.sigma", "blocks.1.adaLN_modulation.1.sigma"}) {
    CHECK(dit.value(name) == std::vector<double>(8));
  }
  for (double const value : dit.value("blocks.1.attn.qkv.sigma")) {
    CHECK(value != 0);
  }
}

TEST_CASE("each sample of a factorised DiT has the weights of its class", "[dit]") {
  test::TinyDit<Net<Factorised>> dit(factorised());
  auto const mixed = dit.forward();
  auto const size = mixed.size() / 3;
  std::vector<double> const labels{1, 3, 0};
  for (std::size_t s = 0; s < 3; ++s) {
    dit.feed(dit.x, {0, 17, 999}, std::vector<double>(3, labels[s]));
    auto const same = dit.forward();
    for (std::size_t i = 0; i < size; ++i) {
      REQUIRE(std::fabs(same[s * size + i] - mixed[s * size + i]) < 1e-13);
    }
  }
  // A dropped label has the weights of none.
  Kokkos::View<std::uint8_t*, Exec::memory_space> const dropped("dropped", 3);
  Kokkos::deep_copy(dropped, 1);
  dit.feed(dit.x, {0, 17, 999}, {2, 2, 2});
  dit.input.labels.dropped = dropped;
  auto const none = dit.forward();
  dit.input.labels.dropped = {};
  CHECK(dit.forward() != none);
  dit.feed(dit.x, {0, 17, 999}, {3, 3, 3});
  CHECK(dit.forward() == none);
  // Tailors of the second group are class 2's alone.
  dit.feed(dit.x, {0, 17, 999}, labels);
  auto const tailors = dit.list.find("blocks.0.attn.proj.tailors.u")->parameter;
  tailors.slice(2, 2).write(std::span<double const>(std::vector<double>(16, 3)));
  CHECK(dit.forward() == mixed);
  tailors.slice(0, 2).write(std::span<double const>(std::vector<double>(16, 3)));
  CHECK(dit.forward() != mixed);
}

}  // namespace dit_adapters_test

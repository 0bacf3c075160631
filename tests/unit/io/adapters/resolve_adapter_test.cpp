// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where modules go: flattened names, names of two codes, thirds of qkv, shapes.
#include <dashi/io/dialects/unet_names.hpp>

#include "adapter_files.hpp"

using namespace dashi::adapter_test;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

AdapterModule low_rank(std::string part, std::string path, std::uint64_t rows,
                       std::uint64_t columns) {
  AdapterModule module;
  module.part = std::move(part);
  module.path = std::move(path);
  module.form = LowRankForm{tensor({2, columns}), tensor({rows, 2}), {}, false};
  module.rank = 2;
  return module;
}

AdapterFile of(Dialect dialect, std::vector<AdapterModule> modules) {
  AdapterFile adapter;
  adapter.path = "adapter.safetensors";
  adapter.dialect = dialect;
  adapter.modules = std::move(modules);
  return adapter;
}

/// A DiT of two blocks, four wide.
AdapterBase dit(Dialect dialect) {
  std::map<std::string, Shape> shapes;
  bool const original = dialect == Dialect::dit_original;
  for (std::string const block : {"0", "1"}) {
    std::string const b = original ? "blocks." + block + "." : "transformer_blocks." + block + ".";
    auto const layer = [&](std::string const& name, std::uint64_t rows) {
      shapes[b + name + ".weight"] = {rows, 4};
      shapes[b + name + ".bias"] = {rows};
    };
    if (original) {
      layer("adaLN_modulation.1", 24);
      layer("attn.qkv", 12);
      layer("attn.proj", 4);
    } else {
      layer("norm1.linear", 24);
      layer("attn1.to_q", 4);
      layer("attn1.to_k", 4);
      layer("attn1.to_v", 4);
      layer("attn1.to_out.0", 4);
      layer("norm1.emb.timestep_embedder.linear_2", 4);
    }
  }
  if (original) {
    shapes["t_embedder.mlp.2.weight"] = {4, 4};
  }
  return base_of(shapes, dialect);
}

std::string rows_text(AdapterTarget const& t) {
  return t.tensor + "[" + std::to_string(t.tensor_row) + "+" + std::to_string(t.rows) + "] from " +
         std::to_string(t.module_row) + ", " + t.bias;
}

std::string message(AdapterFile const& adapter, AdapterBase const& base, std::string const& code) {
  auto const failure = failure_of([&] { resolve_adapter(adapter, base); });
  REQUIRE(failure);
  CHECK(failure->code == code);
  CHECK(failure->status == 65);
  return failure->message;
}

}  // namespace

TEST_CASE("flattened names are looked up in the base's list") {
  AdapterBase const base = base_of({{"blk.to_out_0.weight", {4, 6}}, {"blk.to_q.weight", {4, 6}}});
  AdapterFile const adapter = of(Dialect::kohya, {low_rank("lora_unet", "blk_to_out_0", 4, 6)});
  AdapterResolution const found = resolve_adapter(adapter, base);
  REQUIRE(found.targets.size() == 1);
  CHECK(rows_text(found.targets[0]) == "blk.to_out_0.weight[0+4] from 0, ");
  CHECK(found.squeezed.empty());
}

TEST_CASE("a flattened name that two modules of the base have is ambiguous") {
  AdapterBase const base =
      base_of({{"blk.to_out_0.weight", {4, 6}}, {"blk.to_out.0.weight", {4, 6}}});
  AdapterFile const adapter = of(Dialect::kohya, {low_rank("lora_unet", "blk_to_out_0", 4, 6)});
  std::string const said = message(adapter, base, "ambiguous-place");
  CHECK(contains(said, "blk.to_out.0.weight, blk.to_out_0.weight"));
}

TEST_CASE("modules without a place are listed, and so are ignored keys and tokens") {
  AdapterBase const base = base_of({{"a.weight", {4, 6}}});
  AdapterFile adapter =
      of(Dialect::kohya, {low_rank("lora_unet", "a", 4, 6), low_rank("lora_unet", "b", 4, 6)});
  adapter.token_embeddings.emplace("<s1>", tensor({5}));
  adapter.ignored = {"c"};
  AdapterNames const names(base);
  AdapterResolution const found = find_targets(adapter, names);
  CHECK(found.unmatched == std::vector<std::string>{"token <s1>", "lora_unet_b"});
  CHECK(found.ignored == std::vector<std::string>{"c"});
  CHECK(found.targets.size() == 1);
  CHECK(contains(message(adapter, base, "no-place"),
                 "2 without a place in the base: token <s1>, lora_unet_b"));
}

TEST_CASE("the thirds of qkv go where the base keeps them") {
  std::string const q = "transformer_blocks.1.attn1.to_q";
  SECTION("original names, original base") {
    auto const found = resolve_adapter(
        of(Dialect::peft, {low_rank("base_model.model", "blocks.1.attn.qkv", 12, 4)}),
        dit(Dialect::dit_original));
    REQUIRE(found.targets.size() == 1);
    CHECK(rows_text(found.targets[0]) ==
          "blocks.1.attn.qkv.weight[0+12] from 0, blocks.1.attn.qkv.bias");
  }
  SECTION("original names, diffusers base") {
    auto const found = resolve_adapter(
        of(Dialect::comfyui, {low_rank("diffusion_model", "blocks.1.attn.qkv", 12, 4)}),
        dit(Dialect::dit_diffusers));
    REQUIRE(found.targets.size() == 3);
    CHECK(rows_text(found.targets[2]) ==
          "transformer_blocks.1.attn1.to_v.weight[0+4] from 8, "
          "transformer_blocks.1.attn1.to_v.bias");
  }
  SECTION("diffusers names, original base, flattened") {
    auto const found = resolve_adapter(
        of(Dialect::kohya, {low_rank("lora_unet", "transformer_blocks_1_attn1_to_v", 4, 4),
                            low_rank("lora_unet", "transformer_blocks_1_attn1_to_out_0", 4, 4)}),
        dit(Dialect::dit_original));
    REQUIRE(found.targets.size() == 2);
    CHECK(rows_text(found.targets[0]) ==
          "blocks.1.attn.qkv.weight[8+4] from 0, blocks.1.attn.qkv.bias");
    CHECK(found.targets[1].tensor == "blocks.1.attn.proj.weight");
  }
  SECTION("a third of a fused weight has a third's shape") {
    CHECK(contains(message(of(Dialect::diffusers_lora, {low_rank("transformer", q, 12, 4)}),
                           dit(Dialect::dit_original), "shape-mismatch"),
                   "its change is [12, 4], 'blocks.1.attn.qkv.weight' is [4, 4]"));
  }
  SECTION("two modules on the same rows") {
    CHECK(contains(message(of(Dialect::dashi_adapter,
                              {low_rank("", q, 4, 4), low_rank("", "blocks.1.attn.qkv", 12, 4)}),
                           dit(Dialect::dit_original), "ambiguous-place"),
                   "goes to the same rows"));
  }
}

TEST_CASE("an embedder of the original goes to every copy that diffusers keeps") {
  auto const found =
      resolve_adapter(of(Dialect::peft, {low_rank("base_model.model", "t_embedder.mlp.2", 4, 4)}),
                      dit(Dialect::dit_diffusers));
  REQUIRE(found.targets.size() == 2);
  CHECK(found.targets[1].module_row == 0);
  CHECK(found.targets[1].rows == 4);
  // One copy's adapter has no place where there is one embedder for all.
  CHECK(contains(message(of(Dialect::peft, {low_rank("base_model.model",
                                                     "transformer_blocks.0.norm1.emb."
                                                     "timestep_embedder.linear_2",
                                                     4, 4)}),
                         dit(Dialect::dit_original), "no-place"),
                 "linear_2"));
}

TEST_CASE("shapes must be equal, but for one squeeze") {
  AdapterBase const base = base_of(
      {{"lin.weight", {4, 6}}, {"conv1.weight", {4, 6, 1, 1}}, {"conv3.weight", {4, 6, 3, 3}}});
  SECTION("squeezed, and said so") {
    auto const found =
        resolve_adapter(of(Dialect::peft, {low_rank("base_model.model", "conv1", 4, 6)}), base);
    CHECK(found.squeezed == std::vector<std::string>{"base_model.model.conv1"});
    CHECK(found.targets.size() == 1);
  }
  SECTION("never broadcast") {
    message(of(Dialect::peft, {low_rank("base_model.model", "conv3", 4, 6)}), base,
            "shape-mismatch");
    message(of(Dialect::peft, {low_rank("base_model.model", "lin", 4, 1)}), base, "shape-mismatch");
    message(of(Dialect::peft, {low_rank("base_model.model", "lin", 6, 4)}), base, "shape-mismatch");
  }
}

TEST_CASE("factors that do not multiply to the weight have a sentence of their own") {
  AdapterModule module;
  module.part = "lycoris";
  module.path = "lin";
  module.form = KroneckerForm{{tensor({2, 3}), {}, {}, {}}, {tensor({3, 2}), {}, {}, {}}, false};
  AdapterBase const base = base_of({{"lin.weight", {4, 6}}});
  CHECK(contains(message(of(Dialect::lycoris, {module}), base, "does-not-factor"),
                 "its factors multiply to [6, 6], 'lin.weight' is [4, 6]"));
  module.form =
      KroneckerForm{{tensor({2, 3}), {}, {}, {}}, {{}, tensor({2, 1}), tensor({1, 18}), {}}, false};
  CHECK(resolve_adapter(of(Dialect::lycoris, {module}), base_of({{"lin.weight", {4, 6, 3, 3}}}))
            .targets.size() == 1);
  message(of(Dialect::lycoris, {module}), base_of({{"lin.weight", {4, 6, 2, 2}}}),
          "does-not-factor");
}

TEST_CASE("vectors have the length of the rows") {
  AdapterBase const base =
      base_of({{"lin.weight", {4, 6}}, {"lin.bias", {4}}, {"bare.weight", {4, 6}}});
  AdapterModule module;
  module.path = "lin";
  module.form = ScaleForm{tensor({4})};
  module.bias = tensor({4});
  CHECK(resolve_adapter(of(Dialect::dashi_adapter, {module}), base).targets.front().bias ==
        "lin.bias");
  SECTION("gamma") { module.form = ScaleForm{tensor({5})}; }
  SECTION("bias") { module.bias = tensor({3}); }
  SECTION("no bias there") { module.path = "bare"; }
  SECTION("magnitude over columns") {
    module.form = LowRankForm{tensor({2, 6}), tensor({4, 2}), {}, false};
    module.dora = MagnitudeForm{tensor({1, 4}), true};
  }
  message(of(Dialect::dashi_adapter, {module}), base, "shape-mismatch");
}

TEST_CASE("names of Stable Diffusion's UNet in both codes") {
  std::vector<std::pair<std::string, std::string>> const pairs{
      {"time_embed.2", "time_embedding.linear_2"},
      {"label_emb.0.2", "add_embedding.linear_2"},
      {"input_blocks.0.0", "conv_in"},
      {"input_blocks.1.0.in_layers.2", "down_blocks.0.resnets.0.conv1"},
      {"input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"},
      {"input_blocks.4.1.transformer_blocks.0.attn1.to_q",
       "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"},
      {"input_blocks.8.1.proj_in", "down_blocks.2.attentions.1.proj_in"},
      {"input_blocks.11.0.skip_connection", "down_blocks.3.resnets.1.conv_shortcut"},
      {"middle_block.0.emb_layers.1", "mid_block.resnets.0.time_emb_proj"},
      {"middle_block.1.proj_out", "mid_block.attentions.0.proj_out"},
      {"middle_block.2.out_layers.3", "mid_block.resnets.1.conv2"},
      {"output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"},
      {"output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"},
      {"output_blocks.11.1.transformer_blocks.0.ff.net.2",
       "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2"},
      {"output_blocks.9.0.out_layers.0", "up_blocks.3.resnets.0.norm2"},
      {"out.2", "conv_out"}};
  for (auto const& [ldm, diffusers] : pairs) {
    CHECK(unet_diffusers_name(ldm) == diffusers);
    CHECK(unet_ldm_name(diffusers, [](std::size_t level) { return level > 0; }) == ldm);
  }
  for (std::string const name :
       {"input_blocks.3.1.proj_in", "input_blocks.3.0.in_layers.0", "input_blocks.x.0.op",
        "middle_block.3.a", "input_blocks.1.0.in_layers.1", "down_blocks.0.resnets.0.conv1",
        "output_blocks.1", ""}) {
    INFO(name);
    CHECK(unet_diffusers_name(name).empty());
  }
}

TEST_CASE("a kohya file in the names of one code finds a base in those of the other") {
  AdapterModule const sdxl =
      low_rank("lora_unet", "input_blocks_4_1_transformer_blocks_0_attn1_to_q", 4, 6);
  AdapterModule const sd1 =
      low_rank("lora_unet", "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", 4, 6);
  AdapterBase const diffusers =
      base_of({{"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight", {4, 6}}},
              Dialect::unet_diffusers);
  AdapterBase const ldm = base_of(
      {{"model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight", {4, 6}}},
      Dialect::ldm_checkpoint);
  for (AdapterModule const& module : {sdxl, sd1}) {
    for (AdapterBase const* const base : {&diffusers, &ldm}) {
      auto const found = resolve_adapter(of(Dialect::kohya, {module}), *base);
      REQUIRE(found.targets.size() == 1);
      CHECK(found.targets[0].tensor == base->tensors[0].name);
    }
  }
}

TEST_CASE("text encoders are found with and without their level, and in OpenCLIP's one tensor") {
  AdapterBase const base = base_of(
      {{"conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight", {4, 6}},
       {"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias", {18}},
       {"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight", {18, 6}}},
      Dialect::ldm_checkpoint);
  for (std::string const path :
       {"text_model_encoder_layers_0_mlp_fc1", "encoder_layers_0_mlp_fc1"}) {
    auto const found =
        resolve_adapter(of(Dialect::kohya, {low_rank("lora_te1", path, 4, 6)}), base);
    REQUIRE(found.targets.size() == 1);
    CHECK(contains(found.targets[0].tensor, "embedders.0"));
  }
  auto const found = resolve_adapter(
      of(Dialect::kohya,
         {low_rank("lora_te2", "text_model_encoder_layers_0_self_attn_v_proj", 6, 6)}),
      base);
  REQUIRE(found.targets.size() == 1);
  CHECK(found.targets[0].tensor_row == 12);
  CHECK(found.targets[0].rows == 6);
  CHECK(contains(found.targets[0].bias, "in_proj_bias"));
  // The first encoder's prefix does not reach the second.
  message(of(Dialect::kohya,
             {low_rank("lora_te1", "text_model_encoder_layers_0_self_attn_v_proj", 6, 6)}),
          base, "no-place");
}

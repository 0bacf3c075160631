// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What each dialect's file becomes: parts, paths, forms, scales and their reasons.
#include "adapter_files.hpp"

using namespace dashi::adapter_test;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

AdapterModule const& only(AdapterFile const& adapter) {
  REQUIRE(adapter.modules.size() == 1);
  return adapter.modules.front();
}

Tensors lora(std::string const& stem, std::string const& down, std::string const& up,
             std::uint64_t rank = 2) {
  return {{stem + down, tensor({rank, 6})}, {stem + up, tensor({4, rank})}};
}

}  // namespace

TEST_CASE("a kohya file gives parts, flattened paths and alpha over rank") {
  AdapterFolder const folder;
  Tensors tensors =
      lora("lora_unet_down_blocks_0_attn1_to_q", ".lora_down.weight", ".lora_up.weight");
  tensors.merge(lora("lora_te2_text_model_encoder_layers_10_mlp_fc1", ".lora_down.weight",
                     ".lora_up.weight"));
  tensors.merge(
      lora("lora_te2_text_model_encoder_layers_9_mlp_fc1", ".lora_down.weight", ".lora_up.weight"));
  tensors["lora_unet_down_blocks_0_attn1_to_q.alpha"] = number(3);
  AdapterFile const adapter = folder.read(tensors, {{"ss_network_dim", "2"}});
  CHECK(adapter.dialect == Dialect::kohya);
  CHECK(adapter.metadata.at("ss_network_dim") == "2");
  REQUIRE(adapter.modules.size() == 3);
  CHECK(adapter.modules[0].part == "lora_te2");
  CHECK(adapter.modules[0].path == "text_model_encoder_layers_9_mlp_fc1");  // numbers by value
  CHECK(adapter.modules[1].path == "text_model_encoder_layers_10_mlp_fc1");
  CHECK(adapter.modules[0].scale == 1);
  CHECK(adapter.modules[0].scale_reason == "no alpha: 1");
  AdapterModule const& unet = adapter.modules[2];
  CHECK(unet.part == "lora_unet");
  CHECK(unet.path == "down_blocks_0_attn1_to_q");
  CHECK(unet.rank == 2);
  CHECK(unet.scale == 1.5);
  CHECK(unet.scale_reason == "alpha 3 / rank 2");
  auto const* const form = std::get_if<LowRankForm>(&unet.form);
  REQUIRE(form != nullptr);
  CHECK(form->down.shape() == Shape{2, 6});
  CHECK(form->up.values() == tensor({4, 2}).values());
  CHECK(adapter_module_name(adapter.dialect, unet) == "lora_unet_down_blocks_0_attn1_to_q");
}

TEST_CASE("LoKr of LyCORIS has scale one when both factors are full, else alpha over rank") {
  AdapterFolder const folder;
  SECTION("both full, whatever alpha says") {
    AdapterModule const module = only(folder.read({{"lycoris_q.lokr_w1", tensor({2, 3})},
                                                   {"lycoris_q.lokr_w2", tensor({4, 5})},
                                                   {"lycoris_q.alpha", number(1e10F)}}));
    CHECK(module.scale == 1);
    CHECK(module.scale_reason == "both factors full: 1 (alpha 1e+10 does not count)");
    CHECK(module.rank == 0);
  }
  SECTION("second low-rank") {
    AdapterModule const module = only(folder.read({{"lycoris_q.lokr_w1", tensor({2, 3})},
                                                   {"lycoris_q.lokr_w2_a", tensor({8, 4})},
                                                   {"lycoris_q.lokr_w2_b", tensor({4, 9})},
                                                   {"lycoris_q.alpha", number(2)}}));
    CHECK(module.scale == 0.5);
    CHECK(module.rank == 4);
  }
  SECTION("first low-rank, second full") {
    AdapterModule const module = only(folder.read({{"lycoris_q.lokr_w1_a", tensor({8, 2})},
                                                   {"lycoris_q.lokr_w1_b", tensor({2, 8})},
                                                   {"lycoris_q.lokr_w2", tensor({3, 4})},
                                                   {"lycoris_q.alpha", number(3)}}));
    CHECK(module.scale == 1.5);
    CHECK(std::get<KroneckerForm>(module.form).first.low_rank());
    CHECK_FALSE(std::get<KroneckerForm>(module.form).second.low_rank());
  }
  SECTION("Tucker: the rank is the first extent of all three") {
    AdapterModule const module = only(folder.read({{"lycoris_q.lokr_w1", tensor({2, 3})},
                                                   {"lycoris_q.lokr_w2_a", tensor({2, 7})},
                                                   {"lycoris_q.lokr_w2_b", tensor({2, 9})},
                                                   {"lycoris_q.lokr_t2", tensor({2, 2, 3, 3})},
                                                   {"lycoris_q.alpha", number(4)}}));
    CHECK(module.scale == 2);
    CHECK(module.rank == 2);
    CHECK(change_shape(module, {14, 27, 3, 3}) == Shape{14, 27, 3, 3});
  }
}

TEST_CASE("LyCORIS' other tensors: magnitudes on both axes, dense differences, norms") {
  AdapterFolder const folder;
  Tensors tensors = lora("lycoris_q", ".lora_down.weight", ".lora_up.weight");
  SECTION("over rows") {
    tensors["lycoris_q.dora_scale"] = tensor({4, 1});
    AdapterModule const module = only(folder.read(tensors));
    REQUIRE(module.dora);
    CHECK_FALSE(module.dora->per_input);
  }
  SECTION("over columns") {
    tensors["lycoris_q.dora_scale"] = tensor({1, 6});
    AdapterModule const module = only(folder.read(tensors));
    REQUIRE(module.dora);
    CHECK(module.dora->per_input);
  }
  SECTION("dense") {
    AdapterFile const adapter = folder.read({{"lycoris_q.diff", tensor({4, 6})},
                                             {"lycoris_q.diff_b", tensor({4})},
                                             {"lycoris_n.w_norm", tensor({4})},
                                             {"lycoris_n.b_norm", tensor({4})}});
    REQUIRE(adapter.modules.size() == 2);
    for (AdapterModule const& module : adapter.modules) {
      CHECK(std::holds_alternative<DenseForm>(module.form));
      CHECK(module.bias_is_difference);
      CHECK(module.scale == 1);
    }
  }
}

TEST_CASE("a PEFT directory takes rank and alpha from its configuration") {
  AdapterFolder const folder;
  Tensors const tensors = lora("base_model.model.blocks.0.q", ".lora_A.weight", ".lora_B.weight");
  auto const scale = [&](std::string const& config) {
    return only(folder.read_peft(tensors, config)).scale;
  };
  CHECK(scale(R"({"peft_type":"LORA","r":2,"lora_alpha":5})") == 2.5);
  CHECK(scale(R"({"peft_type":"LORA","r":2,"lora_alpha":5,"use_rslora":true})") ==
        5 / std::sqrt(2.0));
  CHECK(
      scale(R"({"r":8,"lora_alpha":5,"rank_pattern":{"q":2},"alpha_pattern":{"blocks.0.q":3}})") ==
      1.5);
  CHECK(scale(R"({"r":2,"lora_alpha":5,"alpha_pattern":{"0.k":3,"(0|1)\\.q":7,"q":9}})") == 3.5);
  CHECK(scale(R"({"r":2,"lora_alpha":5,"alpha_pattern":{"^0\\.q":3}})") == 2.5);
  CHECK(scale(R"({"r":2,"lora_alpha":5,"alpha_pattern":{"s.0.q":3}})") ==
        2.5);  // not from a dot on
  AdapterFile const adapter = folder.read_peft(tensors, R"({"r":2,"lora_alpha":5})");
  CHECK(adapter.dialect == Dialect::peft);
  CHECK(adapter.config == R"({"r":2,"lora_alpha":5})");
  CHECK(only(adapter).part == "base_model.model");
  CHECK(only(adapter).path == "blocks.0.q");
  CHECK(only(adapter).scale_reason == "alpha 5 / rank 2 of adapter_config.json");
}

TEST_CASE("PEFT's LoKr is scaled even when both factors are full") {
  AdapterFolder const folder;
  AdapterModule const module =
      only(folder.read_peft({{"base_model.model.q.lokr_w1", tensor({2, 3})},
                             {"base_model.model.q.lokr_w2", tensor({4, 5})}},
                            R"({"peft_type":"LOKR","r":6,"alpha":15})"));
  CHECK(module.scale == 2.5);
}

TEST_CASE("PEFT's magnitudes, biases, tables and whole modules are told apart") {
  AdapterFolder const folder;
  Tensors tensors = lora("base_model.model.q", ".lora_A.weight", ".lora_B.weight");
  tensors["base_model.model.q.lora_magnitude_vector"] = tensor({4});
  tensors["base_model.model.q.base_layer.bias"] = tensor({4});
  tensors["base_model.model.head.modules_to_save.weight"] = tensor({3, 6});
  tensors["base_model.model.head.modules_to_save.bias"] = tensor({3});
  tensors["base_model.model.table.lora_embedding_A"] = tensor({2, 9});
  tensors["base_model.model.table.lora_embedding_B"] = tensor({16, 2});
  AdapterFile const adapter =
      folder.read_peft(tensors, R"({"peft_type":"LORA","r":2,"lora_alpha":2,"bias":"lora_only"})");
  REQUIRE(adapter.modules.size() == 3);
  AdapterModule const& head = adapter.modules[0];
  CHECK(head.path == "head");
  CHECK(std::holds_alternative<NoForm>(head.form));
  CHECK(head.replacement.shape() == Shape{3, 6});
  CHECK(head.bias.shape() == Shape{3});
  CHECK_FALSE(head.bias_is_difference);
  AdapterModule const& q = adapter.modules[1];
  REQUIRE(q.dora);
  CHECK_FALSE(q.dora->per_input);
  CHECK(q.bias.shape() == Shape{4});
  AdapterModule const& table = adapter.modules[2];
  CHECK(std::get<LowRankForm>(table.form).embedding);
  CHECK(change_shape(table, {9, 16}) == Shape{9, 16});
}

TEST_CASE("a PEFT file without configuration needs an alpha") {
  AdapterFolder const folder;
  Tensors const tensors = lora("base_model.model.q", ".lora_A.weight", ".lora_B.weight");
  CHECK(folder.refusal(tensors).code == "alpha-missing");
  AdapterReadOptions options;
  options.alpha = 3;
  AdapterModule const module = only(folder.read(tensors, {}, options));
  CHECK(module.scale == 1.5);
  CHECK(module.scale_reason == "alpha 3 / rank 2 as given");
}

TEST_CASE("ComfyUI's spellings are read, with and without alpha") {
  AdapterFolder const folder;
  Tensors tensors = lora("diffusion_model.blocks.0.q", ".lora_A.weight", ".lora_B.weight");
  tensors.merge(lora("diffusion_model.blocks.1.q", ".lora_down.weight", ".lora_up.weight"));
  tensors["diffusion_model.blocks.1.q.alpha"] = number(1);
  tensors["diffusion_model.blocks.2.q.lokr_w1"] = tensor({2, 3});
  tensors["diffusion_model.blocks.2.q.lokr_w2"] = tensor({2, 2});
  tensors["diffusion_model.blocks.2.q.alpha"] = number(1e10F);  // as one trainer writes it
  AdapterFile const adapter = folder.read(tensors);
  CHECK(adapter.dialect == Dialect::comfyui);
  REQUIRE(adapter.modules.size() == 3);
  CHECK(adapter.modules[0].scale == 1);
  CHECK(adapter.modules[1].scale == 0.5);
  CHECK(adapter.modules[2].scale == 1);
  CHECK(adapter.modules[2].path == "blocks.2.q");
}

TEST_CASE("diffusers' files take alpha from the header, where they have one") {
  AdapterFolder const folder;
  Tensors tensors = lora("unet.mid_block.to_q", ".lora_A.weight", ".lora_B.weight");
  tensors.merge(lora("text_encoder.layers.0.fc1", ".lora_A.weight", ".lora_B.weight"));
  AdapterFile plain = folder.read(tensors);
  CHECK(plain.dialect == Dialect::diffusers_lora);
  REQUIRE(plain.modules.size() == 2);
  CHECK(plain.modules[0].part == "text_encoder");
  CHECK(plain.modules[1].part == "unet");
  CHECK(plain.modules[1].scale == 1);
  AdapterFile const told =
      folder.read(tensors, {{"lora_adapter_metadata", R"({"unet.r": 2, "unet.lora_alpha": 8})"}});
  CHECK(told.modules[0].scale == 1);
  CHECK(told.modules[1].scale == 4);
}

TEST_CASE("the old names of diffusers are undone") {
  AdapterFolder const folder;
  std::string const unet = "unet.down_blocks.0.attentions.1.transformer_blocks.0.";
  Tensors tensors;
  for (std::string const& stem :
       {unet + "attn1.processor.to_q_lora", unet + "attn2.processor.to_out_lora",
        unet + "ff.net.2.lora",
        std::string("text_encoder.text_model.encoder.layers.0.self_attn."
                    "q_proj.lora_linear_layer"),
        std::string("text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora")}) {
    tensors.merge(lora(stem, ".down.weight", ".up.weight"));
  }
  AdapterFile const adapter = folder.read(tensors);
  CHECK(adapter.dialect == Dialect::diffusers_lora_old);
  std::vector<std::string> names;
  for (AdapterModule const& module : adapter.modules) {
    names.push_back(module.part + " " + module.path);
    CHECK(module.scale == 1);
  }
  CHECK(names == std::vector<std::string>{
                     "text_encoder text_model.encoder.layers.0.self_attn.q_proj",
                     "text_encoder text_model.encoder.layers.1.self_attn.out_proj",
                     "unet down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q",
                     "unet down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0",
                     "unet down_blocks.0.attentions.1.transformer_blocks.0.ff.net.2"});
}

TEST_CASE("DiffuseKronA as published is read as an interleaved product") {
  AdapterFolder const folder;
  std::string const stem = "down_blocks.0.attn1.processor.to_q_lora";
  // a1 = 2, a2 = 3, b1 = 5, b2 = 4: down is [a2, a1], up [b1, b2].
  AdapterFile const adapter =
      folder.read({{stem + ".down.weight", tensor({3, 2})}, {stem + ".up.weight", tensor({5, 4})}});
  CHECK(adapter.dialect == Dialect::ibm_krona);
  AdapterModule const& module = only(adapter);
  auto const& form = std::get<KroneckerForm>(module.form);
  CHECK(form.interleaved);
  CHECK(change_shape(module, {10, 12}) == Shape{10, 12});
  CHECK(module.scale == 1);
}

TEST_CASE("cloneofsimo's indices and embeddings are kept") {
  AdapterFolder const folder;
  Tensors tensors;
  for (std::string const index : {"0", "2", "10"}) {
    tensors.merge(lora("unet:" + index, ":down", ":up"));
  }
  tensors["<s1>"] = tensor({5});
  AdapterFile const adapter = folder.read(tensors, {{"unet:0:rank", "2"}});
  CHECK(adapter.dialect == Dialect::cloneofsimo);
  REQUIRE(adapter.modules.size() == 3);
  CHECK(adapter.modules[2].path == "unet:10");
  CHECK(adapter.modules[2].part == "unet");
  REQUIRE(adapter.token_embeddings.size() == 1);
  CHECK(adapter.token_embeddings.begin()->first == "<s1>");
}

TEST_CASE("the own dialect carries DiffFit and explicit scales") {
  AdapterFolder const folder;
  Tensors tensors = lora("blocks.0.attn.qkv", ".lora_down", ".lora_up");
  tensors["blocks.0.attn.qkv.scale"] = number(0.375F);
  tensors["blocks.0.attn.proj.gamma"] = tensor({6});
  tensors["blocks.0.attn.proj.bias"] = tensor({6});
  tensors["token:<s1>"] = tensor({5});
  Metadata const metadata{{"dashi.adapter", "1"}, {"dashi.base_digest", "abc"}};
  AdapterFile const adapter = folder.read(tensors, metadata);
  CHECK(adapter.dialect == Dialect::dashi_adapter);
  CHECK(adapter.base_digest == "abc");
  CHECK(adapter.token_embeddings.count("<s1>") == 1);
  REQUIRE(adapter.modules.size() == 2);
  CHECK(std::holds_alternative<ScaleForm>(adapter.modules[0].form));
  CHECK_FALSE(adapter.modules[0].bias_is_difference);
  CHECK(adapter.modules[1].scale == 0.375);
  CHECK(folder.refusal(tensors, {{"dashi.adapter", "2"}}).code == "adapter-version");
  tensors.erase("blocks.0.attn.qkv.scale");
  CHECK(folder.refusal(tensors, metadata).code == "scale-missing");
}

TEST_CASE("keys that a regular expression names are left out and listed") {
  AdapterFolder const folder;
  Tensors tensors = lora("lora_unet_q", ".lora_down.weight", ".lora_up.weight");
  tensors.merge(lora("lora_te_q", ".lora_down.weight", ".lora_up.weight"));
  tensors["lora_unet_q.mystery"] = number(1);
  AdapterReadOptions options;
  options.ignore = {"^lora_te_", "mystery$"};
  AdapterFile const adapter = folder.read(tensors, {}, options);
  CHECK(adapter.modules.size() == 1);
  CHECK(adapter.ignored == std::vector<std::string>{"lora_te_q.lora_down.weight",
                                                    "lora_te_q.lora_up.weight",
                                                    "lora_unet_q.mystery"});
  options.ignore = {"("};
  auto const failure = failure_of([&] { folder.read(tensors, {}, options); });
  REQUIRE(failure);
  CHECK(failure->code == "bad-regex");
  CHECK(failure->status == 2);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/dialects/detect.hpp>

#include <catch2/catch_test_macros.hpp>

#include "../reader_fixture.hpp"
#include "support/shared_data.hpp"

#include <string>
#include <utility>
#include <vector>

using namespace dashi;
using namespace dashi::reader_test;

namespace {

using Tensors = std::vector<std::pair<std::string, std::vector<std::uint64_t>>>;

/// The report on a file of U8 tensors with these names and shapes.
io::DialectReport report_of(Tensors const& tensors, std::string const& metadata = "{}") {
  ScratchDirectory const scratch;
  std::string header = "{\"__metadata__\":" + metadata;
  std::uint64_t at = 0;
  for (auto const& [name, shape] : tensors) {
    io::TensorInfo info{
        .name = name, .dtype = io::Dtype::u8, .shape = shape, .begin = at, .end = 0};
    info.end = at + info.elements();
    header += ",\"" + name + "\":{\"dtype\":\"U8\",\"shape\":" + io::shape_text(shape) +
              ",\"data_offsets\":[" + std::to_string(info.begin) + "," + std::to_string(info.end) +
              "]}";
    at = info.end;
  }
  header += "}";
  header += std::string(header.size() % 2, ' ');
  return io::dialect(io::Checkpoint(scratch.write("x", safetensors_bytes(header, at))));
}

}  // namespace

TEST_CASE("checkpoints and adapters are known by their names") {
  using io::Dialect;
  struct Row {
    Dialect dialect;
    std::string algorithm;
    Tensors tensors;
  };
  std::vector<Row> const rows{
      {Dialect::dit_original,
       "",
       {{"x_embedder.proj.weight", {4}},
        {"t_embedder.mlp.0.weight", {4}},
        {"blocks.0.adaLN_modulation.1.weight", {4}},
        {"final_layer.linear.weight", {4}}}},
      {Dialect::dit_diffusers,
       "",
       {{"pos_embed.proj.weight", {4}},
        {"proj_out_1.weight", {4}},
        {"proj_out_2.weight", {4}},
        {"transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight", {4}}}},
      {Dialect::unet_diffusers,
       "",
       {{"conv_in.weight", {4}},
        {"conv_out.weight", {4}},
        {"time_embedding.linear_1.weight", {4}},
        {"down_blocks.0.resnets.0.conv1.weight", {4}},
        {"up_blocks.0.resnets.0.conv1.weight", {4}}}},
      {Dialect::ldm_checkpoint,
       "",
       {{"model.diffusion_model.input_blocks.0.0.weight", {4}},
        {"first_stage_model.encoder.conv_in.weight", {4}},
        {"cond_stage_model.transformer.text_model.final_layer_norm.weight", {4}}}},
      {Dialect::peft,
       "LoRA",
       {{"base_model.model.a.lora_A.weight", {2, 8}},
        {"base_model.model.a.lora_B.weight", {8, 2}}}},
      {Dialect::peft,
       "LoKr",
       {{"base_model.model.a.lokr_w1", {2, 2}}, {"base_model.model.a.lokr_w2", {4, 4}}}},
      {Dialect::kohya,
       "LoRA",
       {{"lora_unet_a.lora_down.weight", {2, 8}},
        {"lora_unet_a.lora_up.weight", {8, 2}},
        {"lora_unet_a.alpha", {}}}},
      {Dialect::kohya,
       "LoKr",
       {{"lora_te1_a.lokr_w1", {2, 2}},
        {"lora_te1_a.lokr_w2_a", {4, 1}},
        {"lora_te1_a.lokr_w2_b", {1, 4}}}},
      {Dialect::lycoris,
       "LoHa",
       {{"lycoris_a.hada_w1_a", {2, 2}}, {"lycoris_a.hada_w1_b", {2, 2}}}},
      {Dialect::comfyui,
       "LoRA",
       {{"diffusion_model.a.lora_A.weight", {2, 8}}, {"diffusion_model.a.lora_B.weight", {8, 2}}}},
      {Dialect::comfyui,
       "LoKr",
       {{"diffusion_model.a.lokr_w1", {2, 2}}, {"diffusion_model.a.lokr_w2", {4, 4}}}},
      {Dialect::diffusers_lora,
       "LoRA",
       {{"transformer.a.lora_A.weight", {2, 8}}, {"transformer.a.lora_B.weight", {8, 2}}}},
      {Dialect::diffusers_lora_old,
       "LoRA",
       {{"unet.a.attn1.processor.to_q_lora.down.weight", {2, 8}},
        {"unet.a.attn1.processor.to_q_lora.up.weight", {8, 2}}}},
      {Dialect::diffusers_lora_old,
       "LoRA",
       {{"text_encoder.a.lora_linear_layer.down.weight", {2, 8}},
        {"text_encoder.a.lora_linear_layer.up.weight", {8, 2}}}},
      {Dialect::ibm_krona,
       "KronA",
       {{"unet.a.attn1.processor.to_q_lora.down.weight", {64, 4}},
        {"unet.a.attn1.processor.to_q_lora.up.weight", {80, 5}}}},
      {Dialect::cloneofsimo,
       "LoRA",
       {{"unet:0:down", {4, 8}}, {"unet:0:up", {8, 4}}, {"<s1>", {8}}}},
      {Dialect::unknown, "", {{"a", {1}}, {"unet:x:up", {1}}, {"lora_unet_but.nothing", {1}}}},
      {Dialect::unknown, "", {}}};
  for (Row const& row : rows) {
    io::DialectReport const report = report_of(row.tensors);
    INFO((row.tensors.empty() ? "nothing" : row.tensors.front().first));
    CHECK(name(report.dialect) == name(row.dialect));
    CHECK(report.algorithm == row.algorithm);
    CHECK_FALSE(report.evidence.empty());
    std::uint64_t tensors = 0;
    for (io::ParameterGroup const& group : report.groups) {
      tensors += group.tensors;
    }
    CHECK(tensors == row.tensors.size());
  }
}

TEST_CASE("a ledger is known by its metadata whatever its tensors") {
  CHECK(
      report_of({{"base_model.model.a.lora_A.weight", {1}}}, R"({"dashi.ledger":"{}"})").dialect ==
      io::Dialect::soup_ledger);
}

TEST_CASE("groups of many kinds of names are bounded") {
  Tensors tensors;
  for (int i = 0; i < 200; ++i) {
    tensors.push_back({"n" + std::to_string(i) + ".x", {2}});
  }
  io::DialectReport const report = report_of(tensors);
  REQUIRE(report.groups.size() == 64);
  CHECK(report.groups.back().name == "(others)");
  CHECK(report.groups.back().tensors == 137);
  CHECK(report.groups.back().parameters == 274);
}

TEST_CASE("the two real LoRA files are cloneofsimo's, with data at an odd offset") {
  std::filesystem::path const loras = test::shared_data("data/loras");
  io::DialectReport const analog =
      io::dialect(io::Checkpoint(loras / "analog_svd_rank4.safetensors"));
  CHECK(analog.dialect == io::Dialect::cloneofsimo);
  CHECK(analog.odd_data_offset);
  CHECK(analog.data_begin == 35041);
  CHECK(contains(analog.evidence, "384 of 384"));
  CHECK(contains(analog.evidence, "rank 4"));
  REQUIRE(analog.groups.size() == 2);
  CHECK(analog.groups[0].name == "text_encoder");
  CHECK(analog.groups[0].tensors == 96);
  CHECK(analog.groups[1].name == "unet");
  CHECK(analog.groups[0].parameters + analog.groups[1].parameters == 1'541'376);
  io::DialectReport const disney = io::dialect(io::Checkpoint(loras / "lora_disney.safetensors"));
  CHECK(disney.dialect == io::Dialect::cloneofsimo);
  CHECK(disney.odd_data_offset);
  CHECK(contains(disney.evidence, "rank 1"));
  CHECK(contains(disney.evidence, "the other 2 are token embeddings"));
  REQUIRE(disney.groups.size() == 3);
  CHECK(disney.groups[0].name == "embeddings");
  CHECK(disney.groups[0].parameters == 2 * 768);
}

TEST_CASE("files of the reference tools are recognised") {
  std::filesystem::path const golden = test::shared_data("golden");
  std::vector<std::pair<std::string, io::Dialect>> const files{
      {"dit_original_a/weights.safetensors", io::Dialect::dit_original},
      {"dit_diffusers_a/weights.safetensors", io::Dialect::dit_diffusers},
      {"lora_kohya_unet/base_unet.safetensors", io::Dialect::unet_diffusers},
      {"lora_kohya_unet/adapter.safetensors", io::Dialect::kohya},
      {"lokr_kohya_unet/adapter.safetensors", io::Dialect::kohya},
      {"lokr_lycoris_conv/adapter.safetensors", io::Dialect::lycoris},
      {"lora_peft_dora/adapter/adapter_model.safetensors", io::Dialect::peft},
      {"lora_peft_dora/adapter", io::Dialect::peft}};
  for (auto const& [file, dialect] : files) {
    INFO(file);
    CHECK(name(io::dialect(io::Checkpoint(golden / file)).dialect) == name(dialect));
  }
}

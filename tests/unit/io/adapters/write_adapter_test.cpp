// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is written: names, alphas, PEFT's configuration, scales multiplied in, and refusals.
#include <dashi/io/adapters/write_adapter.hpp>

#include "adapter_files.hpp"

#include <catch2/catch_approx.hpp>

#include <algorithm>

using namespace dashi::adapter_test;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

AdapterModule low_rank(std::string path, double scale = 1) {
  AdapterModule module;
  module.path = std::move(path);
  module.form = LowRankForm{tensor({2, 6}), tensor({4, 2}), {}, false};
  module.rank = 2;
  module.scale = scale;
  return module;
}
AdapterModule lokr(std::string path, double scale = 1) {
  AdapterModule module;
  module.path = std::move(path);
  module.form = KroneckerForm{{tensor({2, 3}), {}, {}, {}}, {tensor({2, 4}), {}, {}, {}}, false};
  module.scale = scale;
  return module;
}
/// Made in memory, in dashi's names.
AdapterFile made(std::vector<AdapterModule> modules) {
  AdapterFile adapter;
  adapter.path = "made";
  adapter.dialect = Dialect::dashi_adapter;
  adapter.modules = std::move(modules);
  return adapter;
}

std::vector<std::string> names(EncodedAdapter const& encoded) {
  std::vector<std::string> out;
  for (auto const& entry : encoded.tensors) {
    out.push_back(entry.name);
  }
  std::sort(out.begin(), out.end());
  return out;
}
AdapterTensor const& find(EncodedAdapter const& encoded, std::string const& name) {
  for (auto const& entry : encoded.tensors) {
    if (entry.name == name) {
      return entry.tensor;
    }
  }
  FAIL("no tensor " + name);
  throw 0;
}
std::string refusal(AdapterFile const& adapter, Dialect to, std::string const& code) {
  auto const failure = failure_of([&] { encode_adapter(adapter, to); });
  REQUIRE(failure);
  CHECK(failure->code == code);
  CHECK(failure->status == (code == "names-need-base" ? 2 : 65));
  return failure->message;
}

constexpr Dialect dialects[] = {Dialect::peft,           Dialect::kohya,
                                Dialect::lycoris,        Dialect::comfyui,
                                Dialect::diffusers_lora, Dialect::diffusers_lora_old,
                                Dialect::dashi_adapter};

}  // namespace

TEST_CASE("every dialect has its own name for one module") {
  AdapterFile const adapter = made({low_rank("transformer_blocks.0.attn1.to_out.0", 0.5)});
  std::vector<std::pair<Dialect, std::vector<std::string>>> const expected{
      {Dialect::peft,
       {"base_model.model.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        "base_model.model.transformer_blocks.0.attn1.to_out.0.lora_B.weight"}},
      {Dialect::kohya,
       {"lora_unet_transformer_blocks_0_attn1_to_out_0.alpha",
        "lora_unet_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
        "lora_unet_transformer_blocks_0_attn1_to_out_0.lora_up.weight"}},
      {Dialect::lycoris,
       {"lycoris_transformer_blocks_0_attn1_to_out_0.alpha",
        "lycoris_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
        "lycoris_transformer_blocks_0_attn1_to_out_0.lora_up.weight"}},
      {Dialect::comfyui,
       {"diffusion_model.transformer_blocks.0.attn1.to_out.0.alpha",
        "diffusion_model.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        "diffusion_model.transformer_blocks.0.attn1.to_out.0.lora_B.weight"}},
      {Dialect::diffusers_lora,
       {"transformer.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        "transformer.transformer_blocks.0.attn1.to_out.0.lora_B.weight"}},
      {Dialect::diffusers_lora_old,
       {"transformer.transformer_blocks.0.attn1.processor.to_out_lora.down.weight",
        "transformer.transformer_blocks.0.attn1.processor.to_out_lora.up.weight"}},
      {Dialect::dashi_adapter,
       {"transformer_blocks.0.attn1.to_out.0.lora_down",
        "transformer_blocks.0.attn1.to_out.0.lora_up",
        "transformer_blocks.0.attn1.to_out.0.scale"}}};
  for (auto const& [dialect, tensors] : expected) {
    INFO(name(dialect));
    CHECK(names(encode_adapter(adapter, dialect)) == tensors);
  }
}

TEST_CASE("a scale survives in every dialect") {
  AdapterFolder const folder;
  for (double const scale : {1.0, 0.5, 2.0, -3.0, 0.7}) {
    for (Dialect const dialect : dialects) {
      INFO(name(dialect) << " " << scale);
      AdapterFile const adapter = made({low_rank("blocks.0.q", scale)});
      std::filesystem::path const path = folder / (std::to_string(static_cast<int>(dialect)));
      write_adapter(path, adapter, dialect, {.file = {.force = true}, .names = nullptr});
      AdapterFile const back = read_adapter(path);
      REQUIRE(back.modules.size() == 1);
      AdapterModule const& module = back.modules.front();
      auto const& form = std::get<LowRankForm>(module.form);
      // Times up, so that a scale that went into the factor is seen too.
      CHECK(module.scale * form.up.values()[7] == Catch::Approx(scale * 1.0).epsilon(1e-7));
      if (detail::scale_keeping(dialect) != detail::ScaleKeeping::none) {
        CHECK(module.scale == scale);
      } else {
        CHECK(module.scale == 1);
      }
    }
  }
}

TEST_CASE("the scale of two full factors goes into the first where readers take 1") {
  AdapterFile const adapter = made({lokr("q", 2.5)});
  for (Dialect const dialect : {Dialect::lycoris, Dialect::kohya, Dialect::comfyui}) {
    EncodedAdapter const encoded = encode_adapter(adapter, dialect);
    for (auto const& entry : encoded.tensors) {
      if (entry.name.ends_with("lokr_w1")) {
        CHECK(entry.tensor.values() ==
              std::vector<double>{2.5 / 8, 5.0 / 8, 7.5 / 8, 10.0 / 8, 12.5 / 8, 15.0 / 8});
      }
      if (entry.name.ends_with("alpha")) {
        CHECK(entry.tensor.values() == std::vector<double>{1});
      }
    }
    CHECK(encoded.tensors.size() == 3);
  }
  // PEFT multiplies by alpha / r all the same.
  EncodedAdapter const peft = encode_adapter(adapter, Dialect::peft);
  CHECK(find(peft, "base_model.model.q.lokr_w1").values()[0] == 1.0 / 8);
  CHECK(parse_peft_config(peft.config, "").scale_of("q") == 2.5);
}

TEST_CASE("an alpha gets a dtype that holds it") {
  auto const alpha = [](double scale) {
    AdapterModule module = low_rank("q", scale);
    std::vector<std::byte> half(12 * 2);
    module.form = LowRankForm{AdapterTensor(Dtype::f16, {2, 6}, half),
                              AdapterTensor(Dtype::f16, {4, 2}, std::vector<std::byte>(16)),
                              {},
                              false};
    return find(encode_adapter(made({module}), Dialect::kohya), "lora_unet_q.alpha");
  };
  CHECK(alpha(1.5).dtype() == Dtype::f16);
  CHECK(alpha(1.0 + 1.0 / 4096).dtype() == Dtype::f32);
  CHECK(alpha(0.1).dtype() == Dtype::f64);
  CHECK(alpha(0.1).values().front() / 2 == 0.1);
}

TEST_CASE("PEFT's configuration says every rank and scale, and a module's own where names nest") {
  std::vector<AdapterModule> modules{low_rank("q", 2), low_rank("k", 2), low_rank("x.q", 3),
                                     low_rank("a.b", 0.7)};
  AdapterModule wide = low_rank("wide", 2);
  wide.form = LowRankForm{tensor({3, 6}), tensor({4, 3}), {}, false};
  wide.rank = 3;
  modules.push_back(wide);
  EncodedAdapter const encoded = encode_adapter(made(modules), Dialect::peft);
  PeftConfig const config = parse_peft_config(encoded.config, "");
  CHECK(config.type == "LORA");
  CHECK(*config.r == 2);
  CHECK(*config.alpha == 4);
  for (AdapterModule const& module : modules) {
    INFO(module.path);
    CHECK(config.scale_of(module.path) == module.scale);
    CHECK(config.rank_of(module.path) == static_cast<double>(module.rank));
  }
  // "q" ends "x.q" too.
  EncodedAdapter const nested =
      encode_adapter(made({low_rank("q", 3), low_rank("x.q", 2), low_rank("k", 2)}), Dialect::peft);
  PeftConfig const other = parse_peft_config(nested.config, "");
  CHECK(other.scale_of("q") == 3);
  CHECK(other.scale_of("x.q") == 2);
}

TEST_CASE("PEFT's split of extents") {
  using Pair = std::pair<std::uint64_t, std::uint64_t>;
  CHECK(peft_factorization(128, 16) == Pair{16, 8});  // not sorted
  CHECK(peft_factorization(44, 8) == Pair{4, 11});
  CHECK(peft_factorization(37, 8) == Pair{1, 37});
  for (auto const& [n, small] : {Pair{320, 16},
                                 {384, 16},
                                 {640, 20},
                                 {768, 24},
                                 {1024, 32},
                                 {1152, 32},
                                 {1280, 32},
                                 {2048, 32},
                                 {3456, 54},
                                 {4608, 64},
                                 {6912, 72}}) {
    CHECK(peft_factorization(n, -1) == Pair{small, n / small});
  }
}

TEST_CASE("factors that PEFT never builds are refused") {
  AdapterModule module = lokr("q");
  module.form = KroneckerForm{{tensor({7, 3}), {}, {}, {}}, {tensor({2, 7}), {}, {}, {}}, false};
  CHECK(contains(refusal(made({module}), Dialect::peft, "cannot-hold-form"), "decompose_factor"));
  CHECK_NOTHROW(encode_adapter(made({module}), Dialect::lycoris));
}

TEST_CASE("what a dialect cannot hold is refused with its name") {
  AdapterModule gamma;
  gamma.path = "q";
  gamma.form = ScaleForm{tensor({4})};
  AdapterModule dense;
  dense.path = "q";
  dense.form = DenseForm{tensor({4, 6})};
  AdapterModule bias;
  bias.path = "q";
  bias.bias = tensor({4});
  AdapterModule tucker = low_rank("q");
  tucker.form =
      LowRankForm{tensor({2, 6, 1, 1}), tensor({4, 2, 1, 1}), tensor({2, 2, 3, 3}), false};
  AdapterModule columns = low_rank("q");
  columns.dora = MagnitudeForm{tensor({1, 6}), true};
  AdapterModule published = lokr("q");
  std::get<KroneckerForm>(published.form).interleaved = true;
  struct Row {
    AdapterModule module;
    std::vector<Dialect> refused;
    std::string what;
  };
  for (Row const& row :
       {Row{gamma,
            {Dialect::peft, Dialect::kohya, Dialect::comfyui, Dialect::diffusers_lora},
            "DiffFit"},
        Row{dense, {Dialect::peft, Dialect::diffusers_lora, Dialect::diffusers_lora_old}, "dense"},
        Row{bias, {Dialect::kohya, Dialect::comfyui, Dialect::diffusers_lora}, "bias"},
        Row{tucker,
            {Dialect::peft, Dialect::diffusers_lora, Dialect::diffusers_lora_old},
            "Tucker"},
        Row{columns, {Dialect::peft, Dialect::diffusers_lora}, "columns"},
        Row{lokr("q"),
            {Dialect::diffusers_lora, Dialect::diffusers_lora_old, Dialect::ibm_krona},
            "LoKr"},
        Row{published, {Dialect::lycoris, Dialect::peft, Dialect::kohya}, "permuted"}}) {
    INFO(row.what);
    CHECK_NOTHROW(encode_adapter(made({row.module}), Dialect::dashi_adapter));
    for (Dialect const dialect : row.refused) {
      CHECK(contains(refusal(made({row.module}), dialect, "cannot-hold-form"), row.what));
    }
  }
  CHECK(contains(refusal(made({low_rank("q"), lokr("k")}), Dialect::peft, "cannot-hold-form"),
                 "LoRA and of LoKr"));
  AdapterModule rows = low_rank("k");
  rows.dora = MagnitudeForm{tensor({4, 1}), false};
  CHECK(contains(refusal(made({low_rank("q"), rows}), Dialect::peft, "cannot-hold-form"),
                 "DoRA in 1 of 2"));
  AdapterFile tokens = made({low_rank("q")});
  tokens.token_embeddings.emplace("<s1>", tensor({5}));
  CHECK(contains(refusal(tokens, Dialect::kohya, "cannot-hold-form"), "<s1>"));
}

TEST_CASE("two modules that flatten to one name are refused") {
  CHECK(contains(
      refusal(made({low_rank("a.b"), low_rank("a_b")}), Dialect::kohya, "duplicate-module"),
      "lora_unet_a_b"));
}

TEST_CASE("flattened names need the base, and get the dots that it has") {
  AdapterFile adapter = made({low_rank("blk_to_out_0")});
  adapter.dialect = Dialect::kohya;
  adapter.modules.front().part = "lora_unet";
  refusal(adapter, Dialect::peft, "names-need-base");
  CHECK_NOTHROW(encode_adapter(adapter, Dialect::lycoris));
  AdapterBase const base = base_of({{"blk.to_out.0.weight", {4, 6}}});
  AdapterNames const known(base);
  CHECK(names(encode_adapter(adapter, Dialect::peft, &known)).front() ==
        "base_model.model.blk.to_out.0.lora_A.weight");
  AdapterBase const other = base_of({{"blk.to_q.weight", {4, 6}}});
  AdapterNames const unknown(other);
  auto const failure = failure_of([&] { encode_adapter(adapter, Dialect::peft, &unknown); });
  REQUIRE(failure);
  CHECK(failure->code == "no-place");
}

TEST_CASE("the names of SDXL become those that each dialect uses") {
  AdapterFile adapter = made({low_rank("input_blocks_4_1_proj_in")});
  adapter.dialect = Dialect::kohya;
  adapter.modules.front().part = "lora_unet";
  AdapterBase const base =
      base_of({{"model.diffusion_model.input_blocks.4.1.proj_in.weight", {4, 6}},
               {"model.diffusion_model.label_emb.0.0.weight", {4, 6}}},
              Dialect::ldm_checkpoint);
  AdapterNames const known(base);
  CHECK(names(encode_adapter(adapter, Dialect::diffusers_lora, &known)).front() ==
        "unet.down_blocks.1.attentions.0.proj_in.lora_A.weight");
  CHECK(names(encode_adapter(adapter, Dialect::comfyui, &known)).back() ==
        "diffusion_model.input_blocks.4.1.proj_in.lora_B.weight");
  AdapterFile back = made({low_rank("down_blocks.1.attentions.0.proj_in")});
  CHECK(names(encode_adapter(back, Dialect::kohya, &known)).front() ==
        "lora_unet_input_blocks_4_1_proj_in.alpha");
}

TEST_CASE("PEFT and LyCORIS' wrapper hold one model") {
  AdapterFile adapter = made({low_rank("q"), low_rank("k")});
  adapter.modules[0].part = "text_encoder";
  CHECK(contains(refusal(adapter, Dialect::peft, "several-models"), "text_encoder"));
}

TEST_CASE("the digest of the base goes along, the metadata of other tools does not lie") {
  AdapterFolder const folder;
  AdapterFile adapter = made({low_rank("q")});
  adapter.base_digest = "0123";
  adapter.metadata = {{"ss_network_dim", "2"}, {"ss_sd_model_name", "x"}, {"dashi.adapter", "1"}};
  write_adapter(folder / "a.safetensors", adapter, Dialect::comfyui);
  AdapterFile const back = read_adapter(folder / "a.safetensors");
  CHECK(back.base_digest == "0123");
  CHECK(back.metadata == Metadata{{"dashi.base_digest", "0123"}, {"ss_sd_model_name", "x"}});
}

TEST_CASE("nothing is written over the adapter itself, nor when a form has no place") {
  AdapterFolder const folder;
  AdapterFile const adapter = folder.read({{"lora_unet_q.lora_down.weight", tensor({2, 6})},
                                           {"lora_unet_q.lora_up.weight", tensor({4, 2})}});
  std::string const before = contents(folder / "adapter.safetensors");
  auto const failure = failure_of([&] {
    write_adapter(folder / "adapter.safetensors", adapter, Dialect::lycoris,
                  {.file = {.force = true}, .names = nullptr});
  });
  REQUIRE(failure);
  CHECK(failure->status == 73);
  CHECK(contents(folder / "adapter.safetensors") == before);
  AdapterModule gamma;
  gamma.path = "q";
  gamma.form = ScaleForm{tensor({4})};
  CHECK_THROWS(write_adapter(folder / "peft", made({gamma}), Dialect::peft));
  CHECK_FALSE(std::filesystem::exists(folder / "peft"));
}

TEST_CASE("a PEFT directory that is there is replaced with force alone, both files or none") {
  AdapterFolder const folder;
  write_adapter(folder / "peft", made({low_rank("q", 2)}), Dialect::peft);
  std::string const weights = contents(folder / "peft" / "adapter_model.safetensors");
  std::string const config = contents(folder / "peft" / "adapter_config.json");
  CHECK_THROWS(write_adapter(folder / "peft", made({low_rank("k", 3)}), Dialect::peft));
  CHECK(contents(folder / "peft" / "adapter_model.safetensors") == weights);
  CHECK(contents(folder / "peft" / "adapter_config.json") == config);
  write_adapter(folder / "peft", made({low_rank("k", 3)}), Dialect::peft,
                {.file = {.force = true}, .names = nullptr});
  CHECK(read_adapter(folder / "peft").modules.front().scale == 3);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/dialects/read_dit.hpp>

#include <catch2/catch_test_macros.hpp>
#include <dit_files.hpp>
#include <shared_data.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../reader_fixture.hpp"

using namespace dashi;
using io::DitConfiguration;
using io::DitVariant;
using reader_test::contains;
using reader_test::failure_of;
using test::FileTensor;

namespace {

using Metadata = std::map<std::string, std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Model {
  reader_test::ScratchDirectory scratch;
  DitConfiguration c = test::small_dit();
  std::vector<FileTensor> tensors = test::original_dit(c, io::Dtype::f32, 1);
  Metadata metadata;

  void in_diffusers_names() { tensors = test::diffusers_dit(c, tensors); }
  io::Checkpoint write() const {
    auto const path = scratch / "model.safetensors";
    test::write_member(path, tensors, "1", metadata);
    return io::Checkpoint(path);
  }
  void write_config(std::string const& text) const { scratch.write("config.json", text); }
  io::DitModel read(io::DitHints const& hints = {}) const { return io::read_dit(write(), hints); }
  /// "code: message" of the failure, or empty.
  std::string failure(io::DitHints const& hints = {}) const {
    auto const checkpoint = write();
    auto const failure = failure_of([&] { io::read_dit(checkpoint, hints); });
    if (!failure) {
      return {};
    }
    CHECK(failure->status == 65);
    return failure->code + ": " + failure->message;
  }
};

}  // namespace

TEST_CASE("the configuration is read off original names and shapes") {
  Model model;
  io::DitModel found = model.read();
  CHECK(found.dialect == io::Dialect::dit_original);
  CHECK(found.variant == DitVariant::original());
  CHECK(found.configuration.heads == 0);
  CHECK_FALSE(found.heads_assumed);
  found.configuration.heads = model.c.heads;
  CHECK(found.configuration == model.c);
  CHECK(found.configuration.tokens() == 16);
  CHECK(found.configuration.out_channels() == 6);
  CHECK(model.read({.heads = 4, .input_height = 0, .input_width = 0}).configuration.heads == 4);
}

TEST_CASE("without a learned variance as many channels go out as come in") {
  Model model;
  model.c.learn_sigma = false;
  model.tensors = test::original_dit(model.c, io::Dtype::bf16, 1);
  io::DitModel const found = model.read();
  CHECK_FALSE(found.configuration.learn_sigma);
  CHECK(found.configuration.out_channels() == 3);
  CHECK_FALSE(found.variant.learned_variance);
}

TEST_CASE("the configuration is read off diffusers names and shapes") {
  Model model;
  model.in_diffusers_names();
  io::DitModel const found = model.read();
  DitConfiguration expected = model.c;
  expected.heads = expected.input_height = expected.input_width = 0;
  CHECK(found.dialect == io::Dialect::dit_diffusers);
  CHECK(found.configuration == expected);
  CHECK(found.variant == DitVariant::diffusers());
  CHECK_FALSE(found.embedders_stated);
  auto const checkpoint = model.write();
  auto const heads = failure_of([&] { io::expect_heads(found.configuration, checkpoint); });
  REQUIRE(heads);
  CHECK(heads->code == "heads-unknown");
  CHECK(contains(heads->message, "width 12"));
  auto const input = failure_of([&] { io::expect_input(found.configuration, checkpoint); });
  REQUIRE(input);
  CHECK(input->code == "input-size-unknown");
  CHECK(contains(input->message, "--input-size"));
}

TEST_CASE("heads are assumed as the sizes of the paper have them") {
  CHECK(io::usual_heads(384) == 6);
  CHECK(io::usual_heads(768) == 12);
  CHECK(io::usual_heads(1024) == 16);
  CHECK(io::usual_heads(1152) == 16);
  CHECK(io::usual_heads(100) == 0);
  CHECK(io::usual_heads(0) == 0);
  Model model;
  model.c.width = 64;
  model.tensors = test::original_dit(model.c, io::Dtype::f8_e4m3, 1);
  io::DitModel const found = model.read();
  CHECK(found.configuration.heads == 1);
  CHECK(found.heads_assumed);
  model.metadata = {{"dashi.heads", "4"}};
  CHECK(model.read().configuration.heads == 4);
  CHECK_FALSE(model.read().heads_assumed);
}

TEST_CASE("the sizes of the paper have its parameter counts") {
  auto const count = [](std::int64_t depth, std::int64_t width, std::int64_t input) {
    return io::dit_parameters({.depth = depth,
                               .width = width,
                               .heads = 1,
                               .mlp_width = 4 * width,
                               .patch = 2,
                               .channels = 4,
                               .learn_sigma = true,
                               .classes = 1000,
                               .null_class = true,
                               .input_height = input,
                               .input_width = input,
                               .frequency_size = 256});
  };
  CHECK(count(12, 384, 32) == 32'963'360);
  CHECK(count(12, 768, 32) == 130'512'416);
  CHECK(count(24, 1024, 32) == 458'102'816);
  CHECK(count(28, 1152, 32) == 675'129'632);
  CHECK(count(28, 1152, 64) == 676'014'368);
}

TEST_CASE("metadata adds what shapes do not tell") {
  Model model;
  DitVariant const odd{.time_divisor = 127,
                       .norm_epsilon = 1e-5,
                       .guidance_channels = 0,
                       .learned_variance = false,
                       .embedders = io::DitEmbedders::shared,
                       .class_dropout = 0.25};
  model.c.input_height = 4;
  model.c.input_width = 16;
  model.tensors = test::original_dit(model.c, io::Dtype::f32, 1);
  io::append_dit_metadata(model.metadata, model.c, odd);
  io::DitModel const found = model.read();
  CHECK(found.configuration == model.c);
  CHECK(found.variant == odd);
  CHECK(found.embedders_stated);
  CHECK(model.metadata.at("dashi.norm_epsilon") == "1e-05");
  CHECK(model.metadata.at("dashi.guidance_channels") == "all");
  model.metadata["dashi.class_dropout"] = "0";
  CHECK(model.read().configuration.classes == 6);
  CHECK_FALSE(model.read().configuration.null_class);
}

TEST_CASE("metadata survives its way through text") {
  for (auto const& variant : {DitVariant::original(), DitVariant::diffusers(),
                              DitVariant{.time_divisor = 1,
                              .norm_epsilon = 0.1 + 0.2,
                              .guidance_channels = 7,
                              .learned_variance = true,
                              .embedders = io::DitEmbedders::per_block,
                              .class_dropout = 1.0 / 3}}) {
    Metadata metadata;
    io::append_dit_metadata(metadata, test::small_dit(), variant);
    auto const said = io::parse_dit_metadata(metadata, "x");
    CHECK(said.variant(DitVariant{.time_divisor = 5}) == variant);
    CHECK(said.heads == 3);
    CHECK(said.input_width == 8);
  }
  auto const nothing = io::parse_dit_metadata({{"format", "pt"}}, "x");
  CHECK(nothing.variant(DitVariant::diffusers()) == DitVariant::diffusers());
  CHECK_FALSE(nothing.heads);
}

TEST_CASE("bad metadata is refused with its key") {
  for (auto const& [key, value] : Pairs{{"dashi.heads", "0"},
                                        {"dashi.heads", "three"},
                                        {"dashi.time_divisor", "128.0"},
                                        {"dashi.norm_epsilon", "nan"},
                                        {"dashi.guidance_channels", "some"},
                                        {"dashi.variance", "Learned"},
                                        {"dashi.embedders", ""},
                                        {"dashi.class_dropout", "1.5"},
                                        {"dashi.input_height", "8"}}) {
    INFO(key << " " << value);
    auto const failure = failure_of([&] { io::parse_dit_metadata({{key, value}}, "m.st"); });
    REQUIRE(failure);
    CHECK(failure->code == "bad-metadata");
    CHECK(contains(failure->message, "m.st: metadata '" + key + "'"));
  }
}

TEST_CASE("config.json beside a file in diffusers names is read") {
  Model model;
  model.in_diffusers_names();
  std::string const config =
      R"({"_class_name": "DiTTransformer2DModel", "num_attention_heads": 4, "norm_eps": 1e-06,
          "attention_head_dim": 3, "sample_size": 8, "patch_size": 2, "in_channels": 3,
          "out_channels": 6, "num_layers": 3, "num_embeds_ada_norm": 5, "x": [null, {"y": true}]})";
  model.write_config(config);
  io::DitModel const found = model.read();
  CHECK(found.configuration.heads == 4);
  CHECK(found.configuration.input_height == 8);
  CHECK(found.variant.norm_epsilon == 1e-6);
  CHECK(found.variant.time_divisor == 127);
  CHECK(model.read({.heads = 6, .input_height = 4, .input_width = 6}).configuration.tokens() == 6);
  auto const with = [&](std::string const& from, std::string const& to) {
    std::string text = config;
    text.replace(text.find(from), from.size(), to);
    model.write_config(text);
    return model.failure();
  };
  for (auto const& [from, to] :
       Pairs{{"\"num_layers\": 3", "\"num_layers\": 28"},
             {"\"patch_size\": 2", "\"patch_size\": 4"},
             {"\"in_channels\": 3", "\"in_channels\": 4"},
             {"\"out_channels\": 6", "\"out_channels\": 3"},
             {"\"num_embeds_ada_norm\": 5", "\"num_embeds_ada_norm\": 1000"},
             {"\"attention_head_dim\": 3", "\"attention_head_dim\": 72"},
             {"\"sample_size\": 8", "\"sample_size\": 7"},
             {"\"num_attention_heads\": 4", "\"num_attention_heads\": 5"},
             {"\"num_attention_heads\": 4", "\"num_attention_heads\": 0.5"}}) {
    INFO(to);
    std::string const message = with(from, to);
    CHECK(contains(message, "contradiction: "));
    CHECK(contains(message, from.substr(1, from.find('"', 1) - 1)));
  }
  CHECK(with("\"num_attention_heads\": 4", "\"x1\": 4").empty());
  CHECK(model.read().configuration.heads == 4);
  for (char const* const size : {"0", "5", "13"}) {
    model.write_config(R"({"_class_name": "DiTTransformer2DModel", "attention_head_dim": )" +
                       std::string(size) + "}");
    CHECK(contains(model.failure(), "contradiction: "));
  }
  CHECK(contains(with("\"patch_size\": 2", "\"num_layers\": 3"), "duplicate-key: "));
  CHECK(contains(with("]", ""), "not-json"));
  CHECK(with("DiTTransformer2DModel", "UNet2DConditionModel").empty());
  CHECK(model.read().configuration.heads == 0);
}

TEST_CASE("a config.json that is written is read again") {
  DitConfiguration c = test::small_dit();
  REQUIRE(io::not_for_diffusers(c) != nullptr);
  CHECK(contains(io::not_for_diffusers(c), "four times"));
  c.mlp_width = 4 * c.width;
  REQUIRE(io::not_for_diffusers(c) == nullptr);
  Model model;
  model.c = c;
  model.tensors = test::original_dit(c, io::Dtype::f32, 2);
  model.in_diffusers_names();
  model.write_config(io::dit_config_text(c, DitVariant::original()));
  CHECK(model.read().configuration == c);
  CHECK(model.read().variant.norm_epsilon == 1e-6);
  using Change = std::function<void(DitConfiguration&)>;
  for (Change const& change : std::vector<Change>{
           [](auto& x) { x.heads = 0; }, [](auto& x) { x.input_width = 0; },
           [](auto& x) { x.input_width = 16; }, [](auto& x) { x.null_class = false; },
           [](auto& x) { x.frequency_size = 128; }}) {
    DitConfiguration other = c;
    change(other);
    CHECK(io::not_for_diffusers(other) != nullptr);
    CHECK_THROWS_AS(io::dit_config_text(other, DitVariant::original()), PreconditionError);
  }
}

TEST_CASE("what is no whole DiT is refused") {
  Model model;
  SECTION("an unknown tensor") {
    model.tensors.push_back(test::file_tensor<float>("blocks.3.extra", io::Dtype::f32, {1}, {1}));
    CHECK(contains(model.failure(), "unknown-tensors: "));
    CHECK(contains(model.failure(), "blocks.3.extra"));
  }
  SECTION("a missing tensor") {
    std::erase_if(model.tensors,
                  [](FileTensor const& t) { return t.name == "blocks.1.mlp.fc2.bias"; });
    CHECK(contains(model.failure(), "missing-tensors: "));
    CHECK(contains(model.failure(), "blocks.1.mlp.fc2.bias"));
  }
  SECTION("no blocks' middle") {
    std::erase_if(model.tensors,
                  [](FileTensor const& t) { return t.name.starts_with("blocks.1."); });
    CHECK(contains(model.failure(), "unknown-tensors: "));
    CHECK(contains(model.failure(), "blocks.2.attn.proj.bias"));
  }
  SECTION("a shape") {
    FileTensor& tensor = test::find_tensor(model.tensors, "blocks.2.attn.qkv.weight");
    std::swap(tensor.shape[0], tensor.shape[1]);
    std::string const message = model.failure();
    CHECK(contains(message, "shape-mismatch: "));
    CHECK(contains(message, "'blocks.2.attn.qkv.weight': shape [12, 36], expected [36, 12]"));
  }
  SECTION("a rank") {
    test::find_tensor(model.tensors, "x_embedder.proj.weight").shape = {12, 12};
    CHECK(contains(model.failure(), "4 extents"));
  }
  SECTION("outputs of no such model") {
    FileTensor& tensor = test::find_tensor(model.tensors, "final_layer.linear.weight");
    tensor.shape = {32, 9};
    CHECK(contains(model.failure(), "patch * patch * channels rows (12)"));
  }
  SECTION("positions that are no square") {
    model.c.input_height = 4;
    model.tensors = test::original_dit(model.c, io::Dtype::f32, 1);
    CHECK(contains(model.failure(), "a square number of positions"));
    CHECK(model.failure({.heads = 0, .input_height = 4, .input_width = 8}).empty());
    CHECK(contains(model.failure({.heads = 0, .input_height = 8, .input_width = 8}),
                   "16 positions, as the image size given says"));
  }
  SECTION("heads that do not divide the width") {
    CHECK(contains(model.failure({.heads = 5, .input_height = 0, .input_width = 0}),
                   "divides the width 12"));
    model.metadata = {{"dashi.heads", "7"}};
    CHECK(contains(model.failure(), "metadata 'dashi.heads'"));
  }
  SECTION("embedders of every block under original names") {
    model.metadata = {{"dashi.embedders", "per_block"}};
    CHECK(contains(model.failure(), "contradiction: "));
  }
  SECTION("a learned variance without the output") {
    model.c.learn_sigma = false;
    model.tensors = test::original_dit(model.c, io::Dtype::f32, 1);
    model.metadata = {{"dashi.variance", "learned"}};
    CHECK(contains(model.failure(), "contradiction: "));
  }
  SECTION("another model") {
    model.tensors.resize(3);
    CHECK(contains(model.failure(), "not-a-dit: "));
  }
}

TEST_CASE("the configurations of the reference's models are read") {
  struct Row {
    std::string file;
    DitConfiguration c;
  };
  auto const row = [](std::string const& file, std::int64_t depth, std::int64_t width,
                      std::int64_t mlp, std::int64_t patch, std::int64_t channels, bool sigma,
                      std::int64_t classes, std::int64_t input) {
    return Row{file,
               {depth, width, 0, mlp, patch, channels, sigma, classes, true, input, input, 256}};
  };
  std::string const golden = "golden/dit_";
  for (auto const& [file, c] :
       {row(golden + "original_a/weights", 3, 48, 192, 2, 4, true, 7, 8),
        row(golden + "original_b/weights", 2, 32, 128, 4, 4, true, 10, 16),
        row(golden + "original_c_nosigma/weights", 2, 24, 48, 1, 1, false, 3, 6),
        row(golden + "diffusers_a/weights", 2, 24, 96, 2, 4, true, 5, 0),
        row(golden + "diffusers_b_untied/weights", 2, 24, 96, 3, 3, false, 4, 0),
        row("data/dit_shards/base.fp16", 6, 128, 512, 4, 1, false, 10, 0)}) {
    INFO(file);
    io::DitModel model = io::read_dit(io::Checkpoint(test::shared_data(file + ".safetensors")));
    model.configuration.heads = model.heads_assumed ? 0 : model.configuration.heads;
    CHECK(model.configuration == c);
  }
}

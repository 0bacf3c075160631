// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Models as diffusers has them, an embedder in each block: forward and every gradient.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <dit_fixture.hpp>
#include <golden_case.hpp>

#include <utility>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

DitConfig config_a() {
  DitConfig config;
  config.depth = 2;
  config.width = 24;
  config.heads = 3;
  config.mlp_width = 96;
  config.patch = 2;
  config.channels = 4;
  config.height = config.width_pixels = 8;
  config.classes = 5;
  config.frequency_shift = 1;
  config.second_norm_epsilon = 1e-5;
  config.embedders = Embedders::per_block;
  return config;
}

DitConfig config_b() {
  DitConfig config = config_a();
  config.heads = 2;
  config.patch = 3;
  config.channels = 3;
  config.height = config.width_pixels = 6;
  config.classes = 4;
  config.learn_sigma = false;
  config.second_norm_epsilon = 1e-6;
  return config;
}

/// Our name in diffusers' words, one for each of the matrices that ours is made of.
std::vector<std::string> diffusers_names(std::string name) {
  static std::pair<char const*, char const*> const words[] = {
      {"x_embedder.proj", "pos_embed.proj"},
      {"blocks.", "transformer_blocks."},
      {"t_embedder.mlp.0", "norm1.emb.timestep_embedder.linear_1"},
      {"t_embedder.mlp.2", "norm1.emb.timestep_embedder.linear_2"},
      {"y_embedder.embedding_table", "norm1.emb.class_embedder.embedding_table"},
      {"final_layer.adaLN_modulation.1", "proj_out_1"},
      {"final_layer.linear", "proj_out_2"},
      {"adaLN_modulation.1", "norm1.linear"},
      {"attn.proj", "attn1.to_out.0"},
      {"mlp.fc1", "ff.net.0.proj"},
      {"mlp.fc2", "ff.net.2"}};
  for (auto const& [ours, theirs] : words) {
    if (auto const at = name.find(ours); at != std::string::npos) {
      name.replace(at, std::string(ours).size(), theirs);
    }
  }
  auto const at = name.find("attn.qkv");
  if (at == std::string::npos) {
    return {name};
  }
  std::vector<std::string> parts;
  for (char const* const part : {"attn1.to_q", "attn1.to_k", "attn1.to_v"}) {
    parts.push_back(name);
    parts.back().replace(at, 8, part);
  }
  return parts;
}

std::vector<double> joined(test::TensorFile const& file, std::string const& name) {
  std::vector<double> all;
  for (std::string const& part : diffusers_names(name)) {
    auto const values = file.read(part);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

template <class P>
void check_diffusers(std::string const& name, DitConfig const& config, double output,
                     double gradient) {
  INFO(name);
  auto const folder = "golden/" + name;
  test::TensorFile const io(test::shared_data(folder + "/io.safetensors"));
  test::TensorFile const weights(test::shared_data(folder + "/weights.safetensors"));
  test::TensorFile const grads(test::shared_data(folder + "/grads.safetensors"));
  auto const samples = static_cast<Index>(io.read("t").size());
  test::DitFixture<BasicDiT<Exec, P>> dit(config, samples);
  std::size_t tensors = 0;
  for (auto const& entry : dit.list) {
    if (entry.name == "pos_embed") {
      CHECK(test::relative_difference(dit.value(entry.name), io.read("pos_embed_table")) < 1e-7);
      continue;
    }
    tensors += diffusers_names(entry.name).size();
    entry.parameter.write(std::span<double const>(joined(weights, entry.name)));
  }
  CHECK(tensors == weights.header().tensors.size());
  dit.feed(io.read("x"), io.read("t"), io.read("y"), io.read("f32.t_features"));
  double const least = std::is_same_v<P, precision::Float64> ? 0 : 1;
  CHECK(test::relative_difference(dit.forward(), io.read("f64.out"), least) < output);
  CHECK(test::relative_difference(dit.evaluate(), io.read("f64.out"), least) < output);
  (void)dit.forward();
  auto const d_x = dit.backward(io.read("loss_weight"));
  CHECK(test::relative_difference(d_x, grads.read("x")) < gradient);
  for (auto const& entry : dit.list) {
    if (!entry.parameter.trained()) {
      continue;
    }
    INFO(entry.name);
    auto expected = joined(grads, entry.name);
    auto actual = dit.download(entry.parameter.gradient());
    if (entry.name.ends_with("qkv.bias")) {  // the key's third is mathematically zero
      auto const width = static_cast<std::size_t>(config.width);
      std::fill_n(actual.begin() + config.width, width, 0.0);
      std::fill_n(expected.begin() + config.width, width, 0.0);
    }
    CHECK(test::relative_difference(actual, expected) < gradient);
  }
}

}  // namespace

TEST_CASE("DiT with an embedder a block equals diffusers in double", "[dit]") {
  check_diffusers<precision::Float64>("dit_diffusers_a", config_a(), 1e-10, 1e-10);
  check_diffusers<precision::Float64>("dit_diffusers_b_untied", config_b(), 1e-10, 1e-10);
}

TEST_CASE("DiT with an embedder a block equals diffusers in float", "[dit]") {
  check_diffusers<precision::Float32>("dit_diffusers_a", config_a(), 1e-5, 2e-5);
  check_diffusers<precision::Float32>("dit_diffusers_b_untied", config_b(), 1e-5, 2e-5);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Forward and every gradient of the original DiT, of diffusers' and of ours.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <dit_fixture.hpp>
#include <golden_case.hpp>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

struct DitCase {
  char const* name;
  Index samples, depth, width, heads, mlp_width, patch, channels, side, classes;
  bool learn_sigma;
};

constexpr DitCase original[] = {{"dit_original_a", 5, 3, 48, 4, 192, 2, 4, 8, 7, true},
                                {"dit_original_b", 4, 2, 32, 2, 128, 4, 4, 16, 10, true},
                                {"dit_original_c_nosigma", 3, 2, 24, 3, 48, 1, 1, 6, 3, false}};

DitConfig config_of(DitCase const& c) {
  DitConfig config;
  config.depth = c.depth;
  config.width = c.width;
  config.heads = c.heads;
  config.mlp_width = c.mlp_width;
  config.patch = c.patch;
  config.channels = c.channels;
  config.height = c.side;
  config.width_pixels = c.side;
  config.classes = c.classes;
  config.learn_sigma = c.learn_sigma;
  return config;
}

template <class P>
void check_original(DitCase const& c, Recompute recompute, double output, double gradient,
                    bool feed_features) {
  INFO(c.name);
  auto config = config_of(c);
  config.recompute = recompute;
  auto const folder = "golden/" + std::string(c.name);
  test::TensorFile const io(test::shared_data(folder + "/io.safetensors"));
  test::TensorFile const weights(test::shared_data(folder + "/weights.safetensors"));
  test::TensorFile const grads(test::shared_data(folder + "/grads.safetensors"));
  auto const x = io.read("x");
  auto const samples = static_cast<Index>(io.read("t").size());
  test::DitFixture<BasicDiT<Exec, P>> dit(config, samples);
  CHECK(dit.list.size() == static_cast<std::size_t>(12 + 10 * c.depth));
  for (auto const& entry : dit.list) {
    auto const values = weights.read(entry.name);
    auto const* const info = weights.header().find(entry.name);
    CHECK(std::vector<Index>(info->shape.begin(), info->shape.end()) == entry.shape);
    if (entry.name == "pos_embed") {
      CHECK(test::relative_difference(dit.value(entry.name), values) == 0);
    }
    entry.parameter.write(std::span<double const>(values));
  }
  dit.feed(x, io.read("t"), io.read("y"),
           feed_features ? io.read("f32.t_features") : std::vector<double>());
  auto const expected = io.read("f64.out");
  double const least = std::is_same_v<P, precision::Float64> ? 0 : 1;
  CHECK(test::relative_difference(dit.forward(), expected, least) < output);
  CHECK(test::relative_difference(dit.evaluate(), expected, least) < output);
  (void)dit.forward();
  auto const d_x = dit.backward(io.read("loss_weight"));
  CHECK(test::relative_difference(d_x, grads.read("x")) < gradient);
  for (auto const& entry : dit.list) {
    if (entry.parameter.trained()) {
      INFO(entry.name);
      auto expected_gradient = grads.read(entry.name);
      auto actual = dit.download(entry.parameter.gradient());
      if (entry.name.ends_with("qkv.bias")) {  // the key's third is mathematically zero
        for (Index i = c.width; i < 2 * c.width; ++i) {
          CHECK(std::fabs(actual[static_cast<std::size_t>(i)]) < 1e-3);
          actual[static_cast<std::size_t>(i)] = 0;
          expected_gradient[static_cast<std::size_t>(i)] = 0;
        }
      }
      CHECK(test::relative_difference(actual, expected_gradient) < gradient);
    } else {
      CHECK(entry.name == "pos_embed");
    }
  }
}

}  // namespace

TEST_CASE("DiT equals the original in double", "[dit]") {
  auto const& c = original[GENERATE(0U, 1U, 2U)];
  auto const recompute = GENERATE(Recompute::nothing, Recompute::blocks);
  // The gradients of case a are stored as float.
  bool const rounded = std::string(c.name) == "dit_original_a";
  check_original<precision::Float64>(c, recompute, 1e-10, rounded ? 1e-7 : 1e-10, true);
}

TEST_CASE("DiT equals the original in float", "[dit]") {
  auto const& c = original[GENERATE(0U, 1U, 2U)];
  check_original<precision::Float32>(c, Recompute::nothing, 1e-5, 2e-5, true);
}

TEST_CASE("DiT with the features of its own is the original to the digits that they have",
          "[dit]") {
  auto const& c = original[GENERATE(0U, 1U, 2U)];
  auto const folder = "golden/" + std::string(c.name);
  test::TensorFile const io(test::shared_data(folder + "/io.safetensors"));
  test::TensorFile const weights(test::shared_data(folder + "/weights.safetensors"));
  test::DitFixture<BasicDiT<Exec, precision::Float64>> dit(config_of(c),
                                                           static_cast<Index>(io.read("t").size()));
  for (auto const& entry : dit.list) {
    auto const values = weights.read(entry.name);
    entry.parameter.write(std::span<double const>(values));
  }
  dit.feed(io.read("x"), io.read("t"), io.read("y"));
  CHECK(test::relative_difference(dit.forward(), io.read("f64_freq64.out")) < 1e-10);
}

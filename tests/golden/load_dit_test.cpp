// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checkpoints of both dialects, loaded by name: the numbers of diffusers' DiT and of real files.
#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/save_dit.hpp>
#include <dashi/io/input_file.hpp>

#include <catch2/generators/catch_generators.hpp>

#include <dit_fixture.hpp>
#include <filesystem>
#include <fstream>
#include <golden_case.hpp>
#include <iterator>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

std::string bytes_of(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct DiffusersCase {
  char const* name;
  Index heads, side;
  double second_epsilon;
  io::DitEmbedders embedders;
};

}  // namespace

TEST_CASE("a checkpoint under diffusers names gives diffusers' numbers", "[dit][load]") {
  DiffusersCase const c =
      GENERATE(DiffusersCase{"dit_diffusers_a", 3, 8, 1e-5, io::DitEmbedders::shared},
               DiffusersCase{"dit_diffusers_b_untied", 2, 6, 1e-6, io::DitEmbedders::per_block},
               DiffusersCase{"dit_diffusers_converted_from_original_b", 2, 16, 1e-5,
                             io::DitEmbedders::shared});
  INFO(c.name);
  auto const folder = "golden/" + std::string(c.name);
  io::Checkpoint const checkpoint(test::shared_data(folder + "/weights.safetensors"));
  auto model = checkpoints::read_dit_model(
      checkpoint, {.heads = c.heads, .input_height = c.side, .input_width = c.side});
  CHECK(model.variant.embedders == c.embedders);
  model.variant.norm_epsilon = c.second_epsilon;
  test::TensorFile const io(test::shared_data(folder + "/io.safetensors"));
  using P = precision::Float64;
  test::DitFixture<BasicDiT<Exec, P>> dit(
      checkpoints::dit_config(model.configuration, model.variant),
      static_cast<Index>(io.read("t").size()));
  checkpoints::load_dit(checkpoint, model, dit.list);
  dit.feed(io.read("x"), io.read("t"), io.read("y"), io.read("f32.t_features"));
  CHECK(test::relative_difference(dit.forward(), io.read("f64.out")) < 1e-10);

  auto const out = std::filesystem::temp_directory_path() /
                   ("dashi-load-dit-" + std::string(c.name) + ".safetensors");
  std::filesystem::remove(out);
  checkpoints::SaveDit save;
  save.dialect = io::Dialect::dit_diffusers;
  save.variant = model.variant;
  checkpoints::save_dit(out, dit.net.config(), dit.list, save);
  io::Checkpoint const written(out);
  REQUIRE(written.tensors().size() == checkpoint.tensors().size());
  for (auto const& ref : checkpoint.tensors()) {
    INFO(ref.info.name);
    auto const* const other = written.find(ref.info.name);
    REQUIRE(other != nullptr);
    std::vector<std::byte> a(ref.info.bytes()), b(other->info.bytes());
    checkpoint.read(ref, 0, a);
    written.read(*other, 0, b);
    CHECK(a == b);
  }
  std::filesystem::remove(out);
}

TEST_CASE("a checkpoint under original names is loaded and written again", "[dit][load]") {
  auto const path = test::shared_data("golden/dit_original_b/weights.safetensors");
  io::Checkpoint const checkpoint(path);
  auto const model = checkpoints::read_dit_model(checkpoint, {.heads = 2});
  using P = precision::Float32;
  test::DitFixture<BasicDiT<Exec, P>> dit(
      checkpoints::dit_config(model.configuration, model.variant), 1);
  checkpoints::load_dit(checkpoint, model, dit.list);
  auto const out = std::filesystem::temp_directory_path() / "dashi-load-dit-b.safetensors";
  std::filesystem::remove(out);
  checkpoints::SaveDit save;
  save.output.file.force = true;
  checkpoints::save_dit(out, dit.net.config(), dit.list, save);
  io::Checkpoint const written(out);
  for (auto const& ref : checkpoint.tensors()) {
    auto const* const other = written.find(ref.info.name);
    REQUIRE(other != nullptr);
    std::vector<std::byte> a(ref.info.bytes()), b(other->info.bytes());
    checkpoint.read(ref, 0, a);
    written.read(*other, 0, b);
    CHECK(a == b);
  }
  // What we wrote says everything, and comes out the same again.
  auto const again = checkpoints::read_dit_model(written);
  CHECK(again.configuration.heads == 2);
  auto const first = bytes_of(out);
  checkpoints::load_dit(written, again, dit.list);
  checkpoints::save_dit(out, dit.net.config(), dit.list, save);
  CHECK(bytes_of(out) == first);
  std::filesystem::remove(out);
}

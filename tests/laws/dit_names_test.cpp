// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Laws of the two kinds of names of a DiT, on random models, dtypes, metadata and cuts: original to
// diffusers to original is the same file, diffusers to original to diffusers the same tensors.
#include <dashi/checkpoints/convert_dit.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>

#include <support/dit_files.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using Random = std::mt19937;
using Metadata = std::map<std::string, std::string>;

std::int64_t pick(Random& random, std::int64_t least, std::int64_t most) {
  return least + static_cast<std::int64_t>(random() % static_cast<unsigned>(most - least + 1));
}

io::DitConfiguration random_dit(Random& random) {
  io::DitConfiguration c;
  c.depth = pick(random, 1, 4);
  c.width = 4 * pick(random, 1, 5);
  c.mlp_width = pick(random, 1, 40);
  c.patch = pick(random, 1, 3);
  c.channels = pick(random, 1, 4);
  c.learn_sigma = random() % 2 == 0;
  c.classes = pick(random, 1, 6);
  c.input_height = c.input_width = c.patch * pick(random, 1, 5);
  c.frequency_size = 2 * pick(random, 1, 128);
  return c;
}

Metadata random_metadata(Random& random, io::DitConfiguration const& c) {
  Metadata out;
  if (random() % 2 == 0) {
    out["format"] = "pt";
  }
  if (random() % 2 == 0) {
    out["dashi.convert"] = R"({"dtype":"F16","input":"x","rules":[]})";
  }
  if (random() % 2 == 0) {
    out["dashi.version"] = "0.0." + std::to_string(random() % 10);
  }
  if (random() % 2 == 0) {
    io::DitVariant variant;
    variant.time_divisor = pick(random, 127, 128);
    variant.learned_variance = c.learn_sigma;
    io::append_dit_metadata(out, c, variant);
  }
  return out;
}

/// Converts into a new file or set and opens it.
io::Checkpoint converted_to(io::Checkpoint const& in, io::Dialect to, io::DitHints const& hints,
                            std::filesystem::path const& path,
                            std::optional<std::uint64_t> largest) {
  auto const plan = checkpoints::plan_dit_conversion(in, to, hints);
  checkpoints::check_dit_conversion(plan, false);
  auto const provenance = checkpoints::dit_provenance(plan, true);
  return io::Checkpoint(checkpoints::convert_dit(plan, provenance.metadata, path,
                                                 {.file = {}, .largest_shard = largest},
                                                 {.workers = 2})
                            .path);
}

void check_same_files(io::Checkpoint const& a, io::Checkpoint const& b) {
  REQUIRE(a.files().size() == b.files().size());
  for (std::size_t f = 0; f < a.files().size(); ++f) {
    CHECK((test::file_bytes(a.files()[f].file().path()) ==
           test::file_bytes(b.files()[f].file().path())));
  }
}

}  // namespace

TEST_CASE("original names come back as the same file", "[dit]") {
  constexpr std::array dtypes{io::Dtype::f32, io::Dtype::f16, io::Dtype::bf16, io::Dtype::f64,
                              io::Dtype::f8_e4m3fnuz};
  Random random(3);
  for (int round = 0; round < 40; ++round) {
    INFO("round " << round);
    merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
    auto const at = [&](char const* name) {
      return folder.path() / (std::string(name) + ".safetensors");
    };
    auto const c = random_dit(random);
    auto tensors =
        test::original_dit(c, dtypes[random() % dtypes.size()], static_cast<unsigned>(round));
    test::write_member(at("in"), tensors, "1", random_metadata(random, c));
    auto const cut = [&]() -> std::optional<std::uint64_t> {
      return random() % 2 == 0 ? std::nullopt
                               : std::optional<std::uint64_t>(500 + random() % 20'000);
    };
    auto const shards = cut();
    io::Checkpoint const one(at("in"));
    io::Checkpoint const in(
        checkpoints::reshard(one, at("cut"), {.file = {}, .largest_shard = shards}).path);
    auto const there = converted_to(in, io::Dialect::dit_diffusers, {}, at("there"), cut());
    auto const back = converted_to(there, io::Dialect::dit_original, {}, at("back"), shards);
    check_same_files(in, back);
    CHECK(in.metadata() == back.metadata());
    CHECK(io::read_dit(there).variant == io::read_dit(in).variant);
  }
}

TEST_CASE("equal embedders come back as the same tensors", "[dit]") {
  Random random(4);
  for (int round = 0; round < 20; ++round) {
    INFO("round " << round);
    merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
    auto const c = random_dit(random);
    auto const tensors =
        test::diffusers_dit(c, test::original_dit(c, io::Dtype::f16, static_cast<unsigned>(round)));
    auto const in = folder.path() / "in.safetensors";
    test::write_member(in, tensors);
    io::DitHints const size{
        .heads = 0, .input_height = c.input_height, .input_width = c.input_width};
    auto const there = converted_to(io::Checkpoint(in), io::Dialect::dit_original, size,
                                    folder.path() / "there.safetensors", {});
    auto const back =
        converted_to(there, io::Dialect::dit_diffusers, {}, folder.path() / "back.safetensors", {});
    CHECK(io::checkpoint_digest(back) == io::checkpoint_digest(io::Checkpoint(in)));
  }
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <merge_files.hpp>

#include <string>
#include <vector>

namespace {

using namespace dashi;
using test::file_tensor;

TEST_CASE("any way through shards ends in the same bytes", "[checkpoints]") {
  merging::PrivateFolder const folder{std::filesystem::temp_directory_path()};
  auto const path = [&](char const* name) { return folder.path() / name; };
  std::vector<test::FileTensor> tensors;
  for (unsigned i = 0; i < 7; ++i) {
    std::size_t const size = 1 + 90'000 * i;
    tensors.push_back(
        file_tensor("t" + std::to_string(i), io::Dtype::f32, {size}, test::random_floats(size, i)));
  }
  test::write_member(path("in.safetensors"), tensors, "1", {{"k", "v"}});
  io::Checkpoint const in(path("in.safetensors"));
  checkpoints::reshard(in, path("one.safetensors"), {}, {.workers = 1});
  for (std::uint64_t const limit : {std::uint64_t{100}, std::uint64_t{1'000'000}}) {
    auto const shards =
        checkpoints::reshard(in, path("m.safetensors"),
                             {.file = {.force = true}, .largest_shard = limit}, {.workers = 3});
    CHECK(shards.shards > 1);
    CHECK(shards.path == path("m.safetensors.index.json"));
    io::Checkpoint const many(shards.path);
    auto const back = checkpoints::reshard(many, path("back.safetensors"),
                                           {.file = {.force = true}}, {.workers = 2});
    CHECK(back.shards == 1);
    CHECK(test::file_bytes(path("back.safetensors")) == test::file_bytes(path("one.safetensors")));
  }
}

TEST_CASE("a single output never gets the name of an index", "[checkpoints]") {
  CHECK(dashi::io::single_file_path("d/m.safetensors.index.json") == "d/m.safetensors");
  CHECK(dashi::io::single_file_path("d/m.safetensors") == "d/m.safetensors");
}

TEST_CASE("a ledger is not cut", "[checkpoints]") {
  merging::PrivateFolder const folder{std::filesystem::temp_directory_path()};
  test::write_member(folder.path() / "l", {}, "1", {{"dashi.ledger", "{}"}});
  io::Checkpoint const in(folder.path() / "l");
  CHECK_THROWS_AS(checkpoints::reshard(in, folder.path() / "out.safetensors", {}), FormatError);
}

TEST_CASE("metadata that shards disagree on is named", "[checkpoints]") {
  merging::PrivateFolder const folder{std::filesystem::temp_directory_path()};
  test::write_member(folder.path() / "m-00001-of-00002.safetensors",
                     {file_tensor<float>("a", io::Dtype::f32, {1}, {1})}, "1",
                     {{"same", "1"}, {"other", "1"}});
  test::write_member(folder.path() / "m-00002-of-00002.safetensors",
                     {file_tensor<float>("b", io::Dtype::f32, {1}, {1})}, "1",
                     {{"same", "1"}, {"other", "2"}});
  std::ofstream(folder.path() / "m.safetensors.index.json") << io::shard_index_text(
      8, {{"a", "m-00001-of-00002.safetensors"}, {"b", "m-00002-of-00002.safetensors"}});
  io::Checkpoint const in(folder.path() / "m.safetensors.index.json");
  CHECK(checkpoints::unshared_metadata(in) == std::vector<std::string>{"other"});
  CHECK(checkpoints::input_identities(in).size() == 3);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/directory_lock.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/shard_plan.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;
using dashi::reader_test::ScratchDirectory;
using Shards = std::vector<std::vector<std::size_t>>;

TEST_CASE("tensors are split as huggingface_hub splits them") {
  // Compared with split_state_dict_into_shards_factory of huggingface_hub 2.4.0 on these sizes.
  auto const split = [](std::vector<std::uint64_t> const& sizes, std::uint64_t largest) {
    return split_into_shards(sizes, largest);
  };
  CHECK(split({}, 10) == Shards{{}});
  CHECK(split({10}, 10) == Shards{{0}});
  CHECK(split({11}, 10) == Shards{{0}});
  CHECK(split({4, 6, 1}, 10) == Shards{{0, 1}, {2}});
  CHECK(split({4, 4, 4}, 10) == Shards{{0, 1}, {2}});
  CHECK(split({4, 20, 4}, 10) == Shards{{1}, {0, 2}});
  CHECK(split({8, 20, 3, 0, 30}, 10) == Shards{{1}, {0}, {4}, {2, 3}});
  CHECK(split({0, 0}, 1) == Shards{{0, 1}});
  constexpr std::uint64_t huge = ~std::uint64_t{0};
  CHECK(split({huge, 1, huge}, huge) == Shards{{0}, {1}, {2}});
  CHECK(failure_of([&] { split({1}, 0); })->status == 2);
}

TEST_CASE("shards and index have the usual names") {
  CHECK(shard_file_name("model", 0, 3) == "model-00001-of-00003.safetensors");
  CHECK(shard_file_name("m", 123'455, 123'456) == "m-123456-of-123456.safetensors");
  CHECK(index_file_name("model") == "model.safetensors.index.json");
  CHECK(checkpoint_stem("x/model.safetensors") == "model");
  CHECK(checkpoint_stem("x/model.safetensors.index.json") == "model");
  CHECK(checkpoint_stem("x/model") == "model");
  CHECK(checkpoint_stem("x/.safetensors") == ".safetensors");
}

TEST_CASE("the index has known bytes") {
  CHECK(shard_index_text(12, {{"b", "m-00002-of-00002.safetensors"},
                              {"a\"\xc3\xa9", "m-00001-of-00002.safetensors"}}) ==
        "{\n"
        "  \"metadata\": {\n"
        "    \"total_size\": 12\n"
        "  },\n"
        "  \"weight_map\": {\n"
        "    \"a\\\"\xc3\xa9\": \"m-00001-of-00002.safetensors\",\n"
        "    \"b\": \"m-00002-of-00002.safetensors\"\n"
        "  }\n"
        "}\n");
}

namespace {

std::vector<TensorSpec> const specs{
    {"z.first", Dtype::f32, {10}}, {"a.second", Dtype::u8, {100}}, {"m.third", Dtype::bf16, {7}}};

std::vector<std::byte> data_of(std::size_t tensor, unsigned seed) {
  return std::vector<std::byte>(tensor_bytes(specs[tensor]), static_cast<std::byte>(seed + tensor));
}

std::filesystem::path write(std::filesystem::path const& path, unsigned seed,
                            CheckpointOutput output) {
  CheckpointWriter writer(path, specs, {{"format", "pt"}}, output);
  for (std::size_t t = 0; t < specs.size(); ++t) {
    writer.write(t, 0, data_of(t, seed));
  }
  writer.commit();
  return writer.path();
}

void expect_content(std::filesystem::path const& path, unsigned seed) {
  Checkpoint const checkpoint(path);
  CHECK(checkpoint.warnings().empty());
  CHECK(checkpoint.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(checkpoint.tensors().size() == specs.size());
  for (std::size_t t = 0; t < specs.size(); ++t) {
    TensorRef const* const found = checkpoint.find(specs[t].name);
    REQUIRE(found != nullptr);
    std::vector<std::byte> bytes(found->info.bytes());
    checkpoint.read(*found, 0, bytes);
    CHECK(bytes == data_of(t, seed));
  }
}

std::set<std::string> names(std::filesystem::path const& folder) {
  std::set<std::string> out;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    out.insert(entry.path().filename().string());
  }
  return out;
}

}  // namespace

TEST_CASE("a checkpoint is written as one file or as shards") {
  ScratchDirectory const folder;
  auto const path = folder / "model.safetensors";
  SECTION("without a limit") { CHECK(write(path, 1, {}) == path); }
  SECTION("with a limit that all fit") { CHECK(write(path, 1, {.largest_shard = 154}) == path); }
  SECTION("in shards") {
    CHECK(write(path, 1, {.largest_shard = 100}) == folder / "model.safetensors.index.json");
    CHECK(names(folder.path()) == std::set<std::string>{"model-00001-of-00003.safetensors",
                                                        "model-00002-of-00003.safetensors",
                                                        "model-00003-of-00003.safetensors",
                                                        "model.safetensors.index.json"});
    expect_content(folder / "model.safetensors.index.json", 1);
  }
  expect_content(folder.path(), 1);
}

TEST_CASE("a set replaces another set, of any count, only with force") {
  ScratchDirectory const folder;
  auto const path = folder / "model.safetensors";
  write(path, 1, {.largest_shard = 40});
  auto const before = names(folder.path());
  REQUIRE(before.size() == 4);
  auto const failure = failure_of([&] { write(path, 2, {.largest_shard = 140}); });
  REQUIRE(failure);
  CHECK(failure->status == 73);
  CHECK(contains(failure->message, "--force"));
  CHECK(names(folder.path()) == before);
  expect_content(folder.path(), 1);
  write(path, 2, {.file = {.force = true}, .largest_shard = 140});
  CHECK(names(folder.path()).size() == 3);
  expect_content(folder.path(), 2);
}

TEST_CASE("a set that is not committed, or fails, leaves the old one") {
  ScratchDirectory const folder;
  auto const path = folder / "model.safetensors";
  write(path, 1, {.largest_shard = 140});
  auto const before = names(folder.path());
  {
    CheckpointWriter writer(path, specs, {}, {.file = {.force = true}, .largest_shard = 140});
    writer.write(0, 0, data_of(0, 2));
    CHECK(failure_of([&] { writer.commit(); })->status == 70);
  }
  CHECK(names(folder.path()) == before);
  expect_content(folder.path(), 1);
  // The index's name is taken by a folder after the writer looked: publishing it fails last.
  {
    CheckpointWriter writer(path, specs, {}, {.file = {.force = true}, .largest_shard = 140});
    for (std::size_t t = 0; t < specs.size(); ++t) {
      writer.write(t, 0, data_of(t, 2));
    }
    std::filesystem::rename(folder / "model-00001-of-00002.safetensors", folder / "kept");
    std::filesystem::create_directory(folder / "model-00001-of-00002.safetensors");
    CHECK(failure_of([&] { writer.commit(); })->status == 73);
    std::filesystem::remove(folder / "model-00001-of-00002.safetensors");
    std::filesystem::rename(folder / "kept", folder / "model-00001-of-00002.safetensors");
  }
  CHECK(names(folder.path()) == before);
  expect_content(folder.path(), 1);
}

TEST_CASE("a writer of a set commits on what is there then, one writer after the other") {
  ScratchDirectory const folder;
  auto const path = folder / "model.safetensors";
  auto const filled = [&](CheckpointWriter& writer, unsigned seed) -> CheckpointWriter& {
    for (std::size_t t = 0; t < specs.size(); ++t) {
      writer.write(t, 0, data_of(t, seed));
    }
    return writer;
  };
  SECTION("without force the second is refused") {
    CheckpointWriter first(path, specs, {{"format", "pt"}}, {.largest_shard = 40});
    CheckpointWriter second(path, specs, {{"format", "pt"}}, {.largest_shard = 140});
    filled(first, 1).commit();
    CHECK(failure_of([&] { filled(second, 2).commit(); })->status == 73);
    expect_content(folder.path(), 1);
    CHECK(names(folder.path()).size() == 4);
  }
  SECTION("with force the last one's set is there") {
    CheckpointOutput const three{.file = {.force = true}, .largest_shard = 40};
    CheckpointOutput const two{.file = {.force = true}, .largest_shard = 140};
    CheckpointWriter first(path, specs, {{"format", "pt"}}, three);
    CheckpointWriter second(path, specs, {{"format", "pt"}}, two);
    filled(first, 1).commit();
    filled(second, 2).commit();
    expect_content(folder.path(), 2);
    CHECK(names(folder.path()).size() == 3);
  }
  SECTION("commit waits for the directory") {
    CheckpointWriter writer(path, specs, {{"format", "pt"}}, {.largest_shard = 40});
    filled(writer, 3);
    std::atomic<bool> done{false};
    std::optional<DirectoryLock> lock(std::in_place, OutputDirectory(path));
    std::thread thread([&] {
      writer.commit();
      done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK_FALSE(done);
    CHECK(names(folder.path()).empty());
    lock.reset();
    thread.join();
    expect_content(folder.path(), 3);
  }
}

TEST_CASE("one file is never written under the name of an index") {
  ScratchDirectory const folder;
  CHECK(write(folder / "model.safetensors.index.json", 1, {.largest_shard = 154}) ==
        folder / "model.safetensors");
  CHECK(names(folder.path()) == std::set<std::string>{"model.safetensors"});
  expect_content(folder.path(), 1);
}

TEST_CASE("one file and a set of the same name replace each other, only with force") {
  ScratchDirectory const folder;
  auto const path = folder / "model.safetensors";
  std::ofstream(folder / "x.txt") << "kept";
  std::optional<std::uint64_t> const one_file;
  bool const set_first = GENERATE(false, true);
  auto const before = set_first ? std::optional<std::uint64_t>(40) : one_file;
  auto const after = set_first ? one_file : std::optional<std::uint64_t>(40);
  write(path, 1, {.largest_shard = before});
  auto const old_names = names(folder.path());
  auto const failure = failure_of([&] { write(path, 2, {.largest_shard = after}); });
  REQUIRE(failure);
  CHECK(failure->status == 73);
  CHECK(contains(failure->message, "--force"));
  CHECK(names(folder.path()) == old_names);
  expect_content(folder.path(), 1);
  {
    CheckpointOutput output{.file = {.force = true}, .largest_shard = after};
    output.file.inputs.push_back(InputFile(folder / *old_names.begin()).identity());
    CHECK(failure_of([&] { write(path, 2, output); })->status == 73);
    CHECK(names(folder.path()) == old_names);
  }
  write(path, 2, {.file = {.force = true}, .largest_shard = after});
  expect_content(folder.path(), 2);
  CHECK(names(folder.path()).size() == (set_first ? 2U : 5U));
}

TEST_CASE("names are used once in a set") {
  ScratchDirectory const folder;
  std::vector<TensorSpec> const twice{{"a", Dtype::u8, {10}}, {"a", Dtype::u8, {10}}};
  for (std::optional<std::uint64_t> const largest : {std::optional<std::uint64_t>{}, {10}}) {
    auto const failure = failure_of([&] {
      CheckpointWriter(folder / "m.safetensors", twice, {}, {.file = {}, .largest_shard = largest});
    });
    REQUIRE(failure);
    CHECK(failure->status == 65);
    CHECK(contains(failure->message, "used twice"));
  }
  CHECK(names(folder.path()).empty());
}

TEST_CASE("metadata that are known after the data are in every shard") {
  ScratchDirectory const folder;
  CheckpointWriter writer(folder / "m.safetensors", specs, {{"digest", "00"}},
                          {.largest_shard = 40});
  for (std::size_t t = 0; t < specs.size(); ++t) {
    writer.write(t, 0, data_of(t, 2));
  }
  writer.replace_metadata({{"digest", "ab"}});
  writer.commit();
  CHECK(Checkpoint(writer.path()).metadata().at("digest") == "ab");
}

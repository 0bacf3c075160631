// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Laws of writing: what was written reads back as it was, and writing that again gives the same
// bytes, whatever the shards in between.
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace dashi::io;

struct Tensor {
  TensorSpec spec;
  std::vector<std::byte> bytes;
};

/// Random names, dtypes, ranks 0 to 8, zero extents, bytes.
std::vector<Tensor> random_tensors(std::mt19937& random) {
  static std::vector<std::string> const pieces{"w",        "bias", ".k", "\"", "\\",
                                               "\xc3\xa9", "0",    " ",  "/"};
  std::vector<Tensor> out;
  std::size_t const count = random() % 12;
  for (std::size_t i = 0; i < count; ++i) {
    Tensor tensor;
    tensor.spec.name = "t" + std::to_string(i);
    for (std::size_t k = random() % 5; k > 0; --k) {
      tensor.spec.name += pieces[random() % pieces.size()];
    }
    tensor.spec.dtype = static_cast<Dtype>(random() % dtype_count);
    for (std::size_t rank = random() % 9; rank > 0; --rank) {
      tensor.spec.shape.push_back(random() % 8 == 0 ? 0 : 1 + random() % 3);
    }
    if (bits(tensor.spec.dtype) % 8 != 0) {
      tensor.spec.shape.assign({4, random() % 5});
    }
    tensor.bytes.resize(tensor_bytes(tensor.spec));
    std::generate(tensor.bytes.begin(), tensor.bytes.end(),
                  [&] { return static_cast<std::byte>(random() & 0xffU); });
    out.push_back(std::move(tensor));
  }
  return out;
}

std::filesystem::path write(std::filesystem::path const& path, std::vector<Tensor> const& tensors,
                            std::map<std::string, std::string> const& metadata,
                            std::optional<std::uint64_t> largest_shard) {
  std::vector<TensorSpec> specs;
  for (Tensor const& tensor : tensors) {
    specs.push_back(tensor.spec);
  }
  CheckpointWriter writer(path, specs, metadata, {.file = {}, .largest_shard = largest_shard});
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    writer.write(t, 0, tensors[t].bytes);
  }
  writer.commit();
  return writer.path();
}

std::vector<Tensor> read(Checkpoint const& checkpoint) {
  std::vector<Tensor> out;
  for (TensorRef const& ref : checkpoint.tensors()) {
    Tensor tensor{{ref.info.name, ref.info.dtype, ref.info.shape}, {}};
    tensor.bytes.resize(ref.info.bytes());
    checkpoint.read(ref, 0, tensor.bytes);
    out.push_back(std::move(tensor));
  }
  return out;
}

std::string contents(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("write, read, write gives the same file") {
  std::mt19937 random(11);
  for (int round = 0; round < 150; ++round) {
    dashi::merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
    auto tensors = random_tensors(random);
    std::map<std::string, std::string> metadata;
    for (std::size_t i = random() % 4; i > 0; --i) {
      metadata["k" + std::to_string(random() % 10)] = "v\n\"" + std::to_string(random());
    }
    auto const first = write(folder.path() / "first.safetensors", tensors, metadata, {});
    Checkpoint const once(first);
    REQUIRE(once.metadata() == metadata);
    auto const back = read(once);
    REQUIRE(back.size() == tensors.size());
    std::sort(tensors.begin(), tensors.end(),
              [](Tensor const& a, Tensor const& b) { return a.spec.name < b.spec.name; });
    for (std::size_t t = 0; t < back.size(); ++t) {
      REQUIRE(back[t].spec == tensors[t].spec);
      REQUIRE(back[t].bytes == tensors[t].bytes);
    }
    auto const second = write(folder.path() / "second.safetensors", back, once.metadata(), {});
    REQUIRE(contents(first) == contents(second));

    std::uint64_t const largest = 1 + random() % 200;
    auto const set = write(folder.path() / "set.safetensors", back, once.metadata(), largest);
    Checkpoint const sharded(set);
    auto const third =
        write(folder.path() / "third.safetensors", read(sharded), sharded.metadata(), {});
    REQUIRE(contents(first) == contents(third));
  }
}

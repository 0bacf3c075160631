// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/private_folder.hpp>

#include "file_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dashi::test {

/// Removed with what is in it.
struct TestFolder {
  merging::PrivateFolder folder{std::filesystem::temp_directory_path()};
  std::filesystem::path operator/(std::string const& name) const { return folder.path() / name; }
};

/// A tensor of a test checkpoint.
struct FileTensor {
  std::string name;
  io::Dtype dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

template <class T>
FileTensor file_tensor(std::string name, io::Dtype dtype, std::vector<std::uint64_t> shape,
                       std::vector<T> const& values) {
  auto const bytes = std::as_bytes(std::span(values));
  return {std::move(name), dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

/// Writes a checkpoint and opens it as a member.
inline merging::MergeMember write_member(std::filesystem::path const& path,
                                         std::vector<FileTensor> const& tensors,
                                         char const* weight = "1",
                                         std::map<std::string, std::string> metadata = {}) {
  std::vector<io::TensorSpec> specs;
  for (FileTensor const& tensor : tensors) {
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  io::SafetensorsWriter writer(path, io::SafetensorsLayout(specs, std::move(metadata)),
                               {.force = true});
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    writer.write(writer.layout().position(t), 0, tensors[t].bytes);
  }
  writer.commit();
  return merging::open_member(path, merging::parse_weight(weight));
}

template <class T>
std::vector<T> read_values(io::Checkpoint const& checkpoint, std::string const& name) {
  io::TensorRef const* ref = checkpoint.find(name);
  if (ref == nullptr) {
    throw std::runtime_error("no tensor " + name);
  }
  std::vector<T> out(ref->info.bytes() / sizeof(T));
  checkpoint.read(*ref, 0, std::as_writable_bytes(std::span(out)));
  return out;
}

/// Names in a folder, hidden ones included.
inline std::vector<std::string> names_in(std::filesystem::path const& folder) {
  std::vector<std::string> out;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    out.push_back(entry.path().filename().string());
  }
  return out;
}

/// Random bit patterns with finite values.
inline std::vector<std::uint16_t> random_halves(std::size_t count, std::uint16_t exponent_mask,
                                                unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint16_t> out(count);
  for (std::uint16_t& bits : out) {
    do {
      bits = static_cast<std::uint16_t>(random());
    } while ((bits & exponent_mask) == exponent_mask);
  }
  return out;
}

inline std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> out(count);
  for (float& value : out) {
    value = normal(random);
  }
  return out;
}

}  // namespace dashi::test

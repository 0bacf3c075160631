// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_tensor.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/private_folder.hpp>

#include "../reader_fixture.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::adapter_test {

using namespace dashi::io;
using Shape = std::vector<std::uint64_t>;

/// Bytes of float numbers 1, 2, 3, ... over 8, or of those given.
inline std::vector<std::byte> float_bytes(Shape const& shape,
                                          std::vector<float> const& given = {}) {
  std::size_t count = 1;
  for (std::uint64_t const extent : shape) {
    count *= static_cast<std::size_t>(extent);
  }
  std::vector<std::byte> out(count * sizeof(float));
  for (std::size_t i = 0; i < count; ++i) {
    float const value = given.empty() ? static_cast<float>(i + 1) / 8 : given.at(i);
    std::memcpy(out.data() + i * sizeof(float), &value, sizeof(float));
  }
  return out;
}

inline AdapterTensor tensor(Shape shape, std::vector<float> const& given = {}) {
  std::vector<std::byte> bytes = float_bytes(shape, given);
  return {Dtype::f32, std::move(shape), std::move(bytes)};
}
inline AdapterTensor number(float value) { return tensor({}, {value}); }

/// F32 tensors by name.
using Tensors = std::map<std::string, AdapterTensor>;
using Metadata = std::map<std::string, std::string>;

inline std::filesystem::path write_file(std::filesystem::path const& path, Tensors const& tensors,
                                        Metadata const& metadata = {}) {
  std::vector<TensorSpec> specs;
  for (auto const& [name, value] : tensors) {
    specs.push_back({name, value.dtype(), value.shape()});
  }
  SafetensorsWriter writer(path, SafetensorsLayout(specs, metadata), {.force = true});
  std::size_t i = 0;
  for (auto const& [name, value] : tensors) {
    writer.write(writer.layout().position(i++), 0, value.bytes());
  }
  writer.commit();
  return path;
}

inline std::string contents(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A folder with one adapter in it.
class AdapterFolder {
public:
  std::filesystem::path operator/(std::string const& name) const { return folder_ / name; }
  std::filesystem::path const& path() const { return folder_.path(); }

  AdapterFile read(Tensors const& tensors, Metadata const& metadata = {},
                   AdapterReadOptions const& options = {}) const {
    return read_adapter(write_file(folder_ / "adapter.safetensors", tensors, metadata), options);
  }
  /// As PEFT writes it.
  AdapterFile read_peft(Tensors const& tensors, std::string const& config,
                        AdapterReadOptions const& options = {}) const {
    std::filesystem::create_directories(folder_ / "peft");
    write_file(folder_ / "peft" / "adapter_model.safetensors", tensors);
    std::ofstream(folder_ / "peft" / "adapter_config.json") << config;
    return read_adapter(folder_ / "peft", options);
  }
  /// Code and message of the refusal; fails the test when there is none, or its status is not 65.
  reader_test::Failure refusal(Tensors const& tensors, Metadata const& metadata = {},
                               AdapterReadOptions const& options = {}) const {
    auto const failure = reader_test::failure_of([&] { read(tensors, metadata, options); });
    REQUIRE(failure);
    CHECK(failure->status == 65);
    CHECK(reader_test::contains(failure->message, "adapter.safetensors"));
    return *failure;
  }

private:
  reader_test::ScratchDirectory folder_;
};

/// A base of F32 tensors of those shapes.
inline AdapterBase base_of(std::map<std::string, Shape> const& shapes,
                           Dialect dialect = Dialect::unknown) {
  AdapterBase base;
  base.file = "base.safetensors";
  base.dialect = dialect;
  for (auto const& [name, shape] : shapes) {
    base.tensors.push_back({name, Dtype::f32, shape, 0, 0});
  }
  return base;
}

}  // namespace dashi::adapter_test

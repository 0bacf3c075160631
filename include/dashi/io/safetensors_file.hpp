// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/safetensors_header.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>

namespace dashi::io {

static_assert(std::endian::native == std::endian::little,
              "dashi::io: safetensors are little-endian and are read without swapping bytes");

/// A safetensors file opened for reading: its checked header, and positional reads of its tensors.
/// Holds no tensor data. Throws IoError and FormatError.
class SafetensorsFile {
public:
  explicit SafetensorsFile(std::filesystem::path const& path, ReadOptions const& options = {})
      : SafetensorsFile(InputFile(path), options) {}

  explicit SafetensorsFile(InputFile file, ReadOptions const& options = {})
      : file_(std::move(file)), header_(read_header(file_, options)) {}

  SafetensorsHeader const& header() const noexcept { return header_; }
  InputFile const& file() const noexcept { return file_; }

  /// Fills `out` from byte `byte_offset` of the tensor. Thread-safe. Bytes are copied as they are:
  /// the data buffer may begin at any file offset, so they are not aligned in the file.
  void read(TensorInfo const& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
    DASHI_EXPECTS(byte_offset <= tensor.bytes() && out.size() <= tensor.bytes() - byte_offset,
                  "the range must lie within the tensor");
    file_.read_exact(header_.data_begin + tensor.begin + byte_offset, out);
  }

private:
  static SafetensorsHeader read_header(InputFile const& file, ReadOptions const& options) {
    std::array<std::byte, 512> buffer{};
    std::span<std::byte> const first = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(512, file.size())));
    file.read_exact(0, first);
    std::string const name = file.path().string();
    std::uint64_t const length = safetensors_header_length(name, first, file.size());
    auto const size = static_cast<std::size_t>(8 + length);
    auto const prefix = std::make_unique_for_overwrite<std::byte[]>(size);
    file.read_exact(0, {prefix.get(), size});
    return parse_safetensors_header(name, {prefix.get(), size}, file.size(), options);
  }

  InputFile file_;
  SafetensorsHeader header_;
};

}  // namespace dashi::io

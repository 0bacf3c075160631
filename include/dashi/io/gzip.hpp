// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/input_file.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

[[noreturn]] inline void fail_gzip(std::string const& file, std::string found) {
  throw FormatError({.code = "broken-gzip",
                     .file = file,
                     .place = {},
                     .found = std::move(found),
                     .expected = "a whole gzip file",
                     .advice = "copy or download it again"});
}

/// An inflating zlib stream that is closed in any case.
class Inflater {
public:
  Inflater() {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) {  // 16: gzip, with its checksum
      throw std::bad_alloc();
    }
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(Inflater const&) = delete;
  Inflater& operator=(Inflater const&) = delete;
  z_stream& stream() { return stream_; }

private:
  z_stream stream_{};
};

}  // namespace detail

/// Whether the bytes begin as a gzip file does.
inline bool is_gzip(std::span<std::byte const> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

/// The content of a gzip file that lies in memory, of all its members, checksums verified. Memory
/// grows with what is found, up to `limit` bytes. Throws FormatError when the file is cut off or
/// damaged, or holds more.
inline std::vector<std::byte> gunzip(std::string const& file, std::span<std::byte const> packed,
                                     std::uint64_t limit) {
  detail::Inflater inflater;
  z_stream& stream = inflater.stream();
  std::vector<std::byte> content;
  std::array<std::byte, 65536> buffer;
  auto* const input = const_cast<std::byte*>(packed.data());
  std::size_t given = 0;
  int status = Z_OK;
  while (true) {
    if (stream.avail_in == 0 && given < packed.size()) {
      std::size_t const step = std::min<std::size_t>(packed.size() - given, 1U << 30);
      stream.next_in = reinterpret_cast<Bytef*>(input + given);
      stream.avail_in = static_cast<uInt>(step);
      given += step;
    }
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) {
        return content;
      }
      inflateReset(&stream);  // another member follows
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    std::size_t const made = buffer.size() - stream.avail_out;
    if (status == Z_BUF_ERROR ||
        (status == Z_OK && made == 0 && stream.avail_in == 0 && given == packed.size())) {
      detail::fail_gzip(
          file, "the file ends early, after " + std::to_string(content.size()) + " unpacked bytes");
    }
    if (status != Z_OK && status != Z_STREAM_END) {
      detail::fail_gzip(
          file, "zlib says: " + std::string(stream.msg == nullptr ? "damaged" : stream.msg));
    }
    if (content.size() + made > limit) {
      detail::fail_gzip(file, "holds more than " + std::to_string(limit) + " bytes");
    }
    content.insert(content.end(), buffer.begin(),
                   buffer.begin() + static_cast<std::ptrdiff_t>(made));
  }
}

/// Largest file that is read whole, and largest content of one that is unpacked: 16 GiB.
inline constexpr std::uint64_t largest_whole_file = std::uint64_t{1} << 34;

/// A whole file, unpacked when it is a gzip file. Throws IoError and FormatError.
inline std::vector<std::byte> read_whole(std::filesystem::path const& path,
                                         std::uint64_t limit = largest_whole_file) {
  InputFile const file(path);
  if (file.size() > limit) {
    throw FormatError({.code = "file-too-large",
                       .file = path.string(),
                       .place = {},
                       .found = "has " + std::to_string(file.size()) + " bytes",
                       .expected = "at most " + std::to_string(limit),
                       .advice = {}});
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.size()));
  file.read_exact(0, bytes);
  return is_gzip(bytes) ? gunzip(path.string(), bytes, limit) : bytes;
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/exit_status.hpp>
#include <dashi/io/tensor_info.hpp>

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::reader_test {

/// A directory of its own for one test, removed afterwards.
class ScratchDirectory {
public:
  ScratchDirectory() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("dashi-reader-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(ScratchDirectory const&) = delete;
  ScratchDirectory& operator=(ScratchDirectory const&) = delete;

  std::filesystem::path const& path() const { return path_; }
  std::filesystem::path operator/(std::string const& name) const { return path_ / name; }
  std::filesystem::path write(std::string const& name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

private:
  std::filesystem::path path_;
};

inline std::string contents(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A safetensors file of that header text and `data` bytes 0, 1, 2, ...
inline std::string safetensors_bytes(std::string_view header, std::size_t data) {
  std::string file;
  for (unsigned i = 0; i < 8; ++i) {
    file += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i) & 255U);
  }
  file += header;
  for (std::size_t i = 0; i < data; ++i) {
    file += static_cast<char>(i % 251);
  }
  return file;
}

/// `"name":{...}` of a U8 vector.
inline std::string byte_entry(std::string const& name, std::size_t begin, std::size_t end) {
  return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

inline std::span<std::byte const> bytes_of(std::string_view text) {
  return {reinterpret_cast<std::byte const*>(text.data()), text.size()};
}

/// How a call failed.
struct Failure {
  std::string code;
  int status = 0;
  Diagnosis diagnosis;
  std::string message;
};

/// The dashi::Error that the call throws, or nothing.
template <class Call>
std::optional<Failure> failure_of(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (Error const& error) {
    return Failure{error.diagnosis().code, static_cast<int>(exit_status(error)), error.diagnosis(),
                   error.what()};
  }
  return std::nullopt;
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace dashi::reader_test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/safetensors_contents.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io::detail {

/// Fills by_name and rejects names that occur twice, all of them in one message.
inline void index_names(std::string_view file_name, SafetensorsHeader& header) {
  std::vector<TensorInfo> const& tensors = header.tensors;
  header.by_name.resize(tensors.size());
  std::iota(header.by_name.begin(), header.by_name.end(), std::uint32_t{0});
  std::sort(header.by_name.begin(), header.by_name.end(), [&](std::uint32_t a, std::uint32_t b) {
    int const order = tensors[a].name.compare(tensors[b].name);
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<std::string> twice;
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    std::string const& name = tensors[header.by_name[i]].name;
    bool const repeats = name == tensors[header.by_name[i - 1]].name;
    if (repeats && (i == 1 || name != tensors[header.by_name[i - 2]].name || twice.empty())) {
      twice.push_back(in_quotes(name));
    }
  }
  if (!twice.empty()) {
    throw FormatError({.code = "duplicate-key",
                       .file = std::string(file_name),
                       .place = "header",
                       .found = std::to_string(twice.size()) +
                                (twice.size() == 1 ? " tensor name" : " tensor names") +
                                " more than once: " + listing(twice),
                       .expected = "each name once",
                       .advice = "readers disagree on which one counts; do not use this file"});
  }
}

/// Sorts the tensors by offset and requires that they cover the data buffer: the first begins at 0,
/// each begins where the one before ended, the last ends at the end of the file.
inline void check_layout(std::string_view file_name, std::uint64_t file_size,
                         SafetensorsHeader& header) {
  std::vector<TensorInfo>& tensors = header.tensors;
  auto const before = [](TensorInfo const& a, TensorInfo const& b) {
    return a.begin != b.begin ? a.begin < b.begin
           : a.end != b.end   ? a.end < b.end
                              : a.name < b.name;
  };
  if (!std::is_sorted(tensors.begin(), tensors.end(), before)) {
    std::sort(tensors.begin(), tensors.end(), before);
  }
  index_names(file_name, header);
  std::uint64_t covered = 0;
  TensorInfo const* previous = nullptr;
  for (TensorInfo const& info : tensors) {
    if (info.begin != covered) {
      bool const hole = info.begin > covered;
      std::string const where = previous == nullptr ? "0, where the data buffer begins"
                                                    : std::to_string(covered) + ", where " +
                                                          in_quotes(previous->name) + " ends";
      throw FormatError(
          {.code = hole ? "hole" : "overlap",
           .file = std::string(file_name),
           .place = "tensor " + in_quotes(info.name),
           .found = (hole ? "a hole of " + std::to_string(info.begin - covered)
                          : "an overlap of " + std::to_string(covered - info.begin)) +
                    " bytes: data begins at " + std::to_string(info.begin),
           .expected = where,
           .advice = "the format allows no holes, padding or shared data; write the file again"});
    }
    covered = info.end;
    previous = &info;
  }
  std::uint64_t const expected_size = header.data_begin + covered;
  if (file_size != expected_size) {
    bool const longer = file_size > expected_size;
    throw FormatError({.code = longer ? "trailing-bytes" : "truncated",
                       .file = std::string(file_name),
                       .place = "byte " + std::to_string(std::min(file_size, expected_size)),
                       .found = "a file of " + std::to_string(file_size) + " bytes, " +
                                (longer ? std::to_string(file_size - expected_size) + " too many"
                                        : std::to_string(expected_size - file_size) + " too few"),
                       .expected = std::to_string(expected_size) + " bytes (" +
                                   std::to_string(header.data_begin) + " of header, " +
                                   std::to_string(covered) + " of data)",
                       .advice = longer ? "something was appended; copy or download the file again"
                                        : "the file is truncated; copy or download it again"});
  }
}

}  // namespace dashi::io::detail

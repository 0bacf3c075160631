// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/array_set.hpp>
#include <dashi/data/image_array.hpp>
#include <dashi/data/load_options.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

/// The numbers of one line, or false where a field is none.
inline bool parse_csv_line(std::string_view line, std::vector<double>& fields,
                           std::string_view& wrong) {
  fields.clear();
  while (true) {
    std::size_t const end = std::min(line.find(','), line.size());
    std::string_view field = line.substr(0, end);
    while (field.starts_with(' ')) {
      field.remove_prefix(1);
    }
    while (field.ends_with(' ')) {
      field.remove_suffix(1);
    }
    double value = 0;
    auto const [rest, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || rest != field.data() + field.size()) {
      wrong = field;
      return false;
    }
    fields.push_back(value);
    if (end == line.size()) {
      return true;
    }
    line.remove_prefix(end + 1);
  }
}

/// Takes one image and its label from the fields of line `number`.
inline void take_csv_row(ImageArray& array, std::vector<double> const& fields, std::size_t number,
                         LoadOptions const& options) {
  std::string const place = "line " + std::to_string(number);
  bool const labelled = options.class_depth > 0;
  std::size_t const pixels = fields.size() - (labelled ? 1 : 0);
  if (labelled) {
    double const label = options.label_first ? fields.front() : fields.back();
    if (label != std::floor(label) || std::abs(label) > 1e9) {
      fail_array(
          array.path, "wrong-class", place, "label " + std::to_string(label),
          "an integer in the " + std::string(options.label_first ? "first" : "last") + " column",
          {});
    }
    array.labels->push_back(static_cast<std::int64_t>(label));
  }
  std::size_t const first = labelled && options.label_first ? 1 : 0;
  for (std::size_t i = 0; i < pixels; ++i) {
    double const value = fields[first + i];
    if (!(value >= 0 && value <= options.maximum)) {
      fail_array(array.path, std::isfinite(value) ? "out-of-range" : "not-finite",
                 place + ", column " + std::to_string(first + i + 1),
                 std::isnan(value) ? "NaN" : std::to_string(value),
                 "0 to " + std::to_string(options.maximum),
                 "set maximum to the value that stands for white");
    }
    array.floats.push_back(static_cast<float>(value / (options.maximum / 2) - 1));
  }
}

}  // namespace detail

/// Images of a CSV file (unpacked bytes given): one a line, pixels row by row (channel by channel)
/// and the label last or first; square, as many channels as options.channels (0: one). Pixels of 0
/// to options.maximum become -1 to 1. A first line that is not all numbers is a header and left
/// out. Throws FormatError.
inline ImageSet csv_set(std::filesystem::path const& path, std::span<std::byte const> bytes,
                        LoadOptions const& options) {
  std::string_view text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  ImageArray array;
  array.path = array.labels_path = path.string();
  if (options.class_depth > 0) {
    array.labels.emplace();
  }
  std::vector<double> fields;
  std::size_t columns = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.empty()) {
      continue;
    }
    std::string_view wrong;
    if (!detail::parse_csv_line(line, fields, wrong)) {
      if (number == 1) {
        continue;
      }
      detail::fail_array(array.path, "bad-csv", "line " + std::to_string(number),
                         "'" + std::string(wrong.substr(0, 40)) + "'", "a number", {});
    }
    columns = columns == 0 ? fields.size() : columns;
    if (fields.size() != columns) {
      detail::fail_array(array.path, "bad-csv", "line " + std::to_string(number),
                         std::to_string(fields.size()) + " fields",
                         std::to_string(columns) + " as in the lines before", {});
    }
    detail::take_csv_row(array, fields, number, options);
    ++array.count;
  }
  Index const channels = options.channels == 0 ? 1 : options.channels;
  auto const pixels = static_cast<Index>(columns) - (options.class_depth > 0 ? 1 : 0);
  auto const side = static_cast<Index>(
      std::llround(std::sqrt(static_cast<double>(pixels) / static_cast<double>(channels))));
  if (array.count > 0 && (pixels <= 0 || side * side * channels != pixels)) {
    detail::fail_array(array.path, "bad-csv", {}, "lines of " + std::to_string(columns) + " fields",
                       "a square image of " + std::to_string(channels) +
                           " channels and, unless class_depth is 0, a label",
                       {});
  }
  array.shape = {channels, side, side};
  return array_set(std::move(array), options);
}

}  // namespace dashi::data

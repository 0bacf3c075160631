// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/array_set.hpp>
#include <dashi/data/image_array.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/parse_labels.hpp>
#include <dashi/io/gzip.hpp>
#include <dashi/io/npy.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

/// Labels from the options' file, else from `beside` if that exists.
inline void read_labels(ImageArray& array, std::filesystem::path const& beside,
                        LoadOptions const& options) {
  std::filesystem::path const path = options.labels.empty() ? beside : options.labels;
  std::error_code error;
  array.labels_path = path.string();
  if (options.class_depth > 0 && !path.empty() &&
      (!options.labels.empty() || std::filesystem::exists(path, error))) {
    array.labels = parse_labels(path.string(), io::read_whole(path));
  }
}

/// [N, H, W] or [N, C, H, W]; other ranks are refused.
inline void take_shape(ImageArray& array, std::vector<std::uint64_t> const& shape) {
  if (shape.size() != 3 && shape.size() != 4) {
    fail_array(array.path, "bad-array", {}, "an array of rank " + std::to_string(shape.size()),
               "[images, height, width] or [images, channels, height, width]", {});
  }
  array.count = static_cast<std::size_t>(shape[0]);
  std::size_t const at = shape.size() - 2;
  array.shape = {shape.size() == 4 ? static_cast<Index>(shape[1]) : 1,
                 static_cast<Index>(shape[at]), static_cast<Index>(shape[at + 1])};
}

template <class T>
std::vector<float> floats_of(std::span<std::byte const> bytes) {
  std::vector<float> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<float>(value);
  }
  return values;
}

}  // namespace detail

/// Images of an .npy file (whole bytes given): u8 as images, f4 and f8 as they are. Labels:
/// options.labels, else NAME.labels.npy beside NAME.npy. Throws FormatError.
inline ImageSet npy_set(std::filesystem::path const& path, std::span<std::byte const> bytes,
                        LoadOptions const& options) {
  io::NpyHeader const header = io::parse_npy(path.string(), bytes);
  ImageArray array;
  array.path = path.string();
  detail::take_shape(array, header.shape);
  std::span<std::byte const> const data = bytes.subspan(header.data_begin);
  std::string const type = header.descr.substr(1);
  array.is_bytes = type == "u1";
  if (array.is_bytes) {
    array.bytes.resize(data.size());
    std::memcpy(array.bytes.data(), data.data(), data.size());
  } else if (type == "f4") {
    array.floats = detail::floats_of<float>(data);
  } else if (type == "f8") {
    array.floats = detail::floats_of<double>(data);
  } else {
    detail::fail_array(array.path, "bad-array", {}, "elements of type '" + header.descr + "'",
                       "'|u1', '<f4' or '<f8'", {});
  }
  std::filesystem::path beside = path;
  if (beside.extension() == ".gz") {
    beside.replace_extension();
  }
  detail::read_labels(array, beside.replace_extension(".labels.npy"), options);
  return array_set(std::move(array), options);
}

/// Images of an IDX file (whole bytes given). Labels: options.labels, else the file that MNIST
/// names so: train-images-idx3-ubyte, train-labels-idx1-ubyte, also with .gz. Throws FormatError.
inline ImageSet idx_set(std::filesystem::path const& path, std::span<std::byte const> bytes,
                        LoadOptions const& options) {
  IdxContents const contents = parse_idx(path.string(), bytes);
  ImageArray array;
  array.path = path.string();
  detail::take_shape(array, contents.shape);
  array.is_bytes = true;
  array.bytes.resize(contents.data.size());
  if (!contents.data.empty()) {
    std::memcpy(array.bytes.data(), contents.data.data(), contents.data.size());
  }
  std::string name = path.filename().string();
  for (auto const& [images, labels] : {std::pair("images", "labels"), std::pair("idx3", "idx1")}) {
    std::size_t const at = name.find(images);
    if (at != std::string::npos) {
      name.replace(at, std::strlen(images), labels);
    }
  }
  bool const has_pair = name != path.filename().string();
  detail::read_labels(array, has_pair ? path.parent_path() / name : std::filesystem::path(),
                      options);
  return array_set(std::move(array), options);
}

}  // namespace dashi::data

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/data/array_files.hpp>
#include <dashi/data/array_set.hpp>
#include <dashi/data/image_array.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/with_dtype.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

template <class T>
std::vector<float> read_floats(io::SafetensorsFile const& file, io::TensorInfo const& tensor) {
  std::vector<std::byte> part(std::size_t{1} << 20);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(tensor.elements()));
  for (std::uint64_t at = 0; at < tensor.bytes(); at += part.size()) {
    part.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), tensor.bytes() - at)));
    file.read(tensor, at, part);
    for (std::size_t e = 0; e < part.size(); e += sizeof(T)) {
      T value;
      std::memcpy(&value, part.data() + e, sizeof(T));
      values.push_back(convert<float>(value));
    }
  }
  return values;
}

}  // namespace detail

/// Latents, or images that were prepared elsewhere: the tensor `latents` [N, C, H, W] of F32, F16
/// or BF16, its values as they are, and `labels` [N] of I64. Throws FormatError and IoError.
inline ImageSet latents_set(std::filesystem::path const& path, LoadOptions const& options) {
  io::SafetensorsFile const file(path);
  ImageArray array;
  array.path = array.labels_path = path.string();
  io::TensorInfo const* const latents = file.header().find("latents");
  if (latents == nullptr || latents->shape.size() != 4 ||
      (latents->dtype != io::Dtype::f32 && latents->dtype != io::Dtype::f16 &&
       latents->dtype != io::Dtype::bf16)) {
    detail::fail_array(array.path, "bad-latents", "tensor 'latents'",
                       latents == nullptr ? "is not there"
                                          : "is " + std::string(name(latents->dtype)) + " " +
                                                io::shape_text(latents->shape),
                       "F32, F16 or BF16 of rank 4: images, channels, height, width", {});
  }
  detail::take_shape(array, latents->shape);
  array.floats = io::with_dtype<float, Float16, BFloat16>(
      latents->dtype, [&]<class T>() { return detail::read_floats<T>(file, *latents); });
  io::TensorInfo const* const labels = file.header().find("labels");
  if (options.class_depth > 0 && labels != nullptr) {
    if (labels->dtype != io::Dtype::i64 || labels->shape.size() != 1) {
      detail::fail_array(
          array.path, "bad-labels", "tensor 'labels'",
          "is " + std::string(name(labels->dtype)) + " " + io::shape_text(labels->shape),
          "I64 of rank 1", {});
    }
    array.labels.emplace(static_cast<std::size_t>(labels->elements()));
    file.read(*labels, 0, std::as_writable_bytes(std::span(*array.labels)));
  }
  return array_set(std::move(array), options);
}

}  // namespace dashi::data

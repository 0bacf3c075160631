// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_positions.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_names.hpp>

#include <merge_files.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dashi::test {

/// A DiT whose shapes all differ where they may: 3 blocks, width 12, MLP 20, patch 2.
inline io::DitConfiguration small_dit() {
  return {.depth = 3,
          .width = 12,
          .heads = 3,
          .mlp_width = 20,
          .patch = 2,
          .channels = 3,
          .learn_sigma = true,
          .classes = 5,
          .null_class = true,
          .input_height = 8,
          .input_width = 8,
          .frequency_size = 256};
}

inline std::size_t element_count(std::vector<std::uint64_t> const& shape) {
  std::size_t count = 1;
  for (std::uint64_t const extent : shape) {
    count *= static_cast<std::size_t>(extent);
  }
  return count;
}

/// Random bytes under original names, with the computed table of positions in `dtype`.
inline std::vector<FileTensor> original_dit(io::DitConfiguration const& c, io::Dtype dtype,
                                            unsigned seed) {
  std::mt19937 random(seed);
  std::vector<FileTensor> out;
  io::DitNames const names(c.depth);
  for (io::DitName const& entry : names.entries()) {
    FileTensor tensor{entry.original, dtype, io::dit_shape(c, entry.original), {}};
    tensor.bytes.resize(element_count(tensor.shape) * static_cast<std::size_t>(io::bits(dtype)) /
                        8);
    for (std::byte& byte : tensor.bytes) {
      byte = static_cast<std::byte>(random() & 0xffU);
    }
    if (entry.how == io::DitStorage::absent) {
      checkpoints::fill_positions(
          SincosPosition(c.input_height / c.patch, c.input_width / c.patch, c.width), dtype, 0,
          tensor.bytes);
    }
    out.push_back(std::move(tensor));
  }
  return out;
}

/// The same numbers under diffusers names, made without the code under test but its list of names.
inline std::vector<FileTensor> diffusers_dit(io::DitConfiguration const& c,
                                             std::vector<FileTensor> const& original) {
  std::vector<FileTensor> out;
  io::DitNames const names(c.depth);
  for (FileTensor const& tensor : original) {
    io::DitName const& entry = names.entries()[names.find_original(tensor.name)->entry];
    for (std::size_t part = 0; part < entry.diffusers.size(); ++part) {
      FileTensor copy{entry.diffusers[part], tensor.dtype, tensor.shape, tensor.bytes};
      if (entry.how == io::DitStorage::row_thirds) {
        copy.shape.front() /= 3;
        auto const third = static_cast<std::ptrdiff_t>(tensor.bytes.size() / 3);
        auto const begin = tensor.bytes.begin() + static_cast<std::ptrdiff_t>(part) * third;
        copy.bytes.assign(begin, begin + third);
      }
      out.push_back(std::move(copy));
    }
  }
  return out;
}

inline FileTensor& find_tensor(std::vector<FileTensor>& tensors, std::string const& name) {
  for (FileTensor& tensor : tensors) {
    if (tensor.name == name) {
      return tensor;
    }
  }
  throw std::runtime_error("no tensor " + name);
}

}  // namespace dashi::test

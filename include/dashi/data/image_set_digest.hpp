// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_shape.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/xxh3.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::data {

/// ImageSet::digest() of a set. `values` says what the hashed bytes of the images mean; `digests`
/// are those of each image's bytes.
///
/// Hashed: "dashi images 1\n", `values`, the three extents, the number of classes and their names,
/// the number of images, and of each its name, its label and the 16 bytes of its digest.
inline std::string image_set_digest(std::string_view values, ImageShape const& shape,
                                    std::vector<std::string> const& class_names,
                                    std::vector<std::string> const& names,
                                    std::vector<std::int64_t> const& labels,
                                    std::vector<io::Xxh3::Digest> const& digests) {
  io::FieldHash<io::Xxh3> hash("dashi images 1\n");
  hash.text(values);
  for (Index const extent : {shape.channels, shape.height, shape.width}) {
    hash.number(static_cast<std::uint64_t>(extent));
  }
  hash.number(class_names.size());
  for (std::string const& name : class_names) {
    hash.text(name);
  }
  hash.number(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    hash.text(names.empty() ? std::string_view() : std::string_view(names[i]));
    hash.number(static_cast<std::uint64_t>(labels[i]));
    hash.bytes(digests[i]);
  }
  return io::digest_text<io::Xxh3>(hash.finish());
}

}  // namespace dashi::data

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/procedural_item.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/xxh3.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

/// Images that are drawn whenever they are read.
class ProceduralPixels final : public ImagePixels {
public:
  explicit ProceduralPixels(ProceduralOptions options) : options_(std::move(options)) {}

  void read(std::size_t i, std::span<float> chw) const override {
    draw_procedural(options_, procedural_item(options_, i), chw);
  }
  std::uint64_t memory() const override { return 0; }

private:
  ProceduralOptions options_;
};

namespace detail {

inline std::string_view name_of(Shape shape) {
  return shape_names[static_cast<std::size_t>(shape)];
}
inline std::string_view name_of(Palette palette) {
  return palette_names[static_cast<std::size_t>(palette)];
}

inline std::vector<std::string> procedural_classes(ProceduralOptions const& options) {
  std::vector<std::string> names(static_cast<std::size_t>(options.label_offset));
  if (options.labels == ProceduralLabels::palette) {
    for (Palette const palette : options.palettes) {
      names.emplace_back(name_of(palette));
    }
    return names;
  }
  for (Shape const shape : options.shapes) {
    if (options.labels == ProceduralLabels::shape) {
      names.emplace_back(name_of(shape));
      continue;
    }
    for (Palette const palette : options.palettes) {
      names.push_back(std::string(name_of(shape)) + "/" + std::string(name_of(palette)));
    }
  }
  return names;
}

}  // namespace detail

/// The label of item i.
inline std::int64_t procedural_label(ProceduralOptions const& options, std::size_t i) {
  std::size_t const shape = i % options.shapes.size();
  std::size_t const palette = i / options.shapes.size() % options.palettes.size();
  std::size_t const label = options.labels == ProceduralLabels::shape ? shape
                            : options.labels == ProceduralLabels::palette
                                ? palette
                                : shape * options.palettes.size() + palette;
  return options.label_offset + static_cast<std::int64_t>(label);
}

/// Antialiased shapes in palettes, drawn from the options alone: a set for demonstrations and tests
/// whose ground truth is known (procedural_item, guess_procedural). Takes no memory; drawing an
/// image of 32 x 32 takes some microseconds. The digest is of the options, not of pixels. Throws
/// PreconditionError.
inline ImageSet procedural(ProceduralOptions const& options) {
  DASHI_EXPECTS(options.count > 0 && options.count <= UINT32_MAX, "a set has 1 to 2^32 - 1 images");
  DASHI_EXPECTS(options.size >= 8 && options.size <= 8192, "images have 8 to 8192 rows");
  DASHI_EXPECTS(options.channels == 1 || options.channels == 3, "images are grey or RGB");
  DASHI_EXPECTS(!options.shapes.empty() && !options.palettes.empty(),
                "a set needs a shape and a palette");
  DASHI_EXPECTS(options.label_offset >= 0, "labels are not negative");
  ImageSetParts parts;
  parts.shape = {options.channels, options.size, options.size};
  parts.class_names = detail::procedural_classes(options);
  io::FieldHash<io::Xxh3> hash("dashi procedural images 1\n");
  for (std::uint64_t const field :
       {static_cast<std::uint64_t>(options.count), static_cast<std::uint64_t>(options.size),
        static_cast<std::uint64_t>(options.channels), options.seed}) {
    hash.number(field);
  }
  hash.number(options.shapes.size());
  for (Shape const shape : options.shapes) {
    hash.text(detail::name_of(shape));
  }
  hash.number(options.palettes.size());
  for (Palette const palette : options.palettes) {
    hash.text(detail::name_of(palette));
  }
  hash.number(parts.class_names.size());
  for (std::string const& name : parts.class_names) {
    hash.text(name);
  }
  parts.digest = io::digest_text<io::Xxh3>(hash.finish());
  for (std::size_t i = 0; i < options.count; ++i) {
    parts.labels.push_back(procedural_label(options, i));
  }
  parts.pixels = std::make_shared<ProceduralPixels>(options);
  return ImageSet(std::move(parts));
}

}  // namespace dashi::data

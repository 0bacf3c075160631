// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/data/procedural_shapes.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::data {

/// What the classes of a procedural set are.
enum class ProceduralLabels : unsigned char {
  shape,              ///< the shapes; palettes are styles within a class
  palette,            ///< the palettes
  shape_and_palette,  ///< pairs, "disc/snow", shapes slowest
};

/// Which images a procedural set draws.
struct ProceduralOptions {
  std::size_t count = 2000;
  Index size = 32;     ///< height and width, at least 8
  Index channels = 3;  ///< 1 or 3
  std::uint64_t seed = 0;
  /// Images go through them in turn: shapes fastest, then palettes.
  std::vector<Shape> shapes{Shape::disc, Shape::square, Shape::triangle, Shape::ring, Shape::cross};
  std::vector<Palette> palettes{Palette::snow, Palette::coal, Palette::ruby, Palette::leaf,
                                Palette::gold};
  ProceduralLabels labels = ProceduralLabels::shape;
  Index label_offset = 0;
};

}  // namespace dashi::data

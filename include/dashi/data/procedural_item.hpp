// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/philox.hpp>
#include <dashi/core/random_purpose.hpp>
#include <dashi/data/procedural_options.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dashi::data {

/// What is drawn in one image: the ground truth of the procedural set.
struct ProceduralItem {
  Shape shape = Shape::disc;
  Palette palette = Palette::snow;
  double x = 0;       ///< centre, pixels from the left edge
  double y = 0;       ///< centre, pixels from the upper edge
  double radius = 0;  ///< of the shape's outline, pixels: see signed_distance()
};

/// Item i: shape and palette in turn; the radius is 0.20 to 0.32 of the size, the centre anywhere
/// where the shape, whose corners reach 1.25 radii out, stays off the edge.
inline ProceduralItem procedural_item(ProceduralOptions const& options, std::size_t i) {
  Philox const random(options.seed, {.purpose = random_purpose::procedural_data,
                                     .step = 0,
                                     .sample = static_cast<std::uint32_t>(i)});
  auto const size = static_cast<double>(options.size);
  ProceduralItem item;
  item.shape = options.shapes[i % options.shapes.size()];
  item.palette = options.palettes[i / options.shapes.size() % options.palettes.size()];
  item.radius = size * (0.20 + 0.12 * random.uniform<double>(0));
  double const room = std::max(size / 2 - 1.25 * item.radius - 1, 0.0);
  item.x = size / 2 + room * (2 * random.uniform<double>(1) - 1);
  item.y = size / 2 + room * (2 * random.uniform<double>(2) - 1);
  return item;
}

/// Distance of (x, y) from the outline of a shape of radius 1 around the origin, negative inside;
/// y downwards. disc: radius 1. square: sides of 1.76. triangle: equilateral, corners at 1.25,
/// centroid in the origin, one corner up. ring: between 0.55 and 1.05. cross: two bars of 2.2 x
/// 0.7.
inline double signed_distance(Shape shape, double x, double y) {
  auto const box = [](double px, double py, double half_width, double half_height) {
    double const dx = std::abs(px) - half_width;
    double const dy = std::abs(py) - half_height;
    double const ox = std::max(dx, 0.0);
    double const oy = std::max(dy, 0.0);
    return std::sqrt(ox * ox + oy * oy) + std::min(std::max(dx, dy), 0.0);
  };
  double const r = std::sqrt(x * x + y * y);
  switch (shape) {
    case Shape::disc: return r - 1.0;
    case Shape::square: return box(x, y, 0.88, 0.88);
    case Shape::triangle: {  // the largest distance from a side; rounder than exact outside corners
      constexpr double inner = 0.625;
      constexpr double sine = 0.8660254037844386;
      return std::max({y - inner, -0.5 * y + sine * x - inner, -0.5 * y - sine * x - inner});
    }
    case Shape::ring: return std::abs(r - 0.8) - 0.25;
    default: return std::min(box(x, y, 1.1, 0.35), box(x, y, 0.35, 1.1));
  }
}

/// Share of the pixel (column, row) that the shape covers, in [0, 1]: one pixel of the distance
/// from the outline goes from 1 to 0.
inline double coverage(ProceduralItem const& item, Index column, Index row) {
  double const x = (static_cast<double>(column) + 0.5 - item.x) / item.radius;
  double const y = (static_cast<double>(row) + 0.5 - item.y) / item.radius;
  return std::clamp(0.5 - item.radius * signed_distance(item.shape, x, y), 0.0, 1.0);
}

/// Draws an item as [channels, size, size] in [-1, 1].
inline void draw_procedural(ProceduralOptions const& options, ProceduralItem const& item,
                            std::span<float> chw) {
  PaletteColours const& palette = colours(item.palette);
  auto const plane = static_cast<std::size_t>(options.size * options.size);
  std::size_t at = 0;
  for (Index row = 0; row < options.size; ++row) {
    for (Index column = 0; column < options.size; ++column, ++at) {
      auto const share = static_cast<float>(coverage(item, column, row));
      if (options.channels == 1) {
        chw[at] = palette.grey_paper + share * (palette.grey_ink - palette.grey_paper);
        continue;
      }
      for (std::size_t c = 0; c < 3; ++c) {
        chw[c * plane + at] = palette.paper[c] + share * (palette.ink[c] - palette.paper[c]);
      }
    }
  }
}

}  // namespace dashi::data

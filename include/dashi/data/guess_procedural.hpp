// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/data/procedural_item.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace dashi::data {

/// What an image most resembles.
struct ProceduralGuess {
  ProceduralItem item;  ///< shape, palette, centre and radius
  double overlap = 0;   ///< intersection over union of the image's ink and that shape, in [0, 1]
};

namespace detail {

/// An image of the procedural kind as points of colour space; grey has one coordinate.
class ColourImage {
public:
  ColourImage(ProceduralOptions const& options, std::span<float const> chw)
      : channels_(static_cast<std::size_t>(options.channels)),
        pixels_(static_cast<std::size_t>(options.size * options.size)),
        chw_(chw) {}

  using Colour = std::array<double, 3>;

  std::size_t pixels() const { return pixels_; }
  Colour colour(std::size_t p) const {
    Colour c{};
    for (std::size_t k = 0; k < channels_; ++k) {
      c[k] = static_cast<double>(chw_[k * pixels_ + p]);
    }
    return c;
  }
  Colour ink(Palette palette) const {
    PaletteColours const& p = colours(palette);
    return channels_ == 1 ? Colour{p.grey_ink, 0, 0} : Colour{p.ink[0], p.ink[1], p.ink[2]};
  }
  Colour paper(Palette palette) const {
    PaletteColours const& p = colours(palette);
    return channels_ == 1 ? Colour{p.grey_paper, 0, 0} : Colour{p.paper[0], p.paper[1], p.paper[2]};
  }

private:
  std::size_t channels_;
  std::size_t pixels_;
  std::span<float const> chw_;
};

inline double squared_distance(ColourImage::Colour const& a, ColourImage::Colour const& b) {
  double sum = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    sum += (a[k] - b[k]) * (a[k] - b[k]);
  }
  return sum;
}

/// Mean colour of the pixels that `chosen` accepts.
template <class Chosen>
ColourImage::Colour mean_colour(ColourImage const& image, Chosen const& chosen) {
  ColourImage::Colour mean{};
  double count = 0;
  for (std::size_t p = 0; p < image.pixels(); ++p) {
    if (chosen(p)) {
      ColourImage::Colour const c = image.colour(p);
      for (std::size_t k = 0; k < 3; ++k) {
        mean[k] += c[k];
      }
      count += 1;
    }
  }
  for (double& m : mean) {
    m /= std::max(count, 1.0);
  }
  return mean;
}

/// The palette whose paper and ink are nearest to the mean colour of the image's frame and to that
/// of the pixels which are far from it.
inline Palette nearest_palette(ProceduralOptions const& options, ColourImage const& image) {
  auto const size = static_cast<std::size_t>(options.size);
  auto const paper = mean_colour(image, [&](std::size_t p) {
    std::size_t const row = p / size;
    std::size_t const column = p % size;
    return row == 0 || column == 0 || row + 1 == size || column + 1 == size;
  });
  double farthest = 0;
  for (std::size_t p = 0; p < image.pixels(); ++p) {
    farthest = std::max(farthest, squared_distance(image.colour(p), paper));
  }
  auto const ink = mean_colour(image, [&](std::size_t p) {
    return squared_distance(image.colour(p), paper) >= 0.64 * farthest;
  });
  Palette best = options.palettes.front();
  double least = std::numeric_limits<double>::infinity();
  for (Palette const palette : options.palettes) {
    double const distance =
        squared_distance(paper, image.paper(palette)) + squared_distance(ink, image.ink(palette));
    if (distance < least) {
      least = distance;
      best = palette;
    }
  }
  return best;
}

/// Area of a shape of radius 1.
inline double unit_area(Shape shape) {
  switch (shape) {
    case Shape::disc: return 3.141592653589793;
    case Shape::square: return 1.76 * 1.76;
    case Shape::triangle: return 2.029746943613451;
    case Shape::ring: return 2.5132741228718345;
    default: return 2 * 2.2 * 0.7 - 0.7 * 0.7;
  }
}

/// Σ min / Σ max of the shape's coverage and the ink.
inline double overlap(ProceduralItem const& item, std::vector<double> const& ink, Index size) {
  double common = 0;
  double either = 0;
  std::size_t p = 0;
  for (Index row = 0; row < size; ++row) {
    for (Index column = 0; column < size; ++column, ++p) {
      double const shape = coverage(item, column, row);
      common += std::min(shape, ink[p]);
      either += std::max(shape, ink[p]);
    }
  }
  return either > 0 ? common / either : 0;
}

}  // namespace detail

/// Judges an image as one of the procedural set of these options, without training anything: the
/// palette by mean colours, then each pixel's share of ink, then, for every shape, a template with
/// the ink's centroid and area; the best overlap wins.
///
/// Right for every image of the set itself (size 16 or more). For a sample `overlap` says how well
/// formed it is: the set's own images reach 0.9. `chw`: [channels, size, size].
inline ProceduralGuess guess_procedural(ProceduralOptions const& options,
                                        std::span<float const> chw) {
  DASHI_EXPECTS(
      chw.size() == static_cast<std::size_t>(options.channels * options.size * options.size),
      "the image has another size than the set");
  detail::ColourImage const image(options, chw);
  ProceduralGuess best;
  best.item.palette = detail::nearest_palette(options, image);
  auto const ink_colour = image.ink(best.item.palette);
  auto const paper_colour = image.paper(best.item.palette);
  double const span = detail::squared_distance(ink_colour, paper_colour);
  std::vector<double> ink(image.pixels());
  double area = 0, x = 0, y = 0;
  auto const size = static_cast<std::size_t>(options.size);
  for (std::size_t p = 0; p < ink.size(); ++p) {
    auto const colour = image.colour(p);
    double share = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      share += (colour[k] - paper_colour[k]) * (ink_colour[k] - paper_colour[k]);
    }
    ink[p] = std::clamp(share / span, 0.0, 1.0);
    area += ink[p];
    x += ink[p] * (static_cast<double>(p % size) + 0.5);
    y += ink[p] * (static_cast<double>(p / size) + 0.5);
  }
  if (area <= 0) {
    best.item.shape = options.shapes.front();
    return best;
  }
  ProceduralItem item = best.item;
  item.x = x / area;
  item.y = y / area;
  for (Shape const shape : options.shapes) {
    item.shape = shape;
    item.radius = std::sqrt(area / detail::unit_area(shape));
    double const overlap = detail::overlap(item, ink, options.size);
    if (overlap > best.overlap) {
      best = {item, overlap};
    }
  }
  return best;
}

}  // namespace dashi::data

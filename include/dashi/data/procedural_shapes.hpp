// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dashi::data {

/// The shapes of the procedural set: its classes by default.
enum class Shape : std::uint8_t { disc, square, triangle, ring, cross };

inline constexpr std::array<std::string_view, 5> shape_names{"disc", "square", "triangle", "ring",
                                                             "cross"};

/// The palettes of the procedural set: its styles. Named after their inks.
enum class Palette : std::uint8_t { snow, coal, ruby, leaf, gold };

inline constexpr std::array<std::string_view, 5> palette_names{"snow", "coal", "ruby", "leaf",
                                                               "gold"};

/// Ink and paper of a palette, in [-1, 1]; RGB, and grey for sets of one channel.
struct PaletteColours {
  std::array<float, 3> ink;
  std::array<float, 3> paper;
  float grey_ink;
  float grey_paper;
};

namespace detail {

inline constexpr std::array<PaletteColours, 5> palette_table{{
    {{0.9F, 0.9F, 0.95F}, {-0.9F, -0.85F, -0.7F}, 0.9F, -0.9F},
    {{-0.9F, -0.9F, -0.9F}, {0.85F, 0.85F, 0.8F}, -0.9F, 0.9F},
    {{0.8F, -0.8F, -0.7F}, {0.9F, 0.8F, 0.6F}, -0.2F, 0.6F},
    {{-0.6F, 0.7F, -0.5F}, {-0.5F, -0.8F, 0.3F}, 0.3F, -0.5F},
    {{0.9F, 0.7F, -0.8F}, {-0.2F, -0.1F, 0.6F}, 0.8F, 0.0F},
}};

}  // namespace detail

/// Palettes are at least 0.6 apart (Euclidean, ink and paper together) in colour and in grey.
constexpr PaletteColours const& colours(Palette palette) {
  return detail::palette_table[static_cast<std::size_t>(palette)];
}

}  // namespace dashi::data

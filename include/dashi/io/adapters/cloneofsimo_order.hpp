// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/natural_order.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dashi::io {

/// Where a module stands in the list that cloneofsimo's files count: the order in which diffusers
/// registered modules early in 2023.
struct CloneofsimoOrder {
  int section = 0;    ///< down_blocks, up_blocks, mid_block
  std::string block;  ///< compared naturally
  std::size_t layer = 0;

  friend bool operator<(CloneofsimoOrder const& a, CloneofsimoOrder const& b) {
    if (a.section != b.section) {
      return a.section < b.section;
    }
    return a.block != b.block ? detail::natural_less(a.block, b.block) : a.layer < b.layer;
  }
};

namespace detail {

template <std::size_t Count>
std::optional<CloneofsimoOrder> order_by_ending(
    int section, std::string_view path, std::array<std::string_view, Count> const& endings) {
  for (std::size_t i = 0; i < Count; ++i) {
    if (path.ends_with(endings[i])) {
      return CloneofsimoOrder{section, std::string(path.substr(0, path.size() - endings[i].size())),
                              i};
    }
  }
  return std::nullopt;
}

}  // namespace detail

/// Of a UNet in diffusers' names: down, up, then mid; in each transformer block attn1, the gated
/// half of ff, attn2. Nothing for other modules.
inline std::optional<CloneofsimoOrder> cloneofsimo_unet_order(std::string_view path) {
  constexpr std::array<std::string_view, 9> endings{
      ".attn1.to_q", ".attn1.to_k", ".attn1.to_v", ".attn1.to_out.0", ".ff.net.0.proj",
      ".attn2.to_q", ".attn2.to_k", ".attn2.to_v", ".attn2.to_out.0"};
  int const section = path.starts_with("down_blocks.") ? 0
                      : path.starts_with("up_blocks.") ? 1
                      : path.starts_with("mid_block.") ? 2
                                                       : -1;
  if (section < 0 || path.find(".transformer_blocks.") == std::string_view::npos) {
    return std::nullopt;
  }
  return detail::order_by_ending(section, path, endings);
}

/// Of CLIP's text model without the level "text_model": k, v, q, out of each layer.
inline std::optional<CloneofsimoOrder> cloneofsimo_text_order(std::string_view path) {
  constexpr std::array<std::string_view, 4> endings{".self_attn.k_proj", ".self_attn.v_proj",
                                                    ".self_attn.q_proj", ".self_attn.out_proj"};
  if (!path.starts_with("encoder.layers.")) {
    return std::nullopt;
  }
  return detail::order_by_ending(0, path, endings);
}

/// 3 of "unet:3".
inline std::size_t cloneofsimo_index(std::string_view path) {
  std::string_view const digits = path.substr(path.rfind(':') + 1);
  std::size_t index = SIZE_MAX;
  auto const result = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  return result.ptr == digits.data() + digits.size() ? index : SIZE_MAX;
}

}  // namespace dashi::io

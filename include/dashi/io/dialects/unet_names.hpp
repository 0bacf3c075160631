// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace dashi::io {

namespace detail {

struct NamePair {
  std::string_view ldm;
  std::string_view diffusers;
};

inline constexpr NamePair unet_layers[] = {
    {"time_embed.0", "time_embedding.linear_1"},
    {"time_embed.2", "time_embedding.linear_2"},
    {"label_emb.0.0", "add_embedding.linear_1"},
    {"label_emb.0.2", "add_embedding.linear_2"},
    {"input_blocks.0.0", "conv_in"},
    {"out.0", "conv_norm_out"},
    {"out.2", "conv_out"},
};

inline constexpr NamePair resnet_layers[] = {
    {"in_layers.0", "norm1"},  {"in_layers.2", "conv1"},  {"emb_layers.1", "time_emb_proj"},
    {"out_layers.0", "norm2"}, {"out_layers.3", "conv2"}, {"skip_connection", "conv_shortcut"},
};

/// Walks along a name with dots.
class NameParts {
public:
  explicit NameParts(std::string_view name) : rest_(name) {}

  bool take(std::string_view word) {
    if (!rest_.starts_with(word) || rest_.size() <= word.size() || rest_[word.size()] != '.') {
      return false;
    }
    rest_.remove_prefix(word.size() + 1);
    return true;
  }
  std::optional<std::size_t> take_number() {
    std::size_t value = 0;
    auto const result = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    auto const digits = static_cast<std::size_t>(result.ptr - rest_.data());
    if (result.ec != std::errc() || digits == rest_.size() || rest_[digits] != '.' ||
        value > 1000) {
      return std::nullopt;
    }
    rest_.remove_prefix(digits + 1);
    return value;
  }
  std::string_view rest() const noexcept { return rest_; }

private:
  std::string_view rest_;
};

inline std::string text_of(std::string_view text) { return std::string(text); }
inline std::string text_of(std::size_t number) { return std::to_string(number); }
template <class... Parts>
std::string dotted(Parts const&... parts) {
  std::string out;
  ((out += (out.empty() ? "" : ".") + text_of(parts)), ...);
  return out;
}

/// A layer of a residual block; empty for one that is unknown.
inline std::string resnet_layer(std::string_view layer, bool to_diffusers) {
  for (NamePair const& pair : resnet_layers) {
    if (layer == (to_diffusers ? pair.ldm : pair.diffusers)) {
      return std::string(to_diffusers ? pair.diffusers : pair.ldm);
    }
  }
  return {};
}

inline std::string within(std::string const& block, std::string const& layer) {
  return layer.empty() ? std::string() : block + "." + layer;
}

}  // namespace detail

/// A module of the UNet of SD 1, 2 and XL in diffusers' names, given that of the original code
/// (below model.diffusion_model); empty for one that has none. Two residual blocks a level.
inline std::string unet_diffusers_name(std::string_view ldm) {
  using detail::dotted;
  for (detail::NamePair const& pair : detail::unet_layers) {
    if (ldm == pair.ldm) {
      return std::string(pair.diffusers);
    }
  }
  detail::NameParts parts(ldm);
  if (parts.take("middle_block")) {
    auto const place = parts.take_number();
    if (!place || *place > 2) {
      return {};
    }
    return *place == 1 ? dotted("mid_block.attentions.0", parts.rest())
                       : detail::within(dotted("mid_block.resnets", *place / 2),
                                        detail::resnet_layer(parts.rest(), true));
  }
  bool const down = parts.take("input_blocks");
  if (!down && !parts.take("output_blocks")) {
    return {};
  }
  auto const number = parts.take_number();
  auto const place = number ? parts.take_number() : std::nullopt;
  if (!place || (down && *number == 0)) {
    return {};
  }
  std::size_t const level = (*number - (down ? 1 : 0)) / 3;
  std::size_t const index = (*number - (down ? 1 : 0)) % 3;
  std::string const block = dotted(std::string_view(down ? "down_blocks" : "up_blocks"), level);
  if (down && index == 2) {
    return *place == 0 && parts.rest() == "op" ? block + ".downsamplers.0.conv" : std::string();
  }
  if (!down && *place > 0 && parts.rest() == "conv") {
    return block + ".upsamplers.0.conv";
  }
  if (*place == 0) {
    return detail::within(dotted(block, std::string_view("resnets"), index),
                          detail::resnet_layer(parts.rest(), true));
  }
  return *place == 1 ? dotted(block, std::string_view("attentions"), index, parts.rest())
                     : std::string();
}

/// The inverse. `up_attention(level)`: whether that level of up_blocks has attentions, behind which
/// the original code keeps the upsampler.
template <class UpAttention>
std::string unet_ldm_name(std::string_view diffusers, UpAttention&& up_attention) {
  using detail::dotted;
  for (detail::NamePair const& pair : detail::unet_layers) {
    if (diffusers == pair.diffusers) {
      return std::string(pair.ldm);
    }
  }
  detail::NameParts parts(diffusers);
  bool const mid = parts.take("mid_block");
  bool const down = !mid && parts.take("down_blocks");
  if (!mid && !down && !parts.take("up_blocks")) {
    return {};
  }
  auto const level = mid ? std::optional<std::size_t>(0) : parts.take_number();
  if (!level) {
    return {};
  }
  bool const resnet = parts.take("resnets");
  if (resnet || parts.take("attentions")) {
    auto const index = parts.take_number();
    if (!index || *index > 2) {
      return {};
    }
    std::string const block =
        mid ? dotted(std::string_view("middle_block"), resnet ? 2 * *index : 1)
            : dotted(std::string_view(down ? "input_blocks" : "output_blocks"),
                     3 * *level + *index + (down ? 1 : 0), std::size_t{resnet ? 0U : 1U});
    return resnet ? detail::within(block, detail::resnet_layer(parts.rest(), false))
                  : dotted(block, parts.rest());
  }
  if (down && parts.rest() == "downsamplers.0.conv") {
    return dotted(std::string_view("input_blocks"), 3 * (*level + 1), std::string_view("0.op"));
  }
  if (!down && !mid && parts.rest() == "upsamplers.0.conv") {
    return dotted(std::string_view("output_blocks"), 3 * *level + 2,
                  std::size_t{up_attention(*level) ? 2U : 1U}, std::string_view("conv"));
  }
  return {};
}

/// A module of the OpenCLIP text encoder of SD 2 and XL, given that of transformers' CLIPTextModel
/// without "text_model."; `third`: 0, 1, 2 for q, k, v, which OpenCLIP keeps in one tensor.
struct OpenClipName {
  std::string weight;  ///< name of the tensor
  std::string bias;
  std::optional<std::size_t> third;
};
inline std::optional<OpenClipName> openclip_name(std::string_view module) {
  detail::NameParts parts(module);
  if (!parts.take("encoder") || !parts.take("layers")) {
    return std::nullopt;
  }
  auto const layer = parts.take_number();
  if (!layer) {
    return std::nullopt;
  }
  std::string const block = "transformer.resblocks." + std::to_string(*layer) + ".";
  constexpr std::array<std::string_view, 3> thirds{"self_attn.q_proj", "self_attn.k_proj",
                                                   "self_attn.v_proj"};
  for (std::size_t i = 0; i < thirds.size(); ++i) {
    if (parts.rest() == thirds[i]) {
      return OpenClipName{block + "attn.in_proj_weight", block + "attn.in_proj_bias", i};
    }
  }
  constexpr detail::NamePair pairs[] = {{"attn.out_proj", "self_attn.out_proj"},
                                        {"mlp.c_fc", "mlp.fc1"},
                                        {"mlp.c_proj", "mlp.fc2"},
                                        {"ln_1", "layer_norm1"},
                                        {"ln_2", "layer_norm2"}};
  for (detail::NamePair const& pair : pairs) {
    if (parts.rest() == pair.diffusers) {
      std::string const name = block + std::string(pair.ldm);
      return OpenClipName{name + ".weight", name + ".bias", std::nullopt};
    }
  }
  return std::nullopt;
}

}  // namespace dashi::io

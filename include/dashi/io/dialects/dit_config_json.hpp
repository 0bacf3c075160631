// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/json_cursor.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace dashi::io {

/// What the config.json of a DiTTransformer2DModel says; diffusers writes it beside the weights.
struct DitConfigJson {
  std::string class_name;  ///< `_class_name`
  /// The values of the keys that are numbers; a key that is null is absent.
  std::map<std::string, double, std::less<>> numbers;

  /// Whether this is the config of a DiT, and not of another model: DiTTransformer2DModel, or the
  /// older Transformer2DModel with patches.
  bool is_dit() const {
    return class_name == "DiTTransformer2DModel" ||
           (class_name == "Transformer2DModel" && numbers.contains("patch_size"));
  }
  std::optional<double> find(std::string_view key) const {
    auto const at = numbers.find(key);
    return at == numbers.end() ? std::nullopt : std::optional(at->second);
  }
};

/// FormatError for text that is not JSON with an object.
inline DitConfigJson parse_dit_config(std::string_view text, std::string_view file) {
  JsonCursor cursor(text, file, 0, JsonCursor::deepest);
  DitConfigJson out;
  std::set<std::string> keys;
  std::string key;
  cursor.begin_object();
  while (cursor.next_member(key)) {
    if (!keys.insert(key).second) {
      cursor.fail("duplicate-key", "key " + in_quotes(key) + " twice", "each key once");
    }
    char const first = cursor.peek();
    if (key == "_class_name" && first == '"') {
      cursor.read_string(out.class_name);
      continue;
    }
    std::size_t const begin = cursor.position();
    cursor.skip_value();
    if (first == '-' || (first >= '0' && first <= '9')) {
      double value = 0;
      std::string_view const digits = text.substr(begin, cursor.position() - begin);
      auto const result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (result.ec == std::errc()) {
        out.numbers.emplace(key, value);
      }
    }
  }
  cursor.finish();
  return out;
}

/// The config.json in the folder of a checkpoint, if there is one and it is that of a DiT.
inline std::optional<DitConfigJson> find_dit_config(std::filesystem::path const& checkpoint) {
  constexpr std::uint64_t most = std::uint64_t{1} << 20;
  std::error_code error;
  std::filesystem::path const folder =
      std::filesystem::is_directory(checkpoint, error) ? checkpoint : checkpoint.parent_path();
  std::filesystem::path const path = folder / "config.json";
  if (!std::filesystem::is_regular_file(path, error)) {
    return std::nullopt;
  }
  InputFile const file(path);
  if (file.size() > most) {
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read_exact(0, std::as_writable_bytes(std::span(text)));
  DitConfigJson config = parse_dit_config(text, path.string());
  return config.is_dit() ? std::optional(std::move(config)) : std::nullopt;
}

/// Why no config.json can say so, or null: diffusers' model has square images and an MLP of four
/// times the width, and its class embedder a null row.
inline char const* not_for_diffusers(DitConfiguration const& c) {
  if (c.heads == 0) {
    return "the number of heads is not known";
  }
  if (!c.knows_input()) {
    return "the size of the image is not known";
  }
  if (c.input_height != c.input_width) {
    return "the image is not square";
  }
  if (c.mlp_width != 4 * c.width) {
    return "the MLP is not four times as wide as the model";
  }
  if (c.frequency_size != 256) {
    return "a timestep has not 256 features";
  }
  return c.null_class ? nullptr : "the label table has no null row";
}

/// The config.json with which diffusers loads the weights. not_for_diffusers() must be null.
inline std::string dit_config_text(DitConfiguration const& c, DitVariant const& v) {
  DASHI_EXPECTS(not_for_diffusers(c) == nullptr, "diffusers has no such model");
  std::string out = "{\n  \"_class_name\": \"DiTTransformer2DModel\"";
  auto const add = [&](char const* key, std::string const& value) {
    out += ",\n  \"" + std::string(key) + "\": " + value;
  };
  add("activation_fn", "\"gelu-approximate\"");
  add("attention_bias", "true");
  add("attention_head_dim", std::to_string(c.width / c.heads));
  add("dropout", "0.0");
  add("in_channels", std::to_string(c.channels));
  add("norm_elementwise_affine", "false");
  add("norm_eps", detail::decimal_text(v.norm_epsilon));
  add("norm_num_groups", "32");
  add("norm_type", "\"ada_norm_zero\"");
  add("num_attention_heads", std::to_string(c.heads));
  add("num_embeds_ada_norm", std::to_string(c.classes));
  add("num_layers", std::to_string(c.depth));
  add("out_channels", std::to_string(c.out_channels()));
  add("patch_size", std::to_string(c.patch));
  add("sample_size", std::to_string(c.input_width));
  add("upcast_attention", "false");
  return out + "\n}\n";
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/detect.hpp>
#include <dashi/io/dialects/dit_config_json.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/dialects/dit_reader.hpp>
#include <dashi/io/dialects/dit_variant.hpp>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// What the user says of a DiT that its file may not: it goes before metadata and config.json, but
/// not before the tensors. 0: nothing.
struct DitHints {
  std::int64_t heads = 0;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
};

/// What a checkpoint says of its DiT; headers only.
struct DitModel {
  Dialect dialect = Dialect::dit_original;
  DitConfiguration configuration{};
  DitVariant variant{};
  /// Whether the metadata says so of variant.embedders. Else, in diffusers names, the numbers
  /// tell: checkpoints::compare_embedders().
  bool embedders_stated = false;
  bool heads_assumed = false;  ///< from usual_heads()
};

namespace detail {

/// Takes what metadata and config.json add to the shapes; contradictions are FormatErrors.
class DitDescription {
public:
  DitDescription(Checkpoint const& checkpoint, Dialect dialect, DitHints const& hints)
      : file_(checkpoint.path().string()),
        hints_(hints),
        said_(parse_dit_metadata(checkpoint.metadata(), file_)),
        reader_(checkpoint, dialect) {
    model_.dialect = dialect;
    if (dialect == Dialect::dit_diffusers) {
      config_ = find_dit_config(checkpoint.path());
    }
  }

  DitModel read() {
    DitConfiguration& c = model_.configuration;
    model_.variant = DitVariant::of(model_.dialect);
    if (auto const epsilon = config("norm_eps")) {
      model_.variant.norm_epsilon = *epsilon;
    }
    model_.variant = said_.variant(model_.variant);
    model_.embedders_stated = said_.embedders.has_value();
    c = reader_.read(model_.variant.class_dropout > 0);
    if (!c.learn_sigma && said_.learned_variance.value_or(false)) {
      fail("metadata 'dashi.variance'", "'learned'", "'fixed', as the model has no such output");
    }
    if (model_.dialect == Dialect::dit_original &&
        model_.variant.embedders == DitEmbedders::per_block) {
      fail("metadata 'dashi.embedders'", "'per_block'", "'shared', as there is one embedder");
    }
    model_.variant.learned_variance = model_.variant.learned_variance && c.learn_sigma;
    read_heads();
    read_input();
    expect_config();
    return model_;
  }

private:
  std::optional<double> config(char const* key) const {
    return config_ ? config_->find(key) : std::nullopt;
  }
  std::optional<std::int64_t> config_integer(char const* key) const {
    std::optional<double> const value = config(key);
    if (!value) {
      return std::nullopt;
    }
    if (!(*value >= 0 && *value <= static_cast<double>(largest_dit_number)) ||
        *value != std::floor(*value)) {
      fail("config.json beside it, key '" + std::string(key) + "'", decimal_text(*value),
           "a whole number");
    }
    return static_cast<std::int64_t>(*value);
  }

  [[noreturn]] void fail(std::string place, std::string found, std::string expected,
                         std::string advice = {}) const {
    throw FormatError({.code = "contradiction",
                       .file = file_,
                       .place = std::move(place),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

  void read_heads() {
    DitConfiguration& c = model_.configuration;
    std::optional<std::int64_t> configured = config_integer("num_attention_heads");
    if (auto const size = config_integer("attention_head_dim"); size && !configured && *size > 0) {
      configured = c.width / *size;
    }
    std::string place = "the number of heads given";
    if (hints_.heads > 0) {
      c.heads = hints_.heads;
    } else if (said_.heads) {
      c.heads = *said_.heads;
      place = "metadata 'dashi.heads'";
    } else if (configured) {
      c.heads = *configured;
      place = "config.json beside it, key 'num_attention_heads' or 'attention_head_dim'";
    } else {
      c.heads = usual_heads(c.width);
      model_.heads_assumed = c.heads > 0;
      return;
    }
    if (c.heads == 0 || c.width % c.heads != 0) {
      fail(place, std::to_string(c.heads),
           "a number that divides the width " + std::to_string(c.width));
    }
  }

  void read_input() {
    DitConfiguration& c = model_.configuration;
    std::string place;
    if (hints_.input_height > 0 && hints_.input_width > 0) {
      c.input_height = hints_.input_height;
      c.input_width = hints_.input_width;
      place = "the image size given";
    } else if (said_.input_height) {
      c.input_height = *said_.input_height;
      c.input_width = *said_.input_width;
      place = "metadata 'dashi.input_height'";
    } else if (auto const size = config_integer("sample_size")) {
      c.input_height = c.input_width = *size;
      place = "config.json beside it, key 'sample_size'";
    }
    if (c.knows_input() && (c.input_height % c.patch != 0 || c.input_width % c.patch != 0)) {
      fail(place, std::to_string(c.input_height) + " x " + std::to_string(c.input_width),
           "multiples of the patch " + std::to_string(c.patch));
    }
    if (model_.dialect != Dialect::dit_original) {
      return;
    }
    std::vector<std::int64_t> const positions = reader_.positions();
    std::int64_t const tokens = positions[1];
    if (positions[0] != 1 || positions[2] != c.width) {
      reader_.fail("pos_embed", "[1, positions, " + std::to_string(c.width) + "]");
    }
    if (!c.knows_input()) {
      auto const side =
          static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(tokens))));
      c.input_height = c.input_width = side * c.patch;
      place = {};
    }
    if (c.tokens() != tokens || tokens == 0) {
      reader_.fail("pos_embed",
                   place.empty() ? "a square number of positions"
                                 : std::to_string(c.tokens()) + " positions, as " + place + " says",
                   "give the size of the image");
    }
  }

  void expect_config() const {
    DitConfiguration const& c = model_.configuration;
    auto const agree = [&](char const* key, std::int64_t tensors) {
      if (auto const value = config_integer(key); value && *value != tensors) {
        fail("config.json beside it, key '" + std::string(key) + "'", std::to_string(*value),
             std::to_string(tensors) + ", as the tensors say",
             "give the config.json that belongs to the weights, or move it away");
      }
    };
    agree("num_layers", c.depth);
    agree("patch_size", c.patch);
    agree("in_channels", c.channels);
    agree("out_channels", c.out_channels());
    agree("num_embeds_ada_norm", c.classes);
    auto const size = config_integer("attention_head_dim");
    if (size && hints_.heads == 0 && *size * c.heads != c.width) {
      fail("config.json beside it, key 'attention_head_dim'", std::to_string(*size),
           "the width " + std::to_string(c.width) + " divided by the heads " +
               std::to_string(c.heads));
    }
  }

  std::string file_;
  DitHints hints_;
  DitMetadata said_;
  DitReader reader_;
  std::optional<DitConfigJson> config_;
  DitModel model_;
};

}  // namespace detail

/// Configuration and variant of a DiT in either dialect, from tensor names and shapes, the keys
/// dashi.* of the metadata, and, in diffusers names, the config.json beside the file. Throws
/// FormatError for a file that holds no DiT, for tensors that are unknown, missing or of another
/// shape, and for sources that contradict each other. What nothing tells stays 0: heads, and in
/// diffusers names the size of the input; expect_heads() and expect_input() ask for it.
inline DitModel read_dit(Checkpoint const& checkpoint, DitHints const& hints = {}) {
  DialectReport const report = dialect(checkpoint);
  if (report.dialect != Dialect::dit_original && report.dialect != Dialect::dit_diffusers) {
    throw FormatError(
        {.code = "not-a-dit",
         .file = checkpoint.path().string(),
         .place = {},
         .found = "dialect '" + std::string(name(report.dialect)) + "': " + report.evidence,
         .expected = "a DiT in original or diffusers names",
         .advice = {}});
  }
  return detail::DitDescription(checkpoint, report.dialect, hints).read();
}

/// FormatError when the number of heads is not known.
inline void expect_heads(DitConfiguration const& c, Checkpoint const& checkpoint) {
  if (c.heads == 0) {
    throw FormatError({.code = "heads-unknown",
                       .file = checkpoint.path().string(),
                       .place = {},
                       .found = "width " + std::to_string(c.width) +
                                " and nothing that tells the number of heads",
                       .expected = "metadata 'dashi.heads', a config.json, or a width that is a "
                                   "multiple of 64",
                       .advice = "give --heads"});
  }
}

/// FormatError when the size of the image is not known.
inline void expect_input(DitConfiguration const& c, Checkpoint const& checkpoint) {
  if (!c.knows_input()) {
    throw FormatError({.code = "input-size-unknown",
                       .file = checkpoint.path().string(),
                       .place = {},
                       .found = "diffusers names, which keep no table of positions, and nothing "
                                "that tells the size of the image",
                       .expected = "metadata 'dashi.input_height' and 'dashi.input_width', or a "
                                   "config.json with 'sample_size'",
                       .advice = "give --input-size"});
  }
}

}  // namespace dashi::io

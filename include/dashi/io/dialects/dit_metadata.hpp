// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_variant.hpp>
#include <dashi/io/listing.hpp>

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace dashi::io {

/// What the metadata of a checkpoint says of a DiT beyond its tensors. Absent keys are absent here.
///
///     dashi.heads              "16"
///     dashi.input_height       "32"         both or neither
///     dashi.input_width        "32"
///     dashi.time_divisor       "128", "127"
///     dashi.norm_epsilon       "1e-06"
///     dashi.guidance_channels  "3", "all"
///     dashi.variance           "learned", "fixed"
///     dashi.embedders          "shared", "per_block"
///     dashi.class_dropout      "0.1"
struct DitMetadata {
  std::optional<std::int64_t> heads{};
  std::optional<std::int64_t> input_height{};
  std::optional<std::int64_t> input_width{};
  std::optional<std::int64_t> time_divisor{};
  std::optional<double> norm_epsilon{};
  std::optional<std::int64_t> guidance_channels{};  ///< 0: all
  std::optional<bool> learned_variance{};
  std::optional<DitEmbedders> embedders{};
  std::optional<double> class_dropout{};

  /// The dialect's habits, with what is said here.
  DitVariant variant(DitVariant v) const {
    v.time_divisor = time_divisor.value_or(v.time_divisor);
    v.norm_epsilon = norm_epsilon.value_or(v.norm_epsilon);
    v.guidance_channels = guidance_channels.value_or(v.guidance_channels);
    v.learned_variance = learned_variance.value_or(v.learned_variance);
    v.embedders = embedders.value_or(v.embedders);
    v.class_dropout = class_dropout.value_or(v.class_dropout);
    return v;
  }
};

namespace detail {

/// Largest number that a key may hold; products of two fit 64 bits.
inline constexpr std::int64_t largest_dit_number = std::int64_t{1} << 24;

/// Reads values of one checkpoint's metadata.
class DitMetadataReader {
public:
  DitMetadataReader(std::map<std::string, std::string> const& metadata, std::string_view file)
      : metadata_(metadata), file_(file) {}

  template <class Number>
  void read(char const* key, std::optional<Number>& out, Number least, Number most,
            char const* expected) const {
    std::string const* const text = find(key);
    if (text == nullptr) {
      return;
    }
    Number value{};
    auto const end = text->data() + text->size();
    auto const [stop, error] = std::from_chars(text->data(), end, value);
    if (error != std::errc() || stop != end || !(value >= least && value <= most)) {
      fail(key, *text, expected);
    }
    out = value;
  }

  template <class Value>
  void choose(char const* key, std::optional<Value>& out, std::string_view first, Value if_first,
              std::string_view second, Value if_second) const {
    std::string const* const text = find(key);
    if (text == nullptr) {
      return;
    }
    if (*text != first && *text != second) {
      fail(key, *text, "'" + std::string(first) + "' or '" + std::string(second) + "'");
    }
    out = *text == first ? if_first : if_second;
  }

  std::string const* find(char const* key) const {
    auto const at = metadata_.find(key);
    return at == metadata_.end() ? nullptr : &at->second;
  }

  [[noreturn]] void fail(char const* key, std::string const& found, std::string expected) const {
    throw FormatError({.code = "bad-metadata",
                       .file = std::string(file_),
                       .place = "metadata '" + std::string(key) + "'",
                       .found = in_quotes(found),
                       .expected = std::move(expected),
                       .advice = "write the value that the model was trained with, or remove the "
                                 "key for the usual one"});
  }

private:
  std::map<std::string, std::string> const& metadata_;
  std::string_view file_;
};

/// The shortest decimal that gives the number again.
inline std::string decimal_text(double value) {
  std::array<char, 32> text{};
  auto const end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace detail

/// FormatError for a value that cannot be. `file` is for messages.
inline DitMetadata parse_dit_metadata(std::map<std::string, std::string> const& metadata,
                                      std::string_view file) {
  constexpr std::int64_t one = 1;
  constexpr std::int64_t most = detail::largest_dit_number;
  detail::DitMetadataReader const reader(metadata, file);
  DitMetadata out;
  reader.read("dashi.heads", out.heads, one, most, "a number of heads");
  reader.read("dashi.input_height", out.input_height, one, most, "a height");
  reader.read("dashi.input_width", out.input_width, one, most, "a width");
  reader.read("dashi.time_divisor", out.time_divisor, one, most, "128 or 127");
  reader.read("dashi.norm_epsilon", out.norm_epsilon, 1e-30, 1.0, "a small number such as 1e-06");
  if (std::string const* const text = reader.find("dashi.guidance_channels");
      text != nullptr && *text == "all") {
    out.guidance_channels = 0;
  } else {
    reader.read("dashi.guidance_channels", out.guidance_channels, one, most,
                "a number of channels, or 'all'");
  }
  reader.choose("dashi.variance", out.learned_variance, "learned", true, "fixed", false);
  reader.choose("dashi.embedders", out.embedders, "shared", DitEmbedders::shared, "per_block",
                DitEmbedders::per_block);
  reader.read("dashi.class_dropout", out.class_dropout, 0.0, 1.0, "a probability");
  if (out.input_height.has_value() != out.input_width.has_value()) {
    reader.fail("dashi.input_height", "one of height and width", "both, or neither");
  }
  return out;
}

/// Sets the keys of all that is known.
inline void append_dit_metadata(std::map<std::string, std::string>& metadata,
                                DitConfiguration const& c, DitVariant const& v) {
  if (c.heads > 0) {
    metadata["dashi.heads"] = std::to_string(c.heads);
  }
  if (c.knows_input()) {
    metadata["dashi.input_height"] = std::to_string(c.input_height);
    metadata["dashi.input_width"] = std::to_string(c.input_width);
  }
  metadata["dashi.time_divisor"] = std::to_string(v.time_divisor);
  metadata["dashi.norm_epsilon"] = detail::decimal_text(v.norm_epsilon);
  metadata["dashi.guidance_channels"] =
      v.guidance_channels == 0 ? "all" : std::to_string(v.guidance_channels);
  metadata["dashi.variance"] = v.learned_variance ? "learned" : "fixed";
  metadata["dashi.embedders"] = v.embedders == DitEmbedders::shared ? "shared" : "per_block";
  metadata["dashi.class_dropout"] = detail::decimal_text(v.class_dropout);
}

}  // namespace dashi::io

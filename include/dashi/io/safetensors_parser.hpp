// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/io/safetensors_contents.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io::detail {

/// Collects warnings of one kind: the first 20 subjects and a count.
class WarningList {
public:
  void add(std::string_view subject) {
    ++count_;
    if (first_.size() < limit) {
      first_.push_back(in_quotes(subject));
    }
  }
  void append_to(std::vector<std::string>& warnings, std::string const& sentence) const {
    if (count_ > 0) {
      std::string const more =
          count_ > limit ? " and " + std::to_string(count_ - limit) + " more" : "";
      warnings.push_back(std::to_string(count_) + " " + sentence + ": " + listing(first_) + more);
    }
  }

private:
  static constexpr std::size_t limit = 20;
  std::vector<std::string> first_;
  std::size_t count_ = 0;
};

/// Whether a tensor name is only data: empty, with characters that are printed escaped, or like a
/// path.
inline bool is_odd_name(std::string_view name) {
  return name.empty() || name.front() == '/' || name.find("..") != std::string_view::npos ||
         escaped(name) != name;
}

/// Reads the JSON text of a safetensors header straight into TensorInfo: everything that one entry
/// alone can break is checked here, what needs all of them in check_layout().
class HeaderParser {
public:
  HeaderParser(std::string_view text, std::string_view file_name, ReadOptions const& options)
      : cursor_(text, file_name, 8), options_(options) {}

  void parse_into(SafetensorsHeader& header) {
    if (cursor_.peek() != '\0' && cursor_.position() != 0) {
      read_leading_space(header);
    }
    std::string key;
    bool has_metadata = false;
    WarningList odd_names;
    cursor_.begin_object();
    while (cursor_.next_member(key)) {
      if (key == "__metadata__") {
        if (std::exchange(has_metadata, true)) {
          cursor_.fail("duplicate-key", "a second '__metadata__'", "at most one");
        }
        parse_metadata(header);
        continue;
      }
      if (header.tensors.size() == options_.max_tensors) {
        cursor_.fail("too-many-tensors",
                     "more than " + std::to_string(options_.max_tensors) + " tensors",
                     "at most that many (this reader's limit)", "raise the limit in ReadOptions");
      }
      TensorInfo info;
      info.name.swap(key);
      cursor_.set_subject("tensor", &info.name);
      parse_entry(info);
      cursor_.set_subject("", nullptr);
      if (is_odd_name(info.name)) {
        odd_names.add(info.name);
      }
      header.tensors.push_back(std::move(info));
    }
    cursor_.finish();
    odd_names.append_to(header.warnings,
                        "tensor names are empty, look like paths or hold control "
                        "characters; they are only data and printed escaped");
    unknown_fields_.append_to(header.warnings, "unknown fields in tensor entries were ignored");
  }

private:
  void read_leading_space(SafetensorsHeader& header) {
    std::string const found =
        std::to_string(cursor_.position()) + " bytes of white space before '{'";
    if (!options_.lenient) {
      cursor_.fail("leading-space", found, "'{' as first byte of the header",
                   "write the file again, or read it with --lenient");
    }
    header.warnings.push_back("the header has " + found + ", which the format forbids");
  }

  void parse_metadata(SafetensorsHeader& header) {
    std::string key;
    std::string value;
    std::string const subject = "__metadata__";
    cursor_.set_subject("key", &subject);
    cursor_.begin_object();
    while (cursor_.next_member(key)) {
      cursor_.read_string(value);
      if (!header.metadata.emplace(key, std::move(value)).second) {
        cursor_.fail("duplicate-key", "metadata key " + in_quotes(key) + " twice", "each key once");
      }
      value.clear();
    }
    cursor_.set_subject("", nullptr);
  }

  void parse_entry(TensorInfo& info) {
    enum Field : unsigned { dtype = 1, shape = 2, offsets = 4 };
    unsigned seen = 0;
    std::vector<std::string> others;
    cursor_.begin_object();
    while (cursor_.next_member(field_)) {
      unsigned const field = field_ == "dtype"          ? dtype
                             : field_ == "shape"        ? shape
                             : field_ == "data_offsets" ? offsets
                                                        : 0U;
      bool twice = (seen & field) != 0;
      for (std::string const& other : others) {
        twice = twice || other == field_;
      }
      if (twice) {
        cursor_.fail("duplicate-key", "field " + in_quotes(field_) + " twice", "each field once");
      }
      seen |= field;
      switch (field) {
        case dtype: parse_dtype_into(info); break;
        case shape: parse_shape(info); break;
        case offsets: parse_offsets(info); break;
        default: skip_unknown_field(others); break;
      }
    }
    char const* const missing = (seen & dtype) == 0     ? "dtype"
                                : (seen & shape) == 0   ? "shape"
                                : (seen & offsets) == 0 ? "data_offsets"
                                                        : nullptr;
    if (missing != nullptr) {
      cursor_.fail("missing-field", std::string("no field '") + missing + "'",
                   "dtype, shape and data_offsets");
    }
    check_bytes(info);
  }

  void skip_unknown_field(std::vector<std::string>& others) {
    constexpr std::size_t most = 16;
    if (!options_.lenient || others.size() == most) {
      cursor_.fail("unknown-field", "unknown field " + in_quotes(field_),
                   "only dtype, shape and data_offsets",
                   "its meaning would be lost; read with --lenient to ignore it");
    }
    unknown_fields_.add(field_);
    others.push_back(field_);
    cursor_.skip_value();
  }

  void parse_dtype_into(TensorInfo& info) {
    cursor_.read_string(value_);
    std::optional<Dtype> const known = parse_dtype(value_);
    if (!known) {
      cursor_.fail(
          "unknown-dtype", "unknown dtype " + in_quotes(value_), "one of " + dtype_names(),
          "the element type is never guessed; convert the tensor with the tool that wrote it");
    }
    info.dtype = *known;
  }

  void parse_shape(TensorInfo& info) {
    cursor_.begin_array();
    while (cursor_.next_element()) {
      if (info.shape.size() == static_cast<std::size_t>(options_.max_rank)) {
        cursor_.fail(
            "rank-too-large",
            "a shape with more than " + std::to_string(options_.max_rank) + " extents",
            "rank at most " + std::to_string(options_.max_rank) + " (this reader's limit)");
      }
      info.shape.push_back(cursor_.read_integer(largest_number));
    }
  }

  void parse_offsets(TensorInfo& info) {
    std::size_t count = 0;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      std::uint64_t const value = cursor_.read_integer(largest_number);
      (count == 0 ? info.begin : info.end) = value;
      if (++count > 2) {
        break;
      }
    }
    if (count != 2) {
      cursor_.fail("wrong-offsets",
                   count < 2 ? std::to_string(count) + " data_offsets"
                             : std::string("more than two data_offsets"),
                   "[begin, end]");
    }
    if (info.end < info.begin) {
      cursor_.fail(
          "negative-length",
          "data_offsets [" + std::to_string(info.begin) + ", " + std::to_string(info.end) + "]",
          "begin not above end");
    }
  }

  void check_bytes(TensorInfo const& info) {
    // Zero extents do not hide an absurd product, so the verdict does not depend on their position.
    std::uint64_t product = 1;
    bool empty = false;
    for (std::uint64_t const extent : info.shape) {
      empty = empty || extent == 0;
      if (extent != 0 && product > largest_number / extent) {
        cursor_.fail("size-overflow", "shape " + shape_text(info.shape) + ", a product above 2^48",
                     "at most 2^48 elements (this reader's limit)");
      }
      product *= extent == 0 ? 1 : extent;
    }
    std::uint64_t const size_bits =
        (empty ? 0 : product) * static_cast<std::uint64_t>(bits(info.dtype));
    std::string const what = std::string(name(info.dtype)) + " " + shape_text(info.shape);
    if (size_bits % 8 != 0) {
      cursor_.fail("partial-byte", what + " of " + std::to_string(size_bits) + " bits",
                   "a whole number of bytes");
    }
    if (info.bytes() != size_bits / 8) {
      cursor_.fail("wrong-size",
                   "data_offsets [" + std::to_string(info.begin) + ", " + std::to_string(info.end) +
                       "] of " + std::to_string(info.bytes()) + " bytes",
                   std::to_string(size_bits / 8) + " bytes for " + what);
    }
  }

  JsonCursor cursor_;
  ReadOptions options_;
  WarningList unknown_fields_;
  std::string field_;
  std::string value_;
};

}  // namespace dashi::io::detail

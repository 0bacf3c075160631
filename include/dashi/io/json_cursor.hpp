// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/json_scanner.hpp>
#include <dashi/io/listing.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace dashi::io {

/// Strict JSON (RFC 8259) pull parser over text in memory: the caller asks for what the format
/// allows next, and anything else is a FormatError that names the byte. Builds no tree, allocates
/// only the strings it hands out.
///
/// Stricter than the RFC: UTF-8 only and checked in full, no byte order mark, no lone surrogates,
/// bounded nesting; integer() takes plain non-negative decimals only. Duplicate keys are the
/// caller's to detect in objects it walks; skip_value() detects them in what it skips.
class JsonCursor : public JsonScanner {
public:
  static constexpr int deepest = 16;  ///< largest permitted maximum depth

  /// `first_byte`: where `text` begins in the file, for messages. The text must outlive the cursor.
  JsonCursor(std::string_view text, std::string_view file_name, std::uint64_t first_byte = 0,
             int max_depth = 4)
      : JsonScanner(text, file_name, first_byte), max_depth_(max_depth) {
    DASHI_EXPECTS(max_depth >= 1 && max_depth <= deepest, "depth limit out of range");
  }

  void begin_object() { begin('{', "an object"); }
  void begin_array() { begin('[', "an array"); }

  /// Moves to the next member and reads its key (unescaped), or ends the object and returns false.
  bool next_member(std::string& key) {
    if (!next('}')) {
      return false;
    }
    if (peek() != '"') {
      fail("not-json", found_here(), "a string as key");
    }
    read_string(key);
    if (peek() != ':') {
      fail("not-json", found_here(), "':' after a key");
    }
    ++position_;
    return true;
  }

  /// Moves to the next element, or ends the array and returns false.
  bool next_element() { return next(']'); }

  /// Reads over any value, checking its syntax, its depth and its objects' keys.
  void skip_value() {
    std::string text;
    switch (peek()) {
      case '{': {
        std::set<std::string> keys;
        begin_object();
        while (next_member(text)) {
          if (!keys.insert(text).second) {
            fail("duplicate-key", "key " + in_quotes(text) + " twice in one object",
                 "each key once");
          }
          skip_value();
        }
        return;
      }
      case '[':
        begin_array();
        while (next_element()) {
          skip_value();
        }
        return;
      case '"': read_string(text); return;
      case 't': skip_word("true"); return;
      case 'f': skip_word("false"); return;
      case 'n': skip_word("null"); return;
      default: skip_number(); return;
    }
  }

  /// Expects nothing but white space up to the end.
  void finish() {
    std::size_t const end = position_;
    if (peek() == '\0' && position_ == text_.size()) {
      return;
    }
    if (text_.find_first_not_of('\0', position_) == std::string_view::npos) {
      fail("nul-padding", "NUL bytes after the object", "nothing or spaces",
           "padding must be spaces: overwrite the NUL bytes with 0x20");
    }
    fail("trailing-text",
         found_here() + " after the object that ended at byte " + std::to_string(first_byte_ + end),
         "nothing or spaces");
  }

private:
  void begin(char bracket, char const* what) {
    if (peek() != bracket) {
      fail("wrong-type", found_here(), what);
    }
    if (depth_ == max_depth_) {
      fail("too-deep", "nesting deeper than " + std::to_string(max_depth_) + " levels",
           "at most " + std::to_string(max_depth_));
    }
    ++position_;
    first_[static_cast<std::size_t>(depth_)] = true;
    ++depth_;
  }

  bool next(char closing) {
    bool& first = first_[static_cast<std::size_t>(depth_ - 1)];
    char const c = peek();
    if (c == closing) {
      ++position_;
      --depth_;
      return false;
    }
    if (!first) {
      if (c != ',') {
        fail("not-json", found_here(), std::string("',' or '") + closing + "'");
      }
      ++position_;
      if (peek() == closing) {
        fail("not-json", std::string("a comma before '") + closing + "'",
             "no comma after the last item");
      }
    }
    first = false;
    return true;
  }

  int max_depth_;
  int depth_ = 0;
  std::array<bool, deepest> first_{};
};

}  // namespace dashi::io

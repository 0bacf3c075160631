// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::io {

/// The scalars of strict JSON (RFC 8259): strings, integers, and where in the text they stand. The
/// lower half of JsonCursor, which adds objects and arrays.
class JsonScanner {
public:
  /// `first_byte`: where `text` begins in the file, for messages. The text must outlive the
  /// scanner.
  JsonScanner(std::string_view text, std::string_view file_name, std::uint64_t first_byte)
      : text_(text), file_(file_name), first_byte_(first_byte) {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") {
      fail("byte-order-mark", "a UTF-8 byte order mark", "'{'", "write the text without it");
    }
    std::size_t const bad = first_invalid_utf8(text_);
    if (bad != std::string_view::npos) {
      position_ = bad;
      fail("invalid-utf8", "byte " + hex_byte(text_[bad]) + " that is not valid UTF-8",
           "UTF-8 text");
    }
  }

  std::size_t position() const noexcept { return position_; }  ///< next byte, relative to the text

  /// The subject named in messages until the next call, such as a tensor's name; null for none.
  void set_subject(char const* kind, std::string const* name) noexcept {
    subject_kind_ = kind;
    subject_ = name;
  }

  /// Next character after white space; 0 at the end.
  char peek() noexcept {
    while (position_ < text_.size() && is_space(text_[position_])) {
      ++position_;
    }
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  /// Reads a string value, unescaped.
  void read_string(std::string& out) {
    if (peek() != '"') {
      fail("wrong-type", found_here(), "a string");
    }
    ++position_;
    out.clear();
    for (;;) {
      std::size_t const start = position_;
      while (position_ < text_.size() && is_plain(text_[position_])) {
        ++position_;
      }
      out.append(text_.substr(start, position_ - start));
      if (position_ == text_.size()) {
        fail("not-json", "the text ends inside a string", "'\"'");
      }
      if (text_[position_] == '"') {
        ++position_;
        return;
      }
      if (text_[position_] != '\\') {
        fail("not-json", "a raw control character " + hex_byte(text_[position_]) + " in a string",
             "an escape such as \\u0000");
      }
      read_escape(out);
    }
  }

  /// Reads a non-negative decimal integer up to `limit`, which must be below 2^60.
  std::uint64_t read_integer(std::uint64_t limit) {
    char const first = peek();
    std::size_t const start = position_;
    if (first == '-') {
      fail("negative-number", "a negative number", "a non-negative integer");
    }
    if (!is_digit(first)) {
      fail("wrong-type", found_here(), "a non-negative integer");
    }
    std::uint64_t value = 0;
    bool above = false;
    while (position_ < text_.size() && is_digit(text_[position_])) {
      value = value * 10 + static_cast<std::uint64_t>(text_[position_] - '0');
      above = above || value > limit;
      value = above ? limit : value;
      ++position_;
    }
    std::string_view const digits = text_.substr(start, position_ - start);
    char const after = position_ < text_.size() ? text_[position_] : '\0';
    bool const leading_zero = digits.size() > 1 && first == '0';
    if (leading_zero || after == '.' || after == 'e' || after == 'E' || above) {
      position_ = start;
    }
    if (leading_zero) {
      fail("leading-zero", "a number with a leading zero", "a plain decimal integer");
    }
    if (after == '.' || after == 'e' || after == 'E') {
      fail("not-an-integer", after == '.' ? "a fractional number" : "a number with an exponent",
           "a plain decimal integer");
    }
    if (above) {
      fail("number-too-large",
           std::string(digits.substr(0, 40)) + (digits.size() > 40 ? "..." : ""),
           "at most " + std::to_string(limit) +
               (limit == std::uint64_t{1} << 48 ? " (2^48, this reader's limit)" : ""));
    }
    return value;
  }

  /// Throws the FormatError for the current position.
  [[noreturn]] void fail(char const* code, std::string found, std::string expected,
                         std::string advice = {}) const {
    std::string place =
        subject_ == nullptr ? "" : std::string(subject_kind_) + " " + in_quotes(*subject_) + ", ";
    throw FormatError({.code = code,
                       .file = std::string(file_),
                       .place = place + "byte " + std::to_string(first_byte_ + position_),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

protected:
  /// What stands at the current position, in words.
  std::string found_here() const {
    if (position_ >= text_.size()) {
      return "the end of the text";
    }
    switch (char const c = text_[position_]; c) {
      case '{': return "an object";
      case '[': return "an array";
      case '"': return "a string";
      case 'n': return "null or another word";
      case 't':
      case 'f': return "a boolean or another word";
      default:
        if (is_digit(c) || c == '-') {
          return "a number";
        }
        return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f
                   ? std::string("'") + c + "'"
                   : "byte " + hex_byte(c);
    }
  }

  /// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
  void skip_number() {
    std::size_t const start = position_;
    auto const at = [&] { return position_ < text_.size() ? text_[position_] : '\0'; };
    auto const digits = [&] {
      std::size_t const from = position_;
      while (is_digit(at())) {
        ++position_;
      }
      return position_ - from;
    };
    bool valid = true;
    if (at() == '-') {
      ++position_;
    }
    char const first = at();
    std::size_t const whole = digits();
    valid = whole == 1 || (whole > 1 && first != '0');
    if (at() == '.') {
      ++position_;
      valid = digits() > 0 && valid;
    }
    if (at() == 'e' || at() == 'E') {
      ++position_;
      if (at() == '+' || at() == '-') {
        ++position_;
      }
      valid = digits() > 0 && valid;
    }
    if (!valid) {
      position_ = start;
      fail("not-json", found_here(), "a value");
    }
  }

  void skip_word(std::string_view word) {
    if (text_.substr(position_, word.size()) != word) {
      fail("not-json", found_here(), "a value");
    }
    position_ += word.size();
  }

  std::string_view text_;
  std::string_view file_;
  std::uint64_t first_byte_;
  std::size_t position_ = 0;

private:
  static bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
  static bool is_plain(char c) noexcept {
    return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
  }
  static std::string hex_byte(char c) {
    static constexpr char digits[] = "0123456789abcdef";
    auto const value = static_cast<unsigned char>(c);
    return std::string("0x") + digits[value >> 4] + digits[value & 15];
  }

  void read_escape(std::string& out) {
    std::size_t const start = position_;
    ++position_;
    char const c = position_ < text_.size() ? text_[position_] : '\0';
    ++position_;
    switch (c) {
      case '"':
      case '\\':
      case '/': out.push_back(c); return;
      case 'b': out.push_back('\b'); return;
      case 'f': out.push_back('\f'); return;
      case 'n': out.push_back('\n'); return;
      case 'r': out.push_back('\r'); return;
      case 't': out.push_back('\t'); return;
      case 'u': break;
      default:
        position_ = start;
        fail("not-json", "an unknown escape", "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    }
    std::uint32_t point = read_hex4(start);
    if (point >= 0xd800 && point <= 0xdbff && text_.substr(position_, 2) == "\\u") {
      position_ += 2;
      std::uint32_t const low = read_hex4(start);
      point = low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00)
                                             : 0xd800;
    }
    if (point >= 0xd800 && point <= 0xdfff) {
      position_ = start;
      fail("lone-surrogate", "half of a surrogate pair", "a whole character");
    }
    append_utf8(out, point);
  }

  std::uint32_t read_hex4(std::size_t start) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++position_) {
      char const c = position_ < text_.size() ? text_[position_] : '\0';
      std::uint32_t const digit = is_digit(c)            ? static_cast<std::uint32_t>(c - '0')
                                  : c >= 'a' && c <= 'f' ? static_cast<std::uint32_t>(c - 'a' + 10)
                                  : c >= 'A' && c <= 'F' ? static_cast<std::uint32_t>(c - 'A' + 10)
                                                         : 16U;
      if (digit == 16) {
        position_ = start;
        fail("not-json", "an unfinished \\u escape", "four hexadecimal digits");
      }
      value = value << 4 | digit;
    }
    return value;
  }

  char const* subject_kind_ = "";
  std::string const* subject_ = nullptr;
};

}  // namespace dashi::io

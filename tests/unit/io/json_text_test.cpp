// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/json_text.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

using dashi::io::append_quoted;
using dashi::io::has_control_character;

namespace {

std::string json_of(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

}  // namespace

TEST_CASE("strings are quoted in one canonical form") {
  CHECK(json_of("") == R"("")");
  CHECK(json_of("plain") == R"("plain")");
  CHECK(json_of(R"(a"b\c/d)") == R"("a\"b\\c/d")");
  CHECK(json_of("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  CHECK(json_of(std::string("\0\x01\x1f\x7f", 4)) == "\"\\u0000\\u0001\\u001f\x7f\"");
  CHECK(json_of("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80") ==
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

TEST_CASE("bytes that are not UTF-8 become the replacement character") {
  CHECK(json_of("a\xff"
                "b") ==
        "\"a\xef\xbf\xbd"
        "b\"");
  CHECK(json_of("\xc3") == "\"\xef\xbf\xbd\"");
  CHECK(json_of("\xed\xa0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST_CASE("quoted text is read back by the strict parser") {
  std::string all;
  for (int c = 0; c < 0x80; ++c) {
    all += static_cast<char>(c);
  }
  all += "\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80";
  std::string const json = "{" + json_of(all) + ":" + json_of(all) + "}";
  dashi::io::JsonCursor cursor(json, "test");
  std::string key;
  std::string value;
  cursor.begin_object();
  REQUIRE(cursor.next_member(key));
  cursor.read_string(value);
  CHECK(key == all);
  CHECK(value == all);
}

TEST_CASE("control characters are found") {
  for (std::string const& text : {std::string("a\nb"), std::string("\0", 1), std::string("\x7f"),
                                  std::string("\xc2\x80"), std::string("x\xc2\x9f")}) {
    CHECK(has_control_character(text));
  }
  for (char const* text : {"", "plain", "\xc2\xa0", "\xc3\xa9", "\xe2\x80\xa8"}) {
    CHECK_FALSE(has_control_character(text));
  }
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/json_cursor.hpp>

#include <catch2/catch_test_macros.hpp>

#include "reader_fixture.hpp"

#include <string>

using namespace dashi;
using namespace dashi::reader_test;

namespace {

std::string code_of_skipping(std::string const& text) {
  auto const failure = failure_of([&] {
    io::JsonCursor cursor(text, "file");
    cursor.skip_value();
    cursor.finish();
  });
  return failure ? failure->code : "";
}

std::string text_of(std::string const& json) {
  std::string out;
  io::JsonCursor cursor(json, "file");
  cursor.read_string(out);
  cursor.finish();
  return out;
}

}  // namespace

TEST_CASE("the cursor walks objects and arrays") {
  std::string const text = R"( { "a" : [ 1 , 20 ] , "b" : "x" , "c" : { } } )";
  io::JsonCursor cursor(text, "file");
  std::string key;
  std::string value;
  cursor.begin_object();
  REQUIRE(cursor.next_member(key));
  CHECK(key == "a");
  cursor.begin_array();
  REQUIRE(cursor.next_element());
  CHECK(cursor.read_integer(20) == 1);
  REQUIRE(cursor.next_element());
  CHECK(cursor.read_integer(20) == 20);
  REQUIRE_FALSE(cursor.next_element());
  REQUIRE(cursor.next_member(key));
  cursor.read_string(value);
  CHECK(value == "x");
  REQUIRE(cursor.next_member(key));
  cursor.begin_object();
  REQUIRE_FALSE(cursor.next_member(key));
  REQUIRE_FALSE(cursor.next_member(key));
  cursor.finish();
}

TEST_CASE("strings are unescaped") {
  CHECK(text_of(R"("plain")") == "plain");
  CHECK(text_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(text_of(R"("\u0061\u00e9\u20AC\ud83d\ude00")") == "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(text_of(R"("\u0000")") == std::string(1, '\0'));
}

TEST_CASE("skipped values are checked in full") {
  for (char const* const good : {"0", "-0", "-1.5e+3", "10", "1E9", "true", "false", "null", "\"\"",
                                 "[]", "{}", "[[[[]]]]", R"({"a":{"a":[1,{}]}})"}) {
    INFO(good);
    CHECK(code_of_skipping(good).empty());
  }
  for (char const* const bad : {"",    "+1",  "01",   "1.",      ".5",      "1e",    "-",
                                "tru", "nul", "[1,]", "[1 2]",   "{\"a\"}", "{a:1}", "{\"a\":1,}",
                                "[",   "\"",  "\"\\", "\"\\u12", "\"\\q\"", "NaN",   "Infinity"}) {
    INFO(bad);
    CHECK_FALSE(code_of_skipping(bad).empty());
  }
  CHECK(code_of_skipping("[[[[[]]]]]") == "too-deep");
  CHECK(code_of_skipping(R"({"a":1,"\u0061":2})") == "duplicate-key");
  CHECK(code_of_skipping("1 2") == "trailing-text");
}

TEST_CASE("messages give the byte in the file and the subject") {
  std::string const subject = "w\n1";
  auto const failure = failure_of([&] {
    io::JsonCursor cursor("[1, -2]", "some\tfile", 8);
    cursor.set_subject("tensor", &subject);
    cursor.begin_array();
    cursor.next_element();
    cursor.read_integer(5);
    cursor.next_element();
    cursor.read_integer(5);
  });
  REQUIRE(failure);
  CHECK(failure->diagnosis.place == "tensor 'w\n1', byte 12");
  CHECK(failure->message ==
        "some\\x09file: tensor 'w\\x0a1', byte 12: a negative number, expected a non-negative "
        "integer");
  CHECK(failure->status == 65);
}

TEST_CASE("integers stop at their limit without overflow") {
  auto const code = [](std::string const& text) {
    auto const failure =
        failure_of([&] { io::JsonCursor(text, "f").read_integer(std::uint64_t{1} << 48); });
    return failure ? failure->code : "";
  };
  CHECK(code("281474976710656").empty());
  CHECK(code("281474976710657") == "number-too-large");
  CHECK(code("18446744073709551616") == "number-too-large");
  CHECK(code(std::string(5000, '9')) == "number-too-large");
  CHECK(code("00") == "leading-zero");
  CHECK(code("1.0") == "not-an-integer");
  CHECK(code("1E2") == "not-an-integer");
  CHECK(code("\"1\"") == "wrong-type");
}

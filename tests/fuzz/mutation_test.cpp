// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "agreement.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) {
  return static_cast<std::size_t>(random() % limit);
}

/// A header as tokens, so that mutations keep most of the structure, and the data's length.
struct Subject {
  std::vector<std::string> tokens;
  std::size_t data = 0;
  std::int64_t length_error = 0;
};

std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  constexpr std::string_view marks = "{}[]:,";
  for (std::size_t i = 0; i < text.size();) {
    std::size_t n = 1;
    if (text[i] == '"') {
      n = text.find('"', i + 1) + 1 - i;
    } else if (marks.find(text[i]) == std::string_view::npos) {
      n = text.find_first_of("{}[]:,\"", i);
      n = (n == std::string_view::npos ? text.size() : n) - i;
    }
    tokens.emplace_back(text.substr(i, n));
    i += n;
  }
  return tokens;
}

std::string file_of(Subject const& s) {
  std::string text;
  for (std::string const& token : s.tokens) {
    text += token;
  }
  std::uint64_t const length = text.size() + static_cast<std::uint64_t>(s.length_error);
  std::string file;
  for (unsigned i = 0; i < 8; ++i) {
    file += static_cast<char>(length >> (8 * i) & 255);
  }
  return file + text + std::string(s.data, '\0');
}

void mutate(Subject& s, Random& random) {
  static std::array<std::string, 46> const values{"0",
                                                  "1",
                                                  "2",
                                                  "3",
                                                  "4",
                                                  "8",
                                                  "-1",
                                                  "-0",
                                                  "01",
                                                  "2.0",
                                                  "1e3",
                                                  "281474976710656",
                                                  "281474976710657",
                                                  "1099511627776",
                                                  "18446744073709551616",
                                                  "null",
                                                  "true",
                                                  "{}",
                                                  "[]",
                                                  "[0,8]",
                                                  "[2]",
                                                  "\"a\"",
                                                  "\"b\"",
                                                  "\"\"",
                                                  "\"F32\"",
                                                  "\"I32\"",
                                                  "\"BF16\"",
                                                  "\"F4\"",
                                                  "\"BOOL\"",
                                                  "\"dtype\"",
                                                  "\"shape\"",
                                                  "\"data_offsets\"",
                                                  "\"__metadata__\"",
                                                  "\"\\u0061\"",
                                                  "\"\\ud800\"",
                                                  "\"\\ud83d\\ude00\"",
                                                  "\"\\u00e9\"",
                                                  "\"\xc3\xa9\"",
                                                  "\"\xff\"",
                                                  "\"\xed\xa0\x80\"",
                                                  "\"\xc0\xaf\"",
                                                  "\"\\n\"",
                                                  "\"a\nb\"",
                                                  ":",
                                                  ",",
                                                  "\"x\":1,"};
  auto& t = s.tokens;
  if (t.empty()) {
    return;
  }
  std::size_t const at = below(random, t.size());
  switch (below(random, 16)) {
    case 0: t[at] = values[below(random, values.size())]; break;
    case 1:
      t.insert(t.begin() + static_cast<std::ptrdiff_t>(at), values[below(random, values.size())]);
      break;
    case 2: t.erase(t.begin() + static_cast<std::ptrdiff_t>(at)); break;
    case 3: t.insert(t.begin() + static_cast<std::ptrdiff_t>(at), t[at]); break;
    case 4: std::swap(t[at], t[below(random, t.size())]); break;
    case 5: t[at] = t[below(random, t.size())]; break;
    case 6:  // one byte of a token
      if (!t[at].empty()) {
        char& c = t[at][below(random, t[at].size())];
        c = static_cast<char>(static_cast<unsigned char>(c) ^ (1U << below(random, 8)));
      }
      break;
    case 7: s.data += below(random, 9); break;
    case 8: s.data -= below(random, s.data + 1); break;
    case 9: s.length_error += static_cast<std::int64_t>(below(random, 5)) - 2; break;
    case 10: t[at] += std::string(1 + below(random, 3), " \t\n\r"[below(random, 4)]); break;
    case 11: {  // a number near itself
      if (!t[at].empty() && t[at].find_first_not_of("0123456789") == std::string::npos &&
          t[at].size() < 6) {
        t[at] = std::to_string(std::stoul(t[at]) + below(random, 9));
      }
      break;
    }
    case 12:  // leading or trailing text
      below(random, 2) == 0 ? t.insert(t.begin(), " ")
                            : t.insert(t.end(), std::string(below(random, 9), ' '));
      break;
    case 13:
    case 14: {  // another tensor that may or may not fit
      std::size_t const begin = below(random, 10);
      std::size_t const count = below(random, 5);
      static constexpr std::pair<char const*, std::size_t> types[] = {
          {"U8", 8}, {"F4", 4}, {"F6_E3M2", 6}, {"F16", 16}};
      auto const& [type, bits] = types[below(random, 4)];
      std::string const shape = std::to_string(count);
      std::string const end = std::to_string(begin + count * bits / 8);
      auto const entry = tokens_of("\"n" + std::to_string(below(random, 3)) + "\":{\"dtype\":\"" +
                                   type + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                                   std::to_string(begin) + "," + end + "]},");
      std::size_t const place = t.size() > 1 && below(random, 4) == 0 ? at : 1;
      t.insert(t.begin() + static_cast<std::ptrdiff_t>(std::min(place, t.size())), entry.begin(),
               entry.end());
      break;
    }
    default: {  // a run of tokens copied elsewhere: whole entries, often
      std::size_t const count = std::min<std::size_t>(1 + below(random, 20), t.size() - at);
      std::vector<std::string> const run(t.begin() + static_cast<std::ptrdiff_t>(at),
                                         t.begin() + static_cast<std::ptrdiff_t>(at + count));
      std::size_t const to = below(random, t.size());
      t.insert(t.begin() + static_cast<std::ptrdiff_t>(to), run.begin(), run.end());
    }
  }
}

std::vector<Subject> const& seeds() {
  static std::vector<Subject> const all{
      {tokens_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"), 8, 0},
      {tokens_of(R"({"__metadata__":{"format":"pt","k":"v"},"a":)"
                 R"({"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},)"
                 R"("b":{"dtype":"U8","shape":[],"data_offsets":[4,5]}}   )"),
       5, 0},
      {tokens_of(R"({"z":{"dtype":"F64","shape":[0,3],"data_offsets":[0,0]},"q":)"
                 R"({"dtype":"F4","shape":[4],)"
                 R"("data_offsets":[3,5]},"p":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})"),
       5, 0},
      {tokens_of("{}"), 0, 0},
      {tokens_of(
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":{"y":[1,-2.5e3,null]}}})"),
       8, 0},
      {tokens_of(R"({"\u00e9\n":{"shape":[2,2],"data_offsets":[0,4],"dtype":"I8"}})"), 4, 0}};
  return all;
}

}  // namespace

TEST_CASE("the oracle itself accepts the seeds and rejects their truncations") {
  for (Subject const& seed : seeds()) {
    std::string const file = file_of(seed);
    CHECK(dashi::test::oracle_read(file, true));
    CHECK_FALSE(dashi::test::oracle_read(file.substr(0, file.size() - 1), true));
  }
}

TEST_CASE("library and oracle agree on 40 000 mutated headers, strict and lenient") {
  Random random(20240611);
  std::size_t accepted = 0;
  std::size_t rejected = 0;
  for (int round = 0; round < 40'000; ++round) {
    Subject subject = seeds()[below(random, seeds().size())];
    for (std::size_t n = 1 + below(random, 3); n > 0; --n) {
      mutate(subject, random);
    }
    std::string const file = file_of(subject);
    for (bool const lenient : {false, true}) {
      std::string const difference = dashi::test::disagreement(file, lenient);
      if (!difference.empty()) {
        FAIL("round " << round << (lenient ? " lenient" : "") << ": " << difference << "\n"
                      << file.substr(std::min<std::size_t>(8, file.size())));
      }
      ++(dashi::test::oracle_read(file, lenient) ? accepted : rejected);
    }
  }
  // The comparison means nothing unless both verdicts are common.
  CHECK(accepted > 4'000);
  CHECK(rejected > 20'000);
}

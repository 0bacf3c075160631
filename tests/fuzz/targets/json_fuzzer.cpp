// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// libFuzzer target: any bytes as JSON for the cursor's skip_value(), which must agree with the
// oracle's grammar when the text is an object. See ../README.md.
#include <dashi/io/json_cursor.hpp>

#include "../header_oracle.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  bool ours = true;
  try {
    dashi::io::JsonCursor cursor(text, "memory");
    cursor.skip_value();
    cursor.finish();
  } catch (dashi::FormatError const&) {
    ours = false;
  }
  bool theirs = true;
  try {
    dashi::test::oracle::Reader(dashi::test::oracle::decode(text)).document(true);
  } catch (dashi::test::oracle::Bad const&) {
    theirs = false;
  }
  std::size_t const start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{' && ours != theirs) {
    std::abort();
  }
  return 0;
}

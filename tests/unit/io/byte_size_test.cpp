// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/byte_size.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <optional>

using dashi::io::format_bytes;
using dashi::io::parse_byte_size;

TEST_CASE("byte sizes are read exactly") {
  auto const is = [](char const* text, std::uint64_t bytes) {
    CAPTURE(text);
    CHECK(parse_byte_size(text) == bytes);
  };
  is("0", 0);
  is("4096", 4096);
  is("17B", 17);
  is("2GB", 2'000'000'000);
  is("500MB", 500'000'000);
  is("500mb", 500'000'000);
  is("3kB", 3000);
  is("2TB", 2'000'000'000'000);
  is("1KiB", 1024);
  is("2GiB", 2'147'483'648);
  is("1.5GiB", 1'610'612'736);
  is("1TiB", std::uint64_t{1} << 40);
  is("0.000000001GB", 1);
  is("2.50KB", 2500);
  is("0.5KiB", 512);
  is("9223372036854775807", 9'223'372'036'854'775'807U);
}

TEST_CASE("text that is no byte size is refused") {
  for (char const* text : {"",
                           "B",
                           "GB",
                           "-1",
                           "+1",
                           " 1",
                           "1 ",
                           "1 GB",
                           "2G",
                           "2M",
                           "1e9",
                           "1.GB",
                           ".5GB",
                           "1..5GB",
                           "1.5.5GB",
                           "1.5",
                           "0.1KiB",
                           "0.0001KB",
                           "1GBB",
                           "1XB",
                           "0x10",
                           "9223372036854775808",
                           "99999999999TB",
                           "1.0000000000000000000000001GB",
                           "nan",
                           "1,5GB"}) {
    CAPTURE(text);
    CHECK(parse_byte_size(text) == std::nullopt);
  }
}

TEST_CASE("byte counts are shown with three digits") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(999) == "999 B");
  CHECK(format_bytes(1000) == "1.00 kB");
  CHECK(format_bytes(9994) == "9.99 kB");
  CHECK(format_bytes(9996) == "10.0 kB");
  CHECK(format_bytes(99'960) == "100 kB");
  CHECK(format_bytes(999'499) == "999 kB");
  CHECK(format_bytes(999'500) == "1.00 MB");
  CHECK(format_bytes(134'000'000) == "134 MB");
  CHECK(format_bytes(1'500'000'000) == "1.50 GB");
  CHECK(format_bytes(~std::uint64_t{0}) == "18.4 EB");
}

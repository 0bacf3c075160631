// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/merging/decimal_weight.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <string>

using dashi::UsageError;
using namespace dashi::merging;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("a weight is read exactly and has one spelling") {
  struct Row {
    char const* written;
    std::int64_t digits;
    int places;
    char const* canonical;
  };
  auto const row =
      GENERATE(Row{"1", 1, 0, "1"}, Row{"0.3", 3, 1, "0.3"}, Row{"+1.50", 15, 1, "1.5"},
               Row{"-0.5", -5, 1, "-0.5"}, Row{"-0", 0, 0, "0"}, Row{"0.000", 0, 0, "0"},
               Row{"007.10", 71, 1, "7.1"}, Row{"0.00000001", 1, 8, "0.00000001"},
               Row{"100", 100, 0, "100"}, Row{"-12.34", -1234, 2, "-12.34"},
               Row{"9223372036854775807", INT64_MAX, 0, "9223372036854775807"});
  DecimalWeight const weight = parse_weight(row.written);
  CHECK(weight.digits == row.digits);
  CHECK(weight.places == row.places);
  CHECK(text(weight) == row.canonical);
  CHECK(parse_weight(text(weight)) == weight);
}

TEST_CASE("what is not a decimal weight is refused with its text") {
  std::string const written =
      GENERATE("", "-", "+", ".5", "5.", "1e3", "1E3", "nan", "NaN", "inf", "-inf", "1.2.3", " 1",
               "1 ", "0x10", "1,5", "--1", "0.000000001", "0.0000000010", "9223372036854775808",
               "99999999999999999999");
  CHECK_THROWS_MATCHES(parse_weight(written), UsageError,
                       MessageMatches(ContainsSubstring("weight '" + written + "'")));
}

TEST_CASE("weights get the smallest common power of ten") {
  std::array const weights{parse_weight("0.3"), parse_weight("2"), parse_weight("-0.125"),
                           parse_weight("0")};
  IntegerWeights const integers = to_integers(weights);
  CHECK(integers.places == 3);
  CHECK(integers.values == std::vector<std::int64_t>{300, 2000, -125, 0});
  CHECK(to_integers({}).values.empty());
}

TEST_CASE("a common scale that does not fit is refused") {
  std::array const fits{parse_weight("92233720368"), parse_weight("0.00000001")};
  CHECK(to_integers(fits).values.front() == 9223372036800000000);
  std::array const large{parse_weight("92233720369"), parse_weight("0.00000001")};
  CHECK_THROWS_MATCHES(to_integers(large), UsageError,
                       MessageMatches(ContainsSubstring("92233720369")));
  std::array const low{parse_weight("-92233720369"), parse_weight("0.00000001")};
  CHECK_THROWS_AS(to_integers(low), UsageError);
}

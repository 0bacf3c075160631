// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/error.hpp>
#include <dashi/core/exit_status.hpp>
#include <dashi/core/expects.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>

using Catch::Matchers::ContainsSubstring;
using dashi::escaped;
using dashi::exit_status;
using dashi::ExitStatus;
using dashi::IoStage;

TEST_CASE("text from files is safe on a terminal", "[error]") {
  CHECK(escaped("plain text 123") == "plain text 123");
  CHECK(escaped("Gewicht\u00e4\u4e16\U0001f600") == "Gewicht\u00e4\u4e16\U0001f600");
  CHECK(escaped(std::string("a\nb\tc\x1b[31m\x7f\0", 12)) == "a\\x0ab\\x09c\\x1b[31m\\x7f\\x00");
  CHECK(escaped("back\\slash") == "back\\x5cslash");
  CHECK(escaped("\xc2\x9b") == "\\xc2\\x9b");           // a C1 control
  CHECK(escaped("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // right-to-left override
  CHECK(escaped("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");  // line separator
  CHECK(escaped("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");  // never in UTF-8
  CHECK(escaped("\xe0\x80\x80") == "\\xe0\\x80\\x80");  // longer than needed
  CHECK(escaped("\xe0\x9f\xbf") == "\\xe0\\x9f\\xbf");
  CHECK(escaped("\xf0\x8f\xbf\xbf") == "\\xf0\\x8f\\xbf\\xbf");
  CHECK(escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // surrogate
  CHECK(escaped("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  CHECK(escaped("x\xe2\x82") == "x\\xe2\\x82");                  // cut short
}

TEST_CASE("a diagnosis prints its parts on one line", "[error]") {
  dashi::FormatError const error({.code = "duplicate-key",
                                  .file = "a\nb",
                                  .place = "header byte 17",
                                  .found = "key 'x' twice",
                                  .expected = "unique keys",
                                  .advice = "write the file again"});
  CHECK(std::string(error.what()) ==
        "a\\x0ab: header byte 17: key 'x' twice, expected unique keys; write the file again");
  CHECK(error.diagnosis().code == "duplicate-key");
  CHECK(dashi::one_line({.code = {},
                         .file = {},
                         .place = {},
                         .found = "only this",
                         .expected = {},
                         .advice = {}}) == "only this");
}

TEST_CASE("a broken precondition names condition and place", "[error]") {
  auto const positive = [](int x) {
    DASHI_EXPECTS(x > 0, "x is positive, got " + std::to_string(x));
  };
  CHECK_NOTHROW(positive(1));
  try {
    positive(-3);
    FAIL("nothing was thrown");
  } catch (dashi::PreconditionError const& error) {
    CHECK_THAT(error.what(), ContainsSubstring("x is positive, got -3"));
    CHECK_THAT(error.what(), ContainsSubstring("x > 0"));
    CHECK_THAT(error.what(), ContainsSubstring("error_test.cpp:"));
  }
}

TEST_CASE("every exception has its exit status", "[error]") {
  dashi::Diagnosis const d{};
  auto const io = [&](IoStage stage, int number) {
    return exit_status(dashi::IoError(stage, number, d));
  };
  CHECK(exit_status(dashi::UsageError(d)) == ExitStatus::usage);
  CHECK(exit_status(dashi::FormatError(d)) == ExitStatus::bad_data);
  CHECK(exit_status(dashi::VendorError(d)) == ExitStatus::device_missing);
  CHECK(exit_status(dashi::PreconditionError(d)) == ExitStatus::internal);
  CHECK(exit_status(dashi::ConfigurationError(d)) == ExitStatus::bad_configuration);
  CHECK(exit_status(dashi::ConvergenceError(d)) == ExitStatus::internal);
  CHECK(exit_status(dashi::ConvergenceError(d, false)) == ExitStatus::bad_data);
  CHECK(exit_status(std::bad_alloc()) == ExitStatus::out_of_memory);
  CHECK(exit_status(std::runtime_error("x")) == ExitStatus::internal);
  CHECK(io(IoStage::input, ENOENT) == ExitStatus::input_missing);
  CHECK(io(IoStage::create, EEXIST) == ExitStatus::cannot_create);
  CHECK(io(IoStage::transfer, ENOSPC) == ExitStatus::io_error);
  CHECK(io(IoStage::input, EACCES) == ExitStatus::no_permission);
  CHECK(io(IoStage::create, EPERM) == ExitStatus::no_permission);
  CHECK(static_cast<int>(ExitStatus::no_permission) == 77);
}

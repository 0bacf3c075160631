// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The protocol seen from inside; tests/faults looks at it from outside.
#include <dashi/io/output_file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::bytes_of;
using dashi::reader_test::contains;
using dashi::reader_test::contents;
using dashi::reader_test::failure_of;
using dashi::reader_test::ScratchDirectory;

namespace {

std::size_t entries(ScratchDirectory const& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder.path()), {}));
}

}  // namespace

TEST_CASE("an output appears at its commit") {
  ScratchDirectory const folder;
  bool const named = GENERATE(false, true);
  OutputFile file(folder / "out", {.named_temporary = named}, 6);
  CHECK(entries(folder) == (named ? 1 : 0));
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
  file.write_at(3, bytes_of("def"));
  file.write_at(0, bytes_of("abc"));
  std::vector<std::byte> back(2);
  file.read_at(2, back);
  CHECK(back == std::vector<std::byte>{std::byte{'c'}, std::byte{'d'}});
  file.commit(bytes_of("abcd"));
  CHECK(contents(folder / "out") == "abcdef");
  CHECK(entries(folder) == 1);
  CHECK(failure_of([&] { file.write_at(0, bytes_of("x")); })->status == 70);
  CHECK(failure_of([&] { file.commit(); })->status == 70);
}

TEST_CASE("an output that is not committed leaves nothing") {
  ScratchDirectory const folder;
  bool const named = GENERATE(false, true);
  folder.write("out", "old");
  {
    OutputFile file(folder / "out", {.force = true, .named_temporary = named}, 3);
    file.write_at(0, bytes_of("new"));
  }
  {
    OutputFile file(folder / "out", {.force = true, .named_temporary = named}, 3);
    file.abandon();
    CHECK(failure_of([&] { file.write_at(0, bytes_of("new")); })->status == 70);
  }
  CHECK(contents(folder / "out") == "old");
  CHECK(entries(folder) == 1);
}

TEST_CASE("first bytes that read back otherwise stop the commit") {
  ScratchDirectory const folder;
  OutputFile file(folder / "out", {}, 3);
  file.write_at(0, bytes_of("abx"));
  auto const failure = failure_of([&] { file.commit(bytes_of("abc")); });
  REQUIRE(failure);
  CHECK(failure->status == 74);
  CHECK(contains(failure->message, "read back differ"));
  CHECK(entries(folder) == 0);
}

TEST_CASE("the size is that of the constructor, or what grow() made it") {
  ScratchDirectory const folder;
  OutputFile file(folder / "out", {}, 3);
  CHECK(failure_of([&] { file.write_at(2, bytes_of("xy")); })->status == 70);
  CHECK(failure_of([&] { file.write_at(~std::uint64_t{0}, bytes_of("xy")); })->status == 70);
  file.grow(5);
  file.write_at(3, bytes_of("de"));
  file.write_at(0, bytes_of("abc"));
  CHECK(failure_of([&] { file.grow(4); })->status == 70);
  file.commit();
  CHECK(contents(folder / "out") == "abcde");
  OutputFile(folder / "empty", {}, 0).commit();
  CHECK(std::filesystem::file_size(folder / "empty") == 0);
}

TEST_CASE("an output that appears meanwhile is not replaced without force") {
  ScratchDirectory const folder;
  bool const named = GENERATE(false, true);
  OutputFile file(folder / "out", {.named_temporary = named}, 3);
  file.write_at(0, bytes_of("new"));
  folder.write("out", "theirs");
  auto const failure = failure_of([&] { file.commit(); });
  REQUIRE(failure);
  CHECK(failure->status == 73);
  file.abandon();
  CHECK(contents(folder / "out") == "theirs");
  CHECK(entries(folder) == 1);
}

TEST_CASE("an input that moves to the output's name meanwhile is not replaced") {
  ScratchDirectory const folder;
  auto const input = folder.write("in", "precious");
  struct stat s {};
  REQUIRE(::stat(input.c_str(), &s) == 0);
  OutputFile file(folder / "out", {.force = true, .inputs = {file_identity(s)}}, 3);
  file.write_at(0, bytes_of("new"));
  std::filesystem::rename(input, folder / "out");
  auto const failure = failure_of([&] { file.commit(); });
  REQUIRE(failure);
  CHECK(failure->status == 73);
  CHECK(contents(folder / "out") == "precious");
}

TEST_CASE("a directory that is deleted meanwhile is an error") {
  ScratchDirectory const folder;
  std::filesystem::create_directory(folder / "d");
  OutputFile file(folder / "d/out", {}, 3);
  file.write_at(0, bytes_of("new"));
  std::filesystem::remove_all(folder / "d");
  auto const failure = failure_of([&] { file.commit(); });
  REQUIRE(failure);
  CHECK(failure->status == 73);
}

TEST_CASE("published files can be taken back until they are finished") {
  ScratchDirectory const folder;
  bool const named = GENERATE(false, true);
  bool const old = GENERATE(false, true);
  if (old) {
    folder.write("out", "old");
  }
  OutputFile file(folder / "out", {.force = true, .named_temporary = named}, 3);
  file.write_at(0, bytes_of("new"));
  file.prepare();
  file.publish();
  CHECK(contents(folder / "out") == "new");
  file.retract();
  CHECK(entries(folder) == (old ? 1 : 0));
  if (old) {
    CHECK(contents(folder / "out") == "old");
  }
}

TEST_CASE("a write that fails midway is final") {
  ScratchDirectory const folder;
  OutputFile file(folder / "out", {}, 8192);
  struct rlimit before {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit const tight{4096, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  std::vector<std::byte> const bytes(8000);
  auto const failure = failure_of([&] { file.write_at(100, bytes); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  REQUIRE(failure);
  CHECK(failure->status == 74);
  CHECK(failure->diagnosis.place == "byte 4096");  // after a short write
  file.write_at(0, std::span(bytes).first(1));
  CHECK(failure_of([&] { file.commit(); })->status == 70);
}

TEST_CASE("outputs that no disk can hold fail at the start") {
  ScratchDirectory const folder;
  for (std::uint64_t const size : {std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    auto const failure = failure_of([&] { OutputFile(folder / "out", {}, size); });
    REQUIRE(failure);
    CHECK(failure->status == 74);
  }
  CHECK(entries(folder) == 0);
}

TEST_CASE("names that differ in case alone are told from the name itself") {
  ScratchDirectory const folder;
  folder.write("MODEL", "x");
  folder.write("modem", "x");
  CHECK(OutputDirectory(folder / "model").tidy() == std::vector<std::string>{"MODEL"});
  folder.write("model", "x");
  CHECK(OutputDirectory(folder / "model").tidy().empty());
}

TEST_CASE("names that are no file names are refused") {
  ScratchDirectory const folder;
  for (std::filesystem::path const& path : {std::filesystem::path(), folder.path() / "",
                                            folder / ".", folder / "..", folder / "no/out"}) {
    CAPTURE(path);
    auto const failure = failure_of([&] { OutputFile(path, {.force = true}, 1); });
    REQUIRE(failure);
    CHECK(failure->status == 73);
  }
}

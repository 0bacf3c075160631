// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/commit_section.hpp>
#include <dashi/io/output_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "reader_fixture.hpp"

using dashi::io::CommitSection;
using dashi::io::OutputFile;
using dashi::reader_test::ScratchDirectory;
using namespace std::chrono_literals;

TEST_CASE("a program that ends waits for a commit, within a limit") {
  std::optional<CommitSection> section(std::in_place);
  CHECK_FALSE(CommitSection::close(10ms));
  std::atomic<bool> closed{false};
  std::thread ending([&] { closed = CommitSection::close(30s); });
  std::this_thread::sleep_for(50ms);
  CHECK_FALSE(closed);
  section.reset();
  ending.join();
  CHECK(closed);
  CHECK(CommitSection::close(0ms));
  CommitSection::reopen();
}

TEST_CASE("no commit begins in a program that ends") {
  ScratchDirectory const folder;
  REQUIRE(CommitSection::close(0ms));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    OutputFile file(folder / "out", {}, 0);
    file.commit();
    done = true;
  });
  std::this_thread::sleep_for(50ms);
  CHECK_FALSE(done);
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
  CommitSection::reopen();
  writer.join();
  CHECK(done);
  CHECK(std::filesystem::exists(folder / "out"));
}

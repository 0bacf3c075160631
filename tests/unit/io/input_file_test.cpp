// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/input_file.hpp>
#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include "reader_fixture.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

using namespace dashi;
using namespace dashi::reader_test;
namespace fs = std::filesystem;

namespace {

Failure opening(fs::path const& path) {
  auto const failure = failure_of([&] { io::InputFile const file(path); });
  REQUIRE(failure);
  return *failure;
}

}  // namespace

TEST_CASE("what is no file with data ends with 66 and says what it is") {
  ScratchDirectory const scratch;
  SECTION("missing") {
    Failure const f = opening(scratch / "none");
    CHECK(f.status == 66);
    CHECK(contains(f.message, "No such file"));
  }
  SECTION("directory") {
    Failure const f = opening(scratch.path());
    CHECK(f.status == 66);
    CHECK(contains(f.message, "a directory"));
  }
  SECTION("FIFO, without waiting for a writer") {
    REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
    Failure const f = opening(scratch / "pipe");
    CHECK(f.status == 66);
    CHECK(contains(f.message, "a FIFO"));
  }
  SECTION("socket") {
    int const s = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(s >= 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string const path = (scratch / "sock").string();
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    REQUIRE(::bind(s, reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0);
    Failure const f = opening(path);
    ::close(s);
    CHECK(f.status == 66);
    CHECK(contains(f.message, "a socket"));
  }
  SECTION("device") {
    Failure const f = opening("/dev/zero");
    CHECK(f.status == 66);
    CHECK(contains(f.message, "a character device"));
  }
  SECTION("empty") {
    Failure const f = opening(scratch.write("empty", ""));
    CHECK(f.status == 66);
    CHECK(contains(f.message, "empty"));
  }
  SECTION("sparse, 8 TiB of nothing") {
    fs::path const path = scratch.write("sparse", "");
    if (::truncate(path.c_str(), off_t{8} << 40) != 0) {
      SKIP("the file system has no files of 8 TiB");
    }
    Failure const f = opening(path);
    CHECK(f.status == 66);
    CHECK(contains(f.message, "sparse file of 8796093022208 bytes"));
  }
  SECTION("a link that leads nowhere") {
    fs::create_symlink("none", scratch / "link");
    CHECK(opening(scratch / "link").status == 66);
  }
  SECTION("a link in a circle") {
    fs::create_symlink("circle", scratch / "circle");
    CHECK(opening(scratch / "circle").status == 66);
  }
  SECTION("no permission") {
    fs::permissions(scratch.write("secret", "x"), fs::perms::none);
    bool const root = ::geteuid() == 0;  // root may read everything
    if (root && ::seteuid(65534) != 0) {
      SKIP("cannot become another user");
    }
    Failure const f = opening(scratch / "secret");
    if (root) {
      REQUIRE(::seteuid(0) == 0);
    }
    CHECK(f.status == 77);
    CHECK(contains(f.message, "Permission denied"));
  }
}

TEST_CASE("reads are exact") {
  ScratchDirectory const scratch;
  std::string const content = "0123456789";
  io::InputFile const file(scratch.write("data", content));
  CHECK(file.size() == 10);
  std::array<std::byte, 4> buffer{};
  file.read_exact(6, buffer);
  CHECK(std::memcmp(buffer.data(), "6789", 4) == 0);
  file.read_exact(10, std::span<std::byte>());
  for (std::uint64_t const offset : {std::uint64_t{7}, std::uint64_t{11}, ~std::uint64_t{0}}) {
    auto const failure = failure_of([&] { file.read_exact(offset, buffer); });
    REQUIRE(failure);
    CHECK(failure->status == 74);
  }
}

TEST_CASE("a file that changes after opening ends with 74") {
  ScratchDirectory const scratch;
  fs::path const path = scratch.write("data", std::string(100, 'x'));
  io::InputFile const file(path);
  file.expect_unchanged();
  std::array<std::byte, 50> buffer{};
  SECTION("shrinks below the range") {
    fs::resize_file(path, 60);
    auto const failure = failure_of([&] { file.read_exact(50, buffer); });
    REQUIRE(failure);
    CHECK(failure->code == "short-read");
    CHECK(failure->status == 74);
    CHECK(contains(failure->message, "byte 60"));
  }
  SECTION("shrinks elsewhere") {
    fs::resize_file(path, 60);
    auto const failure = failure_of([&] { file.read_exact(0, buffer); });
    REQUIRE(failure);
    CHECK(failure->code == "file-changed");
    CHECK(failure->status == 74);
  }
  SECTION("grows") {
    std::ofstream(path, std::ios::app) << "y";
    auto const failure = failure_of([&] { file.read_exact(0, buffer); });
    REQUIRE(failure);
    CHECK(failure->code == "file-changed");
    CHECK(failure->status == 74);
    CHECK(contains(failure->message, "101 bytes, expected 100 bytes"));
  }
  SECTION("is written without changing its size") {
    fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(3));
    file.read_exact(0, buffer);
    auto const failure = failure_of([&] { file.expect_unchanged(); });
    REQUIRE(failure);
    CHECK(failure->status == 74);
  }
  SECTION("is replaced by another of the same name: the opened one stays whole") {
    scratch.write("new", "short");
    fs::rename(scratch / "new", path);
    file.read_exact(0, buffer);
    file.expect_unchanged();
  }
}

TEST_CASE("identity follows the file, not its name") {
  ScratchDirectory const scratch;
  fs::path const path = scratch.write("data", "x");
  fs::create_symlink("data", scratch / "soft");
  fs::create_hard_link(path, scratch / "hard");
  io::InputFile const file(path);
  CHECK(same_file(file.identity(), io::InputFile(scratch / "soft").identity()));
  CHECK(same_file(file.identity(), io::InputFile(scratch / "hard").identity()));
  CHECK_FALSE(same_file(file.identity(), io::InputFile(scratch.write("other", "x")).identity()));
}

TEST_CASE("many threads read one file") {
  ScratchDirectory const scratch;
  std::string content(1 << 20, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i * 2654435761U >> 13);
  }
  io::InputFile const file(scratch.write("data", content));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> buffer(4096);
      for (std::size_t k = t; k < 256; k += 3) {
        file.read_exact(k * 4096, buffer);
        wrong += std::memcmp(buffer.data(), content.data() + k * 4096, 4096) != 0 ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
}

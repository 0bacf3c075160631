// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/safetensors_writer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::contains;
using dashi::reader_test::contents;
using dashi::reader_test::failure_of;
using dashi::reader_test::ScratchDirectory;

namespace {

SafetensorsLayout small_layout() {
  return SafetensorsLayout({{"w", Dtype::f32, {5}}, {"b", Dtype::u8, {3}}}, {{"k", "v"}});
}

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<std::byte>((i * 7 + seed) & 0xffU);
  }
  return out;
}

}  // namespace

TEST_CASE("a written file is read back by the strict reader") {
  ScratchDirectory const folder;
  auto const path = folder / "a.safetensors";
  SafetensorsWriter writer(path, small_layout());
  writer.write(1, 0, pattern(3, 1));
  writer.write(0, 8, pattern(12, 2));
  writer.write(0, 0, pattern(8, 3));
  writer.write(0, 20, {});
  CHECK_FALSE(std::filesystem::exists(path));
  writer.commit();
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);

  SafetensorsFile const file(path);
  CHECK(file.header().warnings.empty());
  std::vector<std::byte> data(20);
  file.read(*file.header().find("w"), 0, data);
  auto expected = pattern(8, 3);
  auto const rest = pattern(12, 2);
  expected.insert(expected.end(), rest.begin(), rest.end());
  CHECK(data == expected);
}

TEST_CASE("the bytes of a file do not depend on who writes what when") {
  ScratchDirectory const folder;
  constexpr std::size_t size = 100'000;
  constexpr std::size_t chunk = 1000;
  auto const data = pattern(size, 5);
  auto const layout = [] {
    return SafetensorsLayout({{"a", Dtype::u8, {size}}, {"b", Dtype::f64, {size / 8}}});
  };
  for (std::size_t const threads : {1U, 4U}) {
    SafetensorsWriter writer(folder / std::to_string(threads), layout(),
                             {.named_temporary = threads == 4});
    std::vector<std::thread> team;
    for (std::size_t t = 0; t < threads; ++t) {
      team.emplace_back([&, t] {
        for (std::size_t tensor = 0; tensor < 2; ++tensor) {
          for (std::size_t at = t * chunk; at < size; at += threads * chunk) {
            writer.write(tensor, at, std::span(data).subspan(at, chunk));
          }
        }
      });
    }
    for (std::thread& thread : team) {
      thread.join();
    }
    writer.commit();
  }
  CHECK(contents(folder / "1") == contents(folder / "4"));
  CHECK(contents(folder / "1").size() == 4096 + 2 * size);
}

TEST_CASE("a byte that is never written stops the commit") {
  ScratchDirectory const folder;
  {
    SafetensorsWriter writer(folder / "a", small_layout());
    writer.write(0, 0, pattern(20, 1));
    writer.write(1, 0, pattern(1, 1));
    writer.write(1, 2, pattern(1, 1));
    auto const failure = failure_of([&] { writer.commit(); });
    REQUIRE(failure);
    CHECK(failure->status == 70);
    CHECK(contains(failure->message, "'b' was not written from byte 1"));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a byte that is written twice, or beyond its tensor, is refused") {
  ScratchDirectory const folder;
  SafetensorsWriter writer(folder / "a", small_layout());
  writer.write(0, 4, pattern(4, 1));
  CHECK(failure_of([&] { writer.write(0, 7, pattern(2, 1)); })->status == 70);
  CHECK(failure_of([&] { writer.write(0, 16, pattern(5, 1)); })->status == 70);
  CHECK(failure_of([&] { writer.write(0, ~std::uint64_t{0}, pattern(2, 1)); })->status == 70);
  CHECK(failure_of([&] { writer.write(2, 0, pattern(1, 1)); })->status == 70);
}

TEST_CASE("a file without tensors, and one with only empty ones, can be written") {
  ScratchDirectory const folder;
  SafetensorsWriter none(folder / "none", SafetensorsLayout({}));
  none.commit();
  CHECK(SafetensorsFile(folder / "none").header().tensors.empty());
  SafetensorsWriter empty(folder / "empty", SafetensorsLayout({{"e", Dtype::f32, {0}}}));
  empty.commit();
  CHECK(SafetensorsFile(folder / "empty").header().tensors.size() == 1);
}

TEST_CASE("metadata that are known after the data are in the file") {
  ScratchDirectory const folder;
  SafetensorsWriter writer(folder / "a", small_layout());
  writer.write(0, 0, pattern(20, 1));
  writer.write(1, 0, pattern(3, 1));
  writer.replace_metadata({{"k", "w"}});
  writer.commit();
  CHECK(SafetensorsFile(folder / "a").header().metadata.at("k") == "w");
}

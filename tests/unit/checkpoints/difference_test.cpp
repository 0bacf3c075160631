// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/difference.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <merge_files.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace dashi;
using test::file_tensor;

/// A checkpoint with one F32 tensor "w".
io::Checkpoint one(std::filesystem::path const& path, std::vector<float> const& values) {
  test::write_member(path, {file_tensor("w", io::Dtype::f32, {values.size()}, values)});
  return io::Checkpoint(path);
}

TEST_CASE("the norms of a difference are those of the definition", "[checkpoints]") {
  std::vector<double> a{3, -4, 0};
  std::vector<double> b{3, -1, 4};
  auto const norms = checkpoints::difference_norms(a, b);
  CHECK(norms.max_abs == 4);
  CHECK(norms.l2 == 5);
  CHECK(norms.l2_first == 5);
  CHECK(norms.relative() == 1);
}

TEST_CASE("norms neither overflow nor vanish on the way", "[checkpoints]") {
  for (double const scale : {1e300, 1e-300, 1e-310}) {
    std::vector<double> a{3 * scale, 4 * scale};
    std::vector<double> b{0, 0};
    auto const norms = checkpoints::difference_norms(a, b);
    CHECK(std::abs(norms.l2 / (5 * scale) - 1) < 1e-12);
  }
}

TEST_CASE("equal infinities are equal, other numbers that are not finite are left out",
          "[checkpoints]") {
  double const inf = std::numeric_limits<double>::infinity();
  std::vector<double> a{inf, inf, std::nan(""), 1};
  std::vector<double> b{inf, -inf, 1, 2};
  auto const norms = checkpoints::difference_norms(a, b);
  CHECK(norms.nonfinite == 2);
  CHECK(norms.max_abs == 1);
  CHECK(norms.l2_first == 1);
}

TEST_CASE("relative to nothing is infinite", "[checkpoints]") {
  CHECK(std::isinf(checkpoints::DifferenceNorms{.max_abs = 1, .l2 = 1}.relative()));
  CHECK(checkpoints::DifferenceNorms{}.relative() == 0);
}

TEST_CASE("narrow dtypes widen exactly", "[checkpoints]") {
  std::vector<std::int8_t> const bytes{-128, 127};
  std::vector<double> out(2);
  checkpoints::widen_to_double(io::Dtype::i8, std::as_bytes(std::span(bytes)).data(), out);
  CHECK(out == std::vector<double>{-128, 127});
  std::vector<std::uint8_t> const tiny{0x01, 0xfe};  // the smallest, minus the largest
  checkpoints::widen_to_double(io::Dtype::f8_e4m3, std::as_bytes(std::span(tiny)).data(), out);
  CHECK(out == std::vector<double>{0x1p-9, -448});
}

TEST_CASE("threads and memory do not change a digit of a difference", "[checkpoints]") {
  merging::PrivateFolder const folder{std::filesystem::temp_directory_path()};
  std::size_t const size = 3 * checkpoints::detail::compared_elements + 17;
  auto const a = one(folder.path() / "a.safetensors", test::random_floats(size, 1));
  auto const b = one(folder.path() / "b.safetensors", test::random_floats(size, 2));
  auto const first = checkpoints::difference(a, b, {.workers = 1});
  auto const second =
      checkpoints::difference(a, b, {.workers = 3, .memory_budget = 3 * checkpoints::worker_bytes});
  REQUIRE(first.common.size() == 1);
  CHECK(first.common[0].norms->l2 == second.common[0].norms->l2);
  CHECK(first.common[0].norms->max_abs == second.common[0].norms->max_abs);
  CHECK(first.common[0].different == second.common[0].different);
  CHECK(first.common[0].different > size - 10);
  CHECK_FALSE(first.same_content());
  CHECK(checkpoints::difference(a, a).same_content());
}

TEST_CASE("one element in the last piece is found", "[checkpoints]") {
  merging::PrivateFolder const folder{std::filesystem::temp_directory_path()};
  std::vector<float> values(2 * checkpoints::detail::compared_elements + 1, 1);
  auto const a = one(folder.path() / "a.safetensors", values);
  values.back() = 1.5F;
  auto const b = one(folder.path() / "b.safetensors", values);
  auto const found = checkpoints::difference(a, b);
  CHECK(found.common[0].different == 1);
  CHECK(found.common[0].norms->max_abs == 0.5);
  CHECK_FALSE(found.common[0].equal());
}

TEST_CASE("a budget without room for one worker is refused", "[checkpoints]") {
  CHECK_THROWS_AS(checkpoints::workers_within({.workers = 1, .memory_budget = 1000}), UsageError);
}

}  // namespace

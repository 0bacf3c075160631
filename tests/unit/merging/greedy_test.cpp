// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/merge_files.hpp"

#include <dashi/merging/greedy.hpp>
#include <dashi/merging/merge.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::merging;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using io::Dtype;

namespace {

std::vector<MergeMember> members(std::filesystem::path const& folder,
                                 std::vector<float> const& values) {
  std::vector<MergeMember> out;
  for (float const value : values) {
    std::string const name = std::string(1, static_cast<char>('a' + out.size())) + ".safetensors";
    out.push_back(
        write_member(folder / name, {file_tensor("x", Dtype::f32, {1}, std::vector{value})}));
  }
  return out;
}

/// The nearer x is to 10, the better.
double near_ten(std::filesystem::path const& path) {
  return -std::abs(static_cast<double>(read_values<float>(io::Checkpoint(path), "x")[0]) - 10);
}

}  // namespace

TEST_CASE("a greedy soup takes members by falling score while the score does not fall") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  // Scores alone: a -6, b -1, c -3, d -20, e -1. Best first: b, e (equal, as given), c, a, d.
  // b = 11; b+e = 10 better, kept; b+e+c = 33/3 = 11 worse; b+e+a = 36/3 = 12 worse; d: worse.
  auto const list = members(folder.path(), {16, 11, 13, 30, 9});
  std::vector<GreedyStep> steps;
  std::vector<std::filesystem::path> candidates;
  Greedy const greedy{.score =
                          [&](std::filesystem::path const& path) {
                            candidates.push_back(path);
                            return near_ten(path);
                          },
                      .scratch = folder.path(),
                      .report = [&](GreedyStep const& step) { steps.push_back(step); }};
  merge(greedy, list, folder.path() / "out.safetensors");
  io::Checkpoint const merged(folder.path() / "out.safetensors");
  CHECK(read_values<float>(merged, "x") == std::vector{10.0F});
  std::string const recipe = merged.metadata().at("dashi.recipe");
  CHECK_THAT(recipe, ContainsSubstring("\"method\":\"greedy\"") &&
                         ContainsSubstring("b.safetensors") && ContainsSubstring("e.safetensors") &&
                         !ContainsSubstring("a.safetensors"));

  REQUIRE(steps.size() == 5);
  std::vector<std::size_t> order;
  std::vector<bool> kept;
  for (GreedyStep const& step : steps) {
    order.push_back(step.member);
    kept.push_back(step.kept);
  }
  CHECK(order == std::vector<std::size_t>{1, 4, 2, 0, 3});
  CHECK(kept == std::vector<bool>{true, true, false, false, false});
  CHECK(steps[0].own_score == -1);
  CHECK(steps[1].soup_score == 0);
  CHECK(steps[2].own_score == -3);
  CHECK(steps[2].soup_score == -1);
  CHECK(candidates.size() == 9);
  CHECK(names_in(folder.path()).size() == 6);  // no candidate is left
}

TEST_CASE("an equal score keeps the member") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const list = members(folder.path(), {1, 2, 3});
  Greedy const greedy{.score = [](std::filesystem::path const&) { return 0.5; },
                      .scratch = folder.path()};
  CHECK(greedy.weights(list) == std::vector<DecimalWeight>(3));
}

TEST_CASE("one member is a greedy soup, none is not") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  Greedy const greedy{.score = near_ten, .scratch = folder.path()};
  merge(greedy, members(folder.path(), {4}), folder.path() / "out.safetensors");
  CHECK(read_values<float>(io::Checkpoint(folder.path() / "out.safetensors"), "x") ==
        std::vector{4.0F});
  CHECK_THROWS_AS(merge(greedy, {}, folder.path() / "two.safetensors"), UsageError);
}

TEST_CASE("candidates are what will be published: rounded, under our names") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto list = members(folder.path(), {1.0009765F, 2});
  list[1] = write_member(folder.path() / "b.safetensors",
                         {file_tensor("y", Dtype::f32, {1}, std::vector{2.0F})});
  list[1].keys = KeyMap(KeyMap::Entries{{"y", "x"}});
  std::vector<std::string> dtypes;
  Greedy const greedy{.score =
                          [&](std::filesystem::path const& path) {
                            io::Checkpoint const checkpoint(path);
                            dtypes.emplace_back(io::name(checkpoint.find("x")->info.dtype));
                            return 0.0;
                          },
                      .scratch = folder.path(),
                      .options = {.dtype = Dtype::bf16}};
  greedy.weights(list);
  CHECK(dtypes == std::vector<std::string>{"BF16", "BF16", "BF16"});
}

TEST_CASE("a score that says nothing stops the soup") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto list = members(folder.path(), {1, 2});
  Greedy greedy{.score = [](auto const&) { return std::numeric_limits<double>::quiet_NaN(); },
                .scratch = folder.path()};
  CHECK_THROWS_MATCHES(merge(greedy, list, folder.path() / "out.safetensors"), FormatError,
                       MessageMatches(ContainsSubstring("score: NaN")));
  greedy.score = [](auto const&) { return -std::numeric_limits<double>::infinity(); };
  CHECK_THROWS_MATCHES(merge(greedy, list, folder.path() / "out.safetensors"), FormatError,
                       MessageMatches(ContainsSubstring("score: -infinity")));
  greedy.score = [](auto const&) -> double { throw std::runtime_error("no score"); };
  CHECK_THROWS_WITH(merge(greedy, list, folder.path() / "out.safetensors"), "no score");
  greedy.score = near_ten;
  list[0].weight = parse_weight("2");
  CHECK_THROWS_AS(merge(greedy, list, folder.path() / "out.safetensors"), UsageError);
  list[0].weight = {};
  greedy.scratch = folder.path() / "nowhere";
  CHECK_THROWS_AS(merge(greedy, list, folder.path() / "out.safetensors"), IoError);
  CHECK(names_in(folder.path()).size() == 2);
}

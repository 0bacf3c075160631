// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Members that lack tensors, and weights that differ by tensor, against merges of files in which
// nothing is missing.
#include "support/merge_files.hpp"

#include <dashi/merging/greedy.hpp>
#include <dashi/merging/merge.hpp>
#include <dashi/merging/uniform.hpp>
#include <dashi/merging/weighted.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::merging;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using io::Dtype;

namespace {

using Tensors = std::vector<FileTensor>;

/// Many small tensors, which share segments, and two that need several chunks.
Tensors all_tensors(unsigned seed) {
  Tensors out;
  for (unsigned i = 0; i < 40; ++i) {
    std::string const name = "small." + std::to_string(i);
    out.push_back(i % 2 == 0
                      ? file_tensor(name, Dtype::f32, {5}, random_floats(5, seed + 7 * i))
                      : file_tensor(name, Dtype::f16, {10}, random_halves(10, 0x7c00, seed + i)));
  }
  out.push_back(file_tensor("empty", Dtype::f32, {0, 3}, std::vector<float>{}));
  out.push_back(file_tensor("large", Dtype::f32, {70'001}, random_floats(70'001, seed + 50)));
  out.push_back(file_tensor("huge", Dtype::bf16, {90'001}, random_halves(90'001, 0x7f80, seed)));
  out.push_back(file_tensor("steps", Dtype::i64, {2}, std::vector<std::int64_t>{7, -1}));
  return out;
}

/// What stands in a full file for a tensor that a member lacks.
FileTensor substitute(FileTensor tensor, OnMissing policy, Tensors const& base) {
  if (policy == OnMissing::zero) {
    std::fill(tensor.bytes.begin(), tensor.bytes.end(), std::byte{0});
    return tensor;
  }
  return *std::find_if(base.begin(), base.end(), [&](auto& b) { return b.name == tensor.name; });
}

std::vector<std::byte> bytes_of(io::Checkpoint const& file, std::string const& name) {
  return read_values<std::byte>(file, name);
}

MergeOptions options_for(OnMissing policy) {
  return {.overflow = OverflowPolicy::propagate,
          .on_missing = policy,
          .workers = 2,
          .chunk_bytes = 16 << 10};
}

/// Three members, of which each tensor is missing in some; "kept" says in which it is there.
struct Incomplete {
  TestFolder folder;
  std::array<char const*, 3> weights{"0.25", "1", "-0.125"};
  std::vector<Tensors> full{all_tensors(1), all_tensors(2), all_tensors(3)};
  Tensors base = all_tensors(4);
  std::vector<std::array<bool, 3>> kept;
  std::vector<MergeMember> members;

  explicit Incomplete(bool integers_too) {
    std::mt19937 random(11);
    std::array<Tensors, 3> cut;
    for (std::size_t t = 0; t < base.size(); ++t) {
      std::array<bool, 3> there{true, true, true};
      if (base[t].dtype != Dtype::i64 || integers_too) {
        unsigned const mask =
            base[t].name == "large" ? 1U : 1 + static_cast<unsigned>(random() % 7);
        there = {(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
        if (there == std::array{false, false, true}) {
          there[1] = true;  // the total of the weights stays positive
        }
      }
      for (std::size_t m = 0; m < 3; ++m) {
        if (there[m]) {
          cut[m].push_back(full[m][t]);
        }
      }
      kept.push_back(there);
    }
    for (std::size_t m = 0; m < 3; ++m) {
      members.push_back(write_member(folder / ("m" + std::to_string(m)), cut[m], weights[m]));
    }
  }
  MergeMember base_member() const { return write_member(folder / "base", base); }
};

/// How many tensors of `merged` differ from a plain merge of files without gaps.
std::size_t wrong_tensors(Incomplete const& in, io::Checkpoint const& merged, OnMissing policy) {
  std::size_t wrong = 0;
  for (std::size_t t = 0; t < in.base.size(); ++t) {
    std::vector<MergeMember> plain;
    for (std::size_t m = 0; m < 3; ++m) {
      if (policy == OnMissing::skip && !in.kept[t][m]) {
        continue;
      }
      FileTensor const tensor =
          in.kept[t][m] ? in.full[m][t] : substitute(in.full[m][t], policy, in.base);
      plain.push_back(
          write_member(in.folder / ("plain" + std::to_string(m)), {tensor}, in.weights[m]));
    }
    MergeOptions options = options_for(OnMissing::error);
    options.allow_duplicate = true;
    merge(Weighted{}, plain, in.folder / "expected", options, {.force = true});
    wrong += bytes_of(io::Checkpoint(in.folder / "expected"), in.base[t].name) ==
                     bytes_of(merged, in.base[t].name)
                 ? 0U
                 : 1U;
  }
  return wrong;
}

/// Says how many members it was given.
struct CountMembers {
  static constexpr MergeTraits traits{.form = MergeForm::element};
  static constexpr std::string_view name = "count";
  void merge(MergeInput const& in, std::span<double> out) const {
    double total = 0;
    for (std::size_t m = 0; m < in.members(); ++m) {
      total += in.weight(m);
    }
    std::fill(out.begin(), out.end(), total);
  }
};

}  // namespace

TEST_CASE("what stands for missing tensors gives the bits of a merge without gaps") {
  OnMissing const policy = GENERATE(OnMissing::skip, OnMissing::zero, OnMissing::keep_base);
  CAPTURE(name(policy));
  Incomplete const in(policy != OnMissing::zero);
  std::optional<MergeMember> base;
  if (policy == OnMissing::keep_base) {
    base = in.base_member();
  }
  MergePlan const plan = plan_strategy(Weighted{}, in.members, options_for(policy), base);
  CHECK(plan.incomplete > 20);
  MergeResult const result = publish_mean(plan, in.folder / "out");
  if (base) {
    MergeResult const alone = publish_mean(plan_mean({*base}), in.folder / "alone");
    CHECK(result.digests.back() == alone.digests[0]);
  }
  io::Checkpoint const merged(in.folder / "out");
  CHECK(merged.tensors().size() == in.base.size());
  CHECK(wrong_tensors(in, merged, policy) == 0);
  CHECK_THAT(merged.metadata().at("dashi.recipe"),
             ContainsSubstring("\"on_missing\":\"" + std::string(name(policy)) + "\""));
  for (std::size_t m = 0; m < 3; ++m) {  // as if nothing were missing anywhere
    MergeMember member = in.members[m];
    member.weight = parse_weight("1");
    MergeResult const alone =
        publish_mean(plan_mean({member}), in.folder / "alone", {.force = true});
    CHECK(result.digests[m] == alone.digests[0]);
  }
}

TEST_CASE("weights by tensor give the bits of a merge with those weights") {
  TestFolder const folder;
  std::vector<Tensors> const files{all_tensors(1), all_tensors(2)};
  auto const open = [&](char const* a, char const* b) {
    return std::vector{write_member(folder / "a", files[0], a),
                       write_member(folder / "b", files[1], b)};
  };
  std::vector<MergeMember> ruled = open("0.5", "0.5");
  ruled[0].rules = {{"small.1", parse_weight("0.75")}, {"e", parse_weight("2")}};
  ruled[1].rules = {{"large", parse_weight("0")}};
  MergeOptions const options = options_for(OnMissing::error);
  merge(Weighted{}, ruled, folder / "out", options);
  io::Checkpoint const merged(folder / "out");
  auto const expect = [&](char const* a, char const* b, std::string const& name) {
    merge(Weighted{}, open(a, b), folder / "expected", options, {.force = true});
    CAPTURE(name);
    CHECK(bytes_of(merged, name) == bytes_of(io::Checkpoint(folder / "expected"), name));
  };
  expect("0.75", "0.5", "small.1");
  expect("0.75", "0.5", "small.12");
  expect("0.5", "0.5", "small.2");
  expect("2", "0.5", "huge");
  expect("2", "0", "large");
  CHECK_THAT(merged.metadata().at("dashi.recipe"),
             ContainsSubstring("\"weight\":\"0.5\",\"weights\":[{\"filter\":\"small.1\",\"weight\":"
                               "\"0.75\"},{\"filter\":\"e\",\"weight\":\"2\"}]"));
  ruled[0].rules = {{"small.2", parse_weight("-0.5")}};
  CHECK_THROWS_MATCHES(plan_mean(ruled, options), UsageError,
                       MessageMatches(ContainsSubstring("'small.2'")));
}

TEST_CASE("a strategy of elements sees the members that have a tensor") {
  Incomplete const in(true);
  merge(CountMembers{}, in.members, in.folder / "out", options_for(OnMissing::skip));
  io::Checkpoint const merged(in.folder / "out");
  for (std::size_t t = 0; t < in.base.size(); t += 2) {
    if (in.base[t].dtype == Dtype::f32 && !in.base[t].bytes.empty()) {
      double const expected =
          (in.kept[t][0] ? 0.25 : 0) + (in.kept[t][1] ? 1 : 0) - (in.kept[t][2] ? 0.125 : 0);
      CHECK(read_values<float>(merged, in.base[t].name)[0] == static_cast<float>(expected));
    }
  }
}

TEST_CASE("a tensor that nothing can stand for is refused by name") {
  TestFolder const folder;
  auto const one = [&](char const* file, std::vector<std::string> const& names) {
    Tensors tensors;
    for (std::string const& name : names) {
      tensors.push_back(name == "steps"
                            ? file_tensor(name, Dtype::i64, {1}, std::vector<std::int64_t>{1})
                            : file_tensor(name, Dtype::f32, {1}, std::vector<float>{1}));
    }
    return write_member(folder / file, tensors);
  };
  std::vector<MergeMember> const members{one("a", {"x", "steps"}), one("b", {"x"})};
  auto const plan = [&](OnMissing policy, std::optional<MergeMember> base = {}) {
    plan_strategy(Weighted{}, members, options_for(policy), base);
  };
  CHECK_THROWS_MATCHES(plan(OnMissing::error), FormatError,
                       MessageMatches(ContainsSubstring("--on-missing")));
  CHECK_THROWS_MATCHES(plan(OnMissing::zero), FormatError,
                       MessageMatches(ContainsSubstring("'steps'") && ContainsSubstring("I64")));
  CHECK_THROWS_MATCHES(plan(OnMissing::keep_base, one("base", {"x"})), FormatError,
                       MessageMatches(ContainsSubstring("in the base too")));
  CHECK_NOTHROW(plan(OnMissing::keep_base, one("base", {"x", "steps", "only here"})));
  CHECK_NOTHROW(plan(OnMissing::skip));
  CHECK_THROWS_AS(plan(OnMissing::keep_base), UsageError);                 // no base
  CHECK_THROWS_AS(plan(OnMissing::skip, one("base", {"x"})), UsageError);  // no need for it
  CHECK_THROWS_AS(plan_mean(members, options_for(OnMissing::keep_base)), UsageError);
}

namespace {

FileTensor floats(std::string name, std::vector<float> const& values) {
  return file_tensor(std::move(name), Dtype::f32, {values.size()}, values);
}
FileTensor integers(std::string name, std::vector<std::int64_t> const& values) {
  return file_tensor(std::move(name), Dtype::i64, {values.size()}, values);
}

}  // namespace

TEST_CASE("a base stands for what is missing and says nothing of other tensors") {
  TestFolder const folder;
  std::vector const members{
      write_member(folder / "a", {floats("x", {1, 2}), integers("steps", {7}), floats("y", {5})}),
      write_member(folder / "b", {floats("x", {3, 4}), integers("steps", {7})})};
  MergeMember const base = write_member(
      folder / "base",
      {floats("x", {1, 2, 3}), integers("steps", {0}), floats("y", {9}), floats("extra", {4})});
  merge(Weighted{}, members, folder / "out", options_for(OnMissing::keep_base), {}, base);
  io::Checkpoint const merged(folder / "out");
  CHECK(read_values<float>(merged, "x") == std::vector<float>{2, 3});
  CHECK(read_values<float>(merged, "y") == std::vector<float>{7});
  CHECK(read_values<float>(merged, "extra") == std::vector<float>{4});
  CHECK(read_values<std::int64_t>(merged, "steps") == std::vector<std::int64_t>{7});
}

TEST_CASE("where nothing is missing no policy changes a byte") {
  TestFolder const folder;
  std::vector const members{write_member(folder / "a", {floats("x", {1})}),
                            write_member(folder / "b", {floats("x", {2})})};
  merge(Weighted{}, members, folder / "plain", options_for(OnMissing::error));
  OnMissing const policy = GENERATE(OnMissing::skip, OnMissing::zero, OnMissing::keep_base);
  std::optional<MergeMember> base;
  if (policy == OnMissing::keep_base) {
    base = write_member(folder / "base", {floats("x", {3})});
  }
  merge(Weighted{}, members, folder / "out", options_for(policy), {}, base);
  CHECK(file_bytes(folder / "out") == file_bytes(folder / "plain"));
}

TEST_CASE("faults are told apart where members lack tensors") {
  TestFolder const folder;
  float const nan = std::numeric_limits<float>::quiet_NaN();
  MergeOptions options = options_for(OnMissing::skip);
  options.overflow = OverflowPolicy::error;
  auto const mean = [&](FileTensor b, FileTensor c) {
    std::vector const members{write_member(folder / "a", {floats("x", {1})}),
                              write_member(folder / "b", {floats("x", {2}), std::move(b)}),
                              write_member(folder / "c", {floats("x", {3}), std::move(c)})};
    merge(Weighted{}, members, folder / "out", options, {.force = true});
  };
  CHECK_THROWS_MATCHES(mean(floats("y", {1}), floats("y", {nan})), FormatError,
                       MessageMatches(ContainsSubstring("/c: tensor 'y' element 0")));
  CHECK_THROWS_MATCHES(mean(integers("n", {1}), integers("n", {2})), FormatError,
                       MessageMatches(ContainsSubstring("/c: tensor 'n'") &&
                                      ContainsSubstring("than in") && ContainsSubstring("/b;")));
  options.overflow = OverflowPolicy::saturate;
  options.dtype = Dtype::f16;
  mean(floats("y", {1e6F}), floats("z", {-1e6F}));
  io::Checkpoint const merged(folder / "out");
  CHECK(read_values<std::uint16_t>(merged, "y") == std::vector<std::uint16_t>{0x7bff});
  CHECK(read_values<std::uint16_t>(merged, "z") == std::vector<std::uint16_t>{0xfbff});
}

TEST_CASE("a greedy soup scores models with the tensors of the base") {
  TestFolder const folder;
  std::vector const members{write_member(folder / "a", {floats("x", {1}), floats("y", {5})}),
                            write_member(folder / "b", {floats("x", {3})})};
  std::vector<float> seen;
  Greedy greedy;
  greedy.scratch = folder.folder.path();
  greedy.options = options_for(OnMissing::keep_base);
  greedy.base = write_member(folder / "base", {floats("x", {0}), floats("y", {9})});
  greedy.score = [&](std::filesystem::path const& path) {
    io::Checkpoint const candidate(path);
    seen.push_back(read_values<float>(candidate, "y")[0]);
    return 1.0;
  };
  merge(greedy, members, folder / "out", greedy.options, {}, greedy.base);
  CHECK(seen == std::vector<float>{5, 9, 7});
  greedy.options.on_missing = OnMissing::zero;
  greedy.base.reset();
  CHECK_THROWS_AS(merge(greedy, members, folder / "out", greedy.options), UsageError);
}

TEST_CASE("weights by tensor are for the weighted mean") {
  TestFolder const folder;
  std::vector members{write_member(folder / "a", {floats("x", {1})}),
                      write_member(folder / "b", {floats("x", {2})})};
  members[1].rules = {{"x", parse_weight("2")}};
  CHECK_NOTHROW(plan_strategy(Weighted{}, members));
  CHECK_THROWS_AS(plan_strategy(Uniform{}, members), UsageError);
  CHECK(uses_of_rules(members[1], plan_strategy(Weighted{}, members).tensors) ==
        std::vector<std::size_t>{1});
}

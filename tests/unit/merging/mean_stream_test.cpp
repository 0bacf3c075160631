// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "reference/exact_mean.hpp"
#include "support/merge_files.hpp"

#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/merging/mean_stream.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::merging;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using io::Dtype;

namespace {

constexpr std::uint64_t large = 100'003;  // more than one chunk of any size used here

/// Tensors of every averaged dtype, large and small, scalars, empty ones, and some that are copied.
std::vector<FileTensor> tensors(unsigned seed) {
  std::vector<FileTensor> out;
  out.push_back(file_tensor("half", Dtype::f16, {large}, random_halves(large, 0x7c00, seed)));
  out.push_back(file_tensor("brain", Dtype::bf16, {large}, random_halves(large, 0x7f80, seed + 1)));
  out.push_back(file_tensor("single", Dtype::f32, {7, 11}, random_floats(77, seed + 2)));
  std::vector<double> doubles;
  for (float value : random_floats(5000, seed + 3)) {
    doubles.push_back(static_cast<double>(value) / 3);
  }
  out.push_back(file_tensor("double", Dtype::f64, {5000}, doubles));
  for (int i = 0; i < 40; ++i) {
    out.push_back(
        file_tensor("small." + std::to_string(i), Dtype::f32, {}, random_floats(1, seed + 9)));
  }
  out.push_back(file_tensor("empty", Dtype::f32, {0, 3}, std::vector<float>{}));
  out.push_back(file_tensor("steps", Dtype::i64, {2}, std::vector<std::int64_t>{7, -1}));
  out.push_back(file_tensor("mask", Dtype::boolean, {3}, std::vector<std::uint8_t>{1, 0, 1}));
  out.push_back(file_tensor("tiny", Dtype::f4, {6}, std::vector<std::uint8_t>{1, 2, 3}));
  return out;
}

template <class T>
std::size_t wrong_means(std::string const& name, std::vector<MergeMember> const& members,
                        io::Checkpoint const& merged) {
  std::vector<std::int64_t> const weights = [&] {
    std::vector<DecimalWeight> w;
    for (auto const& member : members) {
      w.push_back(member.weight);
    }
    return to_integers(w).values;
  }();
  std::vector<std::vector<T>> values;
  for (auto const& member : members) {
    values.push_back(read_values<T>(*member.checkpoint, name));
  }
  auto const mean = read_values<typename FloatFormat<T>::Bits>(merged, name);
  reference::ExactMean reference;
  std::vector<T> element(members.size());
  std::size_t wrong = mean.size() == values[0].size() ? 0 : 1;
  for (std::size_t e = 0; e < mean.size(); ++e) {
    for (std::size_t m = 0; m < members.size(); ++m) {
      element[m] = values[m][e];
    }
    wrong += reference.bits<T, T>(weights, element) == mean[e] ? 0U : 1U;
  }
  return wrong;
}

/// One tensor `x` of floats a member.
std::vector<MergeMember> float_members(TestFolder const& folder,
                                       std::vector<std::vector<float>> const& values,
                                       std::string const& name = "x") {
  std::vector<MergeMember> out;
  for (auto const& v : values) {
    out.push_back(write_member(folder / ("m" + std::to_string(out.size()) + ".safetensors"),
                               {file_tensor(name, Dtype::f32, {v.size()}, v)}));
  }
  return out;
}

}  // namespace

TEST_CASE("a published mean is exact in every tensor, and copies what is not averaged") {
  TestFolder const folder;
  std::vector<MergeMember> const members{
      write_member(folder / "a.safetensors", tensors(1), "0.3", {{"format", "pt"}, {"step", "1"}}),
      write_member(folder / "b.safetensors", tensors(2), "1.25", {{"format", "pt"}, {"step", "2"}}),
      write_member(folder / "c.safetensors", tensors(3), "-0.5",
                   {{"format", "pt"}, {"step", "1"}})};
  MergeOptions options{.overflow = OverflowPolicy::propagate};
  MeanResult const result = publish_mean(plan_mean(members, options), folder / "out.safetensors");
  io::Checkpoint const merged(folder / "out.safetensors");
  CHECK(merged.tensors().size() == tensors(1).size());
  CHECK(wrong_means<Float16>("half", members, merged) == 0);
  CHECK(wrong_means<BFloat16>("brain", members, merged) == 0);
  CHECK(wrong_means<float>("single", members, merged) == 0);
  CHECK(wrong_means<double>("double", members, merged) == 0);
  for (int i = 0; i < 40; ++i) {
    CHECK(wrong_means<float>("small." + std::to_string(i), members, merged) == 0);
  }
  CHECK(read_values<std::int64_t>(merged, "steps") == std::vector<std::int64_t>{7, -1});
  CHECK(read_values<std::uint8_t>(merged, "mask") == std::vector<std::uint8_t>{1, 0, 1});
  CHECK(read_values<std::uint8_t>(merged, "tiny") == std::vector<std::uint8_t>{1, 2, 3});
  CHECK(merged.find("single")->info.shape == std::vector<std::uint64_t>{7, 11});
  CHECK(merged.find("empty")->info.shape == std::vector<std::uint64_t>{0, 3});

  CHECK(merged.metadata().at("format") == "pt");
  CHECK_FALSE(merged.metadata().contains("step"));
  for (std::size_t m = 0; m < members.size(); ++m) {
    CHECK(result.digests[m] == io::checkpoint_digest<io::Xxh3>(*members[m].checkpoint, 2));
    CHECK_THAT(merged.metadata().at("dashi.recipe"), ContainsSubstring(result.digests[m]));
  }
}

TEST_CASE("order, workers, chunks and memory do not change a byte") {
  TestFolder const folder;
  std::vector<MergeMember> members;
  for (unsigned m = 0; m < 5; ++m) {
    members.push_back(
        write_member(folder / (std::string(1, static_cast<char>('a' + m)) + ".safetensors"),
                     tensors(m), m == 1 ? "0.125" : "3"));
  }
  MergeOptions options{.overflow = OverflowPolicy::propagate, .workers = 1};
  publish_mean(plan_mean(members, options), folder / "first.safetensors");
  std::string const first = file_bytes(folder / "first.safetensors");
  std::vector<MergeMember> const other_order{members[3], members[1], members[4], members[0],
                                             members[2]};
  for (int const workers : {1, 2, 8}) {
    for (std::uint64_t const chunk :
         {std::uint64_t{4096}, std::uint64_t{70'000}, std::uint64_t{1} << 24}) {
      for (auto const& list : {members, other_order}) {
        options.workers = workers;
        options.chunk_bytes = chunk;
        publish_mean(plan_mean(list, options), folder / "again.safetensors", {.force = true});
        REQUIRE(file_bytes(folder / "again.safetensors") == first);
      }
    }
  }
  options.memory_budget = 200'000;
  MeanPlan const plan = plan_mean(members, options);
  CHECK(plan.peak_memory <= 200'000);
  publish_mean(plan, folder / "again.safetensors", {.force = true});
  CHECK(file_bytes(folder / "again.safetensors") == first);
}

TEST_CASE("too small a budget is refused with what is needed") {
  TestFolder const folder;
  auto const members = float_members(folder, {{1}, {2}});
  CHECK_THROWS_MATCHES(plan_mean(members, {.memory_budget = 100}), UsageError,
                       MessageMatches(ContainsSubstring("memory budget of 100 bytes")));
}

TEST_CASE("one member gives exactly its tensors, NaN payloads included") {
  TestFolder const folder;
  std::vector<float> values = random_floats(5000, 4);
  values[7] = -0.0F;
  values[8] = __builtin_bit_cast(float, 0x7f800001U);  // a signalling NaN
  auto const member =
      write_member(folder / "a.safetensors", {file_tensor("x", Dtype::f32, {5000}, values)}, "0.7");
  publish_mean(plan_mean({member}, {.nonfinite = NonfinitePolicy::propagate}),
               folder / "out.safetensors");
  io::Checkpoint const merged(folder / "out.safetensors");
  CHECK(read_values<std::uint32_t>(merged, "x") ==
        read_values<std::uint32_t>(*member.checkpoint, "x"));
}

TEST_CASE("two hundred members are averaged") {
  TestFolder const folder;
  std::vector<MergeMember> members;
  for (unsigned m = 0; m < 200; ++m) {
    members.push_back(
        write_member(folder / (std::to_string(m) + ".safetensors"),
                     {file_tensor("x", Dtype::bf16, {3000}, random_halves(3000, 0x7f80, m))}));
  }
  publish_mean(plan_mean(members), folder / "out.safetensors");
  CHECK(wrong_means<BFloat16>("x", members, io::Checkpoint(folder / "out.safetensors")) == 0);
}

TEST_CASE("members of other dtypes are widened exactly, the output dtype is stated") {
  TestFolder const folder;
  std::vector<float> const values = random_floats(3000, 1);
  std::vector<MergeMember> const members{
      write_member(folder / "a.safetensors",
                   {file_tensor("x", Dtype::f16, {3000}, random_halves(3000, 0x7c00, 5))}),
      write_member(folder / "b.safetensors",
                   {file_tensor("x", Dtype::bf16, {3000}, random_halves(3000, 0x4000, 6))}),
      write_member(folder / "c.safetensors", {file_tensor("x", Dtype::f32, {3000}, values)})};
  CHECK_THROWS_MATCHES(plan_mean(members), FormatError,
                       MessageMatches(ContainsSubstring("give --dtype")));
  CHECK_THROWS_MATCHES(plan_mean(members, {.dtype = Dtype::f32, .strict_dtype = true}), FormatError,
                       MessageMatches(ContainsSubstring("tensor 'x'")));
  CHECK_THROWS_AS(plan_mean(members, {.dtype = Dtype::i32}), UsageError);
  publish_mean(plan_mean(members, {.dtype = Dtype::f64}), folder / "out.safetensors");
  auto const mean = read_values<std::uint64_t>(io::Checkpoint(folder / "out.safetensors"), "x");
  auto const halves = read_values<Float16>(*members[0].checkpoint, "x");
  auto const brains = read_values<BFloat16>(*members[1].checkpoint, "x");
  reference::ExactMean reference;
  std::vector<std::int64_t> const ones{1, 1, 1};
  std::size_t wrong = 0;
  for (std::size_t e = 0; e < 3000; ++e) {
    std::vector<float> const element{convert<float>(halves[e]), convert<float>(brains[e]),
                                     values[e]};
    wrong += reference.bits<float, double>(ones, element) == mean[e] ? 0U : 1U;
  }
  CHECK(wrong == 0);
}

TEST_CASE("names that differ are listed") {
  TestFolder const folder;
  auto const a = write_member(folder / "a.safetensors", tensors(1));
  auto const b = write_member(folder / "b.safetensors", {tensors(2)[0]});
  CHECK_THROWS_MATCHES(
      plan_mean({a, b}), FormatError,
      MessageMatches(ContainsSubstring("b.safetensors") &&
                     ContainsSubstring("without 47 tensors") && ContainsSubstring("'brain'") &&
                     ContainsSubstring("and 27 more")));
}

TEST_CASE("a key map renames a member's tensors") {
  TestFolder const folder;
  auto const a = float_members(folder, {{1, 2}})[0];
  auto b = write_member(folder / "b.safetensors",
                        {file_tensor("y", Dtype::f32, {2}, std::vector<float>{3, 4})});
  b.keys = KeyMap(KeyMap::Entries{{"y", "x"}});
  publish_mean(plan_mean({a, b}), folder / "out.safetensors");
  CHECK(read_values<float>(io::Checkpoint(folder / "out.safetensors"), "x") ==
        std::vector<float>{2, 3});
  b.keys = KeyMap(KeyMap::Entries{{"z", "x"}});
  CHECK_THROWS_MATCHES(plan_mean({a, b}), FormatError,
                       MessageMatches(ContainsSubstring("no tensor 'z'")));
  CHECK_THROWS_AS(KeyMap(KeyMap::Entries{{"y", "x"}, {"z", "x"}}), UsageError);
  auto c = write_member(folder / "c.safetensors",
                        {file_tensor("x", Dtype::f32, {1}, std::vector<float>{3}),
                         file_tensor("y", Dtype::f32, {1}, std::vector<float>{3})});
  c.keys = KeyMap(KeyMap::Entries{{"y", "x"}});
  CHECK_THROWS_MATCHES(plan_mean({c}), FormatError,
                       MessageMatches(ContainsSubstring("both become 'x'")));
}

TEST_CASE("shapes are equal or refused, alpha of one number excepted") {
  TestFolder const folder;
  using Shape = std::vector<std::uint64_t>;
  struct Row {
    std::string name;
    Shape one, two;
    bool fits;
  };
  Row const row = GENERATE(Row{"x", {4}, {4, 1}, false}, Row{"x", {2, 3}, {3, 2}, false},
                           Row{"x", {}, {1}, false}, Row{"x", {1}, {2}, false},
                           Row{"m.alpha", {}, {1}, true}, Row{"alpha", {1}, {}, true},
                           Row{"m.alpha", {1}, {1, 1}, false}, Row{"malpha", {}, {1}, false});
  auto const member = [&](char const* file, Shape const& shape) {
    std::uint64_t count = 1;
    for (auto const extent : shape) {
      count *= extent;
    }
    return write_member(folder / file, {file_tensor(row.name, Dtype::f32, shape,
                                                    random_floats(count, file[0] == 'a' ? 1 : 2))});
  };
  auto const a = member("a.safetensors", row.one);
  auto const b = member("b.safetensors", row.two);
  if (row.fits) {
    CHECK(plan_mean({a, b}).tensors[0].shape.empty());
    CHECK(plan_mean({b, a}).tensors[0].shape.empty());
  } else {
    CHECK_THROWS_MATCHES(
        plan_mean({a, b}), FormatError,
        MessageMatches(ContainsSubstring("b.safetensors: tensor '" + row.name + "'") &&
                       ContainsSubstring(io::shape_text(row.one)) &&
                       ContainsSubstring(io::shape_text(row.two))));
  }
}

TEST_CASE("copied tensors that differ are named and nothing is published") {
  TestFolder const folder;
  auto changed = tensors(2);
  changed[changed.size() - 3].bytes[0] = std::byte{9};  // steps
  changed.back().bytes[2] = std::byte{9};               // tiny
  auto const a = write_member(folder / "a.safetensors", tensors(1));
  auto const b = write_member(folder / "b.safetensors", changed);
  CHECK_THROWS_MATCHES(
      publish_mean(plan_mean({a, b}, {.overflow = OverflowPolicy::propagate}),
                   folder / "out.safetensors"),
      FormatError,
      MessageMatches(ContainsSubstring("b.safetensors") && ContainsSubstring("'steps' (I64)") &&
                     ContainsSubstring("'tiny' (F4)") && !ContainsSubstring("mask")));
  CHECK(names_in(folder.folder.path()).size() == 2);
}

TEST_CASE("NaN and infinity are refused with member, tensor, first index and counts") {
  TestFolder const folder;
  std::vector<std::vector<float>> values(3, std::vector<float>(50'000, 1));
  float const nan = std::numeric_limits<float>::quiet_NaN();
  float const infinity = std::numeric_limits<float>::infinity();
  values[1][30'000] = nan;
  values[1][49'999] = -infinity;
  values[2][30'001] = infinity;
  values[2][30'002] = nan;
  auto const members = float_members(folder, values);
  MergeOptions options{};
  options.workers = GENERATE(1, 2, 8);
  options.chunk_bytes = GENERATE(std::uint64_t{4096}, std::uint64_t{1} << 20);
  CHECK_THROWS_MATCHES(
      publish_mean(plan_mean(members, options), folder / "out.safetensors"), FormatError,
      MessageMatches(ContainsSubstring("m1.safetensors: tensor 'x' element 30000") &&
                     ContainsSubstring("2 NaN and 2 infinite")));
  CHECK(names_in(folder.folder.path()).size() == 3);
  options.nonfinite = NonfinitePolicy::propagate;
  MeanResult const result =
      publish_mean(plan_mean(members, options), folder / "out.safetensors", {.force = true});
  auto const mean = read_values<float>(io::Checkpoint(folder / "out.safetensors"), "x");
  CHECK(std::isnan(mean[30'000]));
  CHECK(mean[30'001] == infinity);
  CHECK(std::isnan(mean[30'002]));
  CHECK(mean[49'999] == -infinity);
  CHECK(mean[0] == 1);
  CHECK(result.report.nan_inputs == 2);
  CHECK(result.report.infinite_inputs == 2);
}

TEST_CASE("a member of weight 0 takes no part but must be finite as well") {
  TestFolder const folder;
  float const nan = std::numeric_limits<float>::quiet_NaN();
  float const infinity = std::numeric_limits<float>::infinity();
  auto members = float_members(folder, {{1, 2, 3, 4}, {5, nan, -infinity, nan}, {3, 4, 5, 6}});
  members[1].weight = parse_weight("0");
  CHECK_THROWS_MATCHES(
      publish_mean(plan_mean(members), folder / "out.safetensors"), FormatError,
      MessageMatches(ContainsSubstring("m1.safetensors: tensor 'x' element 1: 2 NaN and 1 inf")));
  MeanResult const result = publish_mean(
      plan_mean(members, {.nonfinite = NonfinitePolicy::propagate}), folder / "out.safetensors");
  CHECK(read_values<float>(io::Checkpoint(folder / "out.safetensors"), "x") ==
        std::vector<float>{2, 3, 4, 5});
  CHECK(result.report.nan_inputs + result.report.infinite_inputs == 0);
}

TEST_CASE("a refusal leaves no worker waiting for a part that is skipped") {
  TestFolder const folder;
  std::vector<float> bad(3000, 1);
  bad[2500] = std::numeric_limits<float>::quiet_NaN();
  std::vector<MergeMember> members;
  for (char const* name : {"a.safetensors", "b.safetensors"}) {
    members.push_back(write_member(
        folder / name, {file_tensor("a", Dtype::f32, {3000}, bad),
                        file_tensor("b", Dtype::f32, {60'000}, random_floats(60'000, 1))}));
  }
  MeanPlan const plan = plan_mean(members, {.workers = 8, .chunk_bytes = 4096});
  REQUIRE(plan.layout.last_chunk[0] + 8 < plan.layout.last_chunk[1]);
  for (int repeat = 0; repeat < 50; ++repeat) {
    REQUIRE_THROWS_AS(publish_mean(plan, folder / "out.safetensors"), FormatError);
  }
}

TEST_CASE("of many small tensors the one with a NaN is named") {
  TestFolder const folder;
  auto changed = tensors(2);
  REQUIRE(changed[20].name == "small.16");
  changed[20] =
      file_tensor("small.16", Dtype::f32, {}, std::vector{std::numeric_limits<float>::quiet_NaN()});
  auto const a = write_member(folder / "a.safetensors", tensors(1));
  auto const b = write_member(folder / "b.safetensors", changed);
  CHECK_THROWS_MATCHES(publish_mean(plan_mean({a, b}, {.overflow = OverflowPolicy::propagate}),
                                    folder / "out.safetensors"),
                       FormatError,
                       MessageMatches(ContainsSubstring(
                           "b.safetensors: tensor 'small.16' element 0: 1 NaN and 0 infinite")));
}

TEST_CASE("what the output dtype cannot hold is refused, saturated or infinite") {
  TestFolder const folder;
  float const infinity = std::numeric_limits<float>::infinity();
  MergeOptions options{.dtype = Dtype::f16};
  std::vector<float> values{1, 1e6F, -1e6F, 65519, 65520, 0};
  std::vector<float> const other{1, 1e6F, -1e6F, 65519, 65520, 1};
  CHECK_THROWS_MATCHES(
      publish_mean(plan_mean(float_members(folder, {values, other}), options),
                   folder / "out.safetensors"),
      FormatError,
      MessageMatches(ContainsSubstring("tensor 'x' element 1: 3 results beyond the largest F16")));
  values.back() = -infinity;
  auto const with_infinity = float_members(folder, {values, other});
  options.nonfinite = NonfinitePolicy::propagate;
  options.overflow = GENERATE(OverflowPolicy::saturate, OverflowPolicy::propagate);
  MeanResult const result =
      publish_mean(plan_mean(with_infinity, options), folder / "out.safetensors");
  auto const bits = read_values<std::uint16_t>(io::Checkpoint(folder / "out.safetensors"), "x");
  std::uint16_t const top = options.overflow == OverflowPolicy::saturate ? 0x7bff : 0x7c00;
  CHECK(bits == std::vector<std::uint16_t>{0x3c00, top, static_cast<std::uint16_t>(top | 0x8000),
                                           0x7bff, top, 0xfc00});
  CHECK(result.report.overflowed == 3);
}

TEST_CASE("weights that have no mean are refused before anything is read") {
  TestFolder const folder;
  auto members = float_members(folder, {{1}, {2}});
  CHECK_THROWS_AS(plan_mean({}), UsageError);
  members[0].weight = parse_weight("-1");
  CHECK_THROWS_AS(plan_mean(members), UsageError);
  members[0].weight = parse_weight("-1.5");
  CHECK_THROWS_AS(plan_mean(members), UsageError);
}

TEST_CASE("the same checkpoint twice is refused") {
  TestFolder const folder;
  auto const a = write_member(folder / "a.safetensors", tensors(1));
  auto const copy =
      write_member(folder / "copy.safetensors", tensors(1), "1", {{"other", "metadata"}});
  MergeOptions options{.overflow = OverflowPolicy::propagate};
  CHECK_THROWS_MATCHES(plan_mean({a, a}, options), FormatError,
                       MessageMatches(ContainsSubstring("the same content")));
  CHECK_THROWS_MATCHES(publish_mean(plan_mean({a, copy}, options), folder / "out.safetensors"),
                       FormatError,
                       MessageMatches(ContainsSubstring("copy.safetensors: the same content as")));
  CHECK(names_in(folder.folder.path()).size() == 2);
  MergeMember recorded = a;
  recorded.digest = io::checkpoint_digest(*a.checkpoint);
  CHECK_THROWS_MATCHES(
      publish_mean(plan_mean({recorded, copy}, options), folder / "out.safetensors"), FormatError,
      MessageMatches(ContainsSubstring("copy.safetensors: the same content as")));
  options.allow_duplicate = true;
  publish_mean(plan_mean({a, copy}, options), folder / "out.safetensors");
}

TEST_CASE("a member with another digest than expected publishes nothing") {
  TestFolder const folder;
  auto members = float_members(folder, {{1, 2}, {3, 4}});
  members[1].digest = io::checkpoint_digest(*members[1].checkpoint, 1);
  MergeOptions options{};
  options.digests = GENERATE(true, false);
  MeanResult const result = publish_mean(plan_mean(members, options), folder / "out.safetensors");
  CHECK(result.digests[1] == *members[1].digest);
  // As soon as one digest is expected, all are of its kind.
  CHECK(result.digests[0] ==
        (options.digests ? io::checkpoint_digest(*members[0].checkpoint) : ""));
  members[0].digest = std::string(64, 'a');
  CHECK_THROWS_MATCHES(publish_mean(plan_mean(members, options), folder / "two.safetensors"),
                       FormatError,
                       MessageMatches(ContainsSubstring("m0.safetensors") &&
                                      ContainsSubstring(std::string(64, 'a'))));
  CHECK_FALSE(std::filesystem::exists(folder / "two.safetensors"));
}

TEST_CASE("sharded members and outputs give the same tensors") {
  TestFolder const folder;
  std::vector<MergeMember> members{write_member(folder / "a.safetensors", tensors(1), "0.3"),
                                   write_member(folder / "b.safetensors", tensors(2))};
  MergeOptions const options{.overflow = OverflowPolicy::propagate};
  MeanResult const whole = publish_mean(plan_mean(members, options), folder / "out.safetensors");
  publish_mean(plan_mean({members[0]}, options), folder / "shards.safetensors",
               {.largest_shard = 150'000});
  std::filesystem::path const index = folder / "shards.safetensors.index.json";
  REQUIRE(io::Checkpoint(index).files().size() > 1);
  members[0] = open_member(index, parse_weight("0.3"));
  MeanResult const sharded = publish_mean(plan_mean(members, options), folder / "two.safetensors",
                                          {.largest_shard = 150'000});
  CHECK(sharded.digests == whole.digests);
  io::Checkpoint const merged(folder / "two.safetensors.index.json");
  CHECK(io::checkpoint_digest(merged, 1) ==
        io::checkpoint_digest(io::Checkpoint(folder / "out.safetensors"), 1));
  CHECK_THAT(merged.metadata().at("dashi.recipe"), ContainsSubstring(sharded.digests[0]));
}

TEST_CASE("an output that is one of the inputs is refused") {
  TestFolder const folder;
  auto const members = float_members(folder, {{1}, {2}});
  std::string const before = file_bytes(folder / "m0.safetensors");
  CHECK_THROWS_AS(publish_mean(plan_mean(members), folder / "m0.safetensors", {.force = true}),
                  IoError);
  CHECK(file_bytes(folder / "m0.safetensors") == before);
}

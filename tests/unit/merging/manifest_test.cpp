// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include <dashi/merging/ledger_change.hpp>
#include <dashi/merging/manifest_text.hpp>
#include <dashi/merging/parse_manifest.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace dashi::merging;
namespace io = dashi::io;

LedgerMember member(char digit, char const* weight, char const* name,
                    std::vector<io::Dtype> dtypes = {}) {
  return {.digest = std::string(64, digit),
          .weight = parse_weight(weight),
          .name = name,
          .keys = {},
          .metadata = {},
          .dtypes = std::move(dtypes)};
}

Manifest sample() {
  Manifest manifest{.mode = LedgerMode::accumulate,
                    .members = {member('b', "0.30", "b.safetensors",
                                       {io::Dtype::f16, io::Dtype::f16, io::Dtype::i64}),
                                member('a', "-2", "sub/\"a\".safetensors",
                                       {io::Dtype::f16, io::Dtype::bf16, io::Dtype::i64})},
                    .tensors = {{"k", {2, 3}}, {"m", {}}, {"step", {1}}}};
  manifest.members[0].metadata = {{"format", "pt"}};
  manifest.members[1].keys =
      KeyMap(std::map<std::string, std::string, std::less<>>{{"theirs", "k"}});
  manifest.sort();
  return manifest;
}

std::string replaced(std::string text, std::string const& from, std::string const& to) {
  auto const at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a manifest has one text", "[merging][ledger]") {
  std::string const a(64, 'a');
  std::string const b(64, 'b');
  std::string const expected =
      "{\"members\":[{\"digest\":\"" + a +
      "\",\"keys\":{\"theirs\":\"k\"},\"name\":\"sub/"
      "\\\"a\\\".safetensors\",\"weight\":\"-2\"},{\"digest\":\"" +
      b +
      "\",\"metadata\":{\"format\":\"pt\"},\"name\":\"b.safetensors\",\"weight\":\"0.3\"}],"
      "\"mode\":\"accumulate\",\"places\":1,\"tensors\":{"
      "\"k\":{\"dtype\":\"F16\",\"shape\":[2,3],\"words\":\"int64\"},"
      "\"m\":{\"dtype\":[\"BF16\",\"F16\"],\"shape\":[],\"words\":\"window\"},"
      "\"step\":{\"dtype\":\"I64\",\"shape\":[1],\"words\":\"copied\"}},\"version\":1}";
  CHECK(manifest_text(sample()) == expected);
  CHECK(manifest_text(parse_manifest(expected, "s.soup")) == expected);
  CHECK(manifest_text(Manifest{}) == "{\"members\":[],\"mode\":\"recompute\",\"version\":1}");
  CHECK(
      parse_manifest("{\"members\":[],\"mode\":\"recompute\",\"version\":1}", "s").members.empty());
}

TEST_CASE("members that disagree on the shape of alpha are told apart", "[merging][ledger]") {
  Manifest manifest{.mode = LedgerMode::accumulate,
                    .members = {member('a', "1", "a", {io::Dtype::f32, io::Dtype::f32}),
                                member('b', "1", "b", {io::Dtype::f32, io::Dtype::f32})},
                    .tensors = {{"m.alpha", {}}, {"n.alpha", {1}}}};
  manifest.members[0].vector_alphas = {1};
  manifest.members[1].vector_alphas = {0, 1};
  manifest.settle_alpha_shapes();
  std::string const good = manifest_text(manifest);
  CHECK(good.find("\"m.alpha\":{\"dtype\":\"F32\",\"shape\":[[],[1]],") != std::string::npos);
  CHECK(good.find("\"n.alpha\":{\"dtype\":\"F32\",\"shape\":[1],") != std::string::npos);
  Manifest const parsed = parse_manifest(good, "s.soup");
  CHECK(parsed.members[0].vector_alphas == std::vector<std::size_t>{1});
  CHECK(parsed.members[1].vector_alphas == std::vector<std::size_t>{0, 1});
  CHECK(parsed.tensors == manifest.tensors);
  for (char const* shape : {"[[]]", "[[],[1],[1]]", "[[],[]]", "[[1],[1]]", "[[],[2]]",
                            "[[],[1,1]]", "[[],1]", "[1,[]]", "[[],[[]]]"}) {
    INFO(shape);
    CHECK_THROWS_AS(parse_manifest(replaced(good, "[[],[1]]", shape), "s.soup"),
                    dashi::FormatError);
  }
  CHECK_THROWS_AS(parse_manifest(replaced(good, "m.alpha", "m.beta"), "s.soup"),
                  dashi::FormatError);
}

TEST_CASE("a manifest in any other form is refused", "[merging][ledger]") {
  std::string const good = manifest_text(sample());
  std::vector<std::string> const bad{
      " " + good,
      good + " ",
      replaced(good, "\"places\":1", "\"places\":2"),
      replaced(good, "\"places\":1,", ""),
      replaced(good, "\"weight\":\"0.3\"", "\"weight\":\"0.30\""),
      replaced(good, "\"weight\":\"0.3\"", "\"weight\":\"1e3\""),
      replaced(good, "\"weight\":\"0.3\"", "\"weight\":\"99999999999999\""),
      replaced(good, "\"words\":\"int64\"", "\"words\":\"window\""),
      replaced(good, "\"version\":1", "\"version\":2"),
      replaced(good, "\"version\":1", "\"version\":1,\"when\":\"now\""),
      replaced(good, std::string(64, 'a'), std::string(64, 'c')),  // out of order
      replaced(good, std::string(64, 'a'), std::string(64, 'A')),
      replaced(good, std::string(64, 'a'), std::string(63, 'a')),
      replaced(good, "[\"BF16\",\"F16\"]", "[\"BF16\",\"F64\"]"),
      replaced(good, "[\"BF16\",\"F16\"]", "[\"BF16\",\"I64\"]"),
      replaced(good, "[\"BF16\",\"F16\"]", "[\"F16\",\"F16\"]"),
      replaced(good, "[\"BF16\",\"F16\"]", "[\"BF16\",\"F16\",\"F16\"]"),
      replaced(good, "\"theirs\":\"k\"", "\"k\":\"k\""),
      replaced(good, "\"m\":{", "\"a\":{"),  // names out of order
      replaced(good, "accumulate", "recompute"),
      replaced(good, "accumulate", "other"),
      replaced(good, "[2,3]", "[281474976710656,3]"),
      "{\"members\":[],\"mode\":\"accumulate\",\"places\":0,\"tensors\":"
      "{\"k\":{\"dtype\":\"F16\",\"shape\":[],\"words\":\"int64\"}},\"version\":1}",
      "{}",
      "[]",
      "",
  };
  for (std::string const& text : bad) {
    INFO(text);
    CHECK_THROWS_AS(parse_manifest(text, "s.soup"), dashi::FormatError);
  }
}

TEST_CASE("word sizes follow from weights and dtypes alone", "[merging][ledger]") {
  Manifest manifest{.mode = LedgerMode::accumulate,
                    .members = {member('a', "8392706", "a", {io::Dtype::f16}),
                                member('b', "0", "b", {io::Dtype::f16})},
                    .tensors = {{"k", {1}}}};
  CHECK(word_kind(manifest, ledger_scale(manifest), 0) == WordKind::int64);
  manifest.members[1].weight = parse_weight("-1");
  CHECK(word_kind(manifest, ledger_scale(manifest), 0) == WordKind::window);
  manifest.members[0].weight = parse_weight("839270.5");
  manifest.members[1].weight = parse_weight("-0.1");
  CHECK(word_kind(manifest, ledger_scale(manifest), 0) == WordKind::int64);
  manifest.members[1].dtypes[0] = io::Dtype::bf16;
  CHECK(word_kind(manifest, ledger_scale(manifest), 0) == WordKind::window);

  manifest.members[0].weight = parse_weight("1099511627775");  // 2^40 - 1
  manifest.members[1].weight = parse_weight("0");
  CHECK(ledger_scale(manifest).absolute == (std::uint64_t{1} << 40) - 1);
  manifest.members[1].weight = parse_weight("-1");
  CHECK_THROWS_AS(ledger_scale(manifest), dashi::UsageError);
  manifest.members[1].weight = parse_weight("0.1");
  CHECK_THROWS_AS(ledger_scale(manifest), dashi::UsageError);
}

TEST_CASE("members times tensors are bounded", "[merging][ledger]") {
  constexpr std::size_t many = 5793;  // 5793 * 5793 > 2^25 >= 5792 * 5793
  std::string members;
  std::string tensors;
  Manifest manifest{.mode = LedgerMode::accumulate, .members = {}, .tensors = {}};
  for (std::size_t i = 0; i < many; ++i) {
    std::string const name = std::to_string(10000 + i);
    members += std::string(i == 0 ? "" : ",") + "{\"digest\":\"" + std::string(64, 'a') +
               "\",\"name\":\"" + name + "\",\"weight\":\"1\"}";
    tensors += std::string(i == 0 ? "" : ",") + "\"" + name +
               "\":{\"dtype\":\"F16\",\"shape\":[],\"words\":\"int64\"}";
    manifest.members.push_back(member('a', "1", name.c_str()));
    manifest.tensors.push_back({name, {}});
  }
  std::string const text = "{\"members\":[" + members +
                           "],\"mode\":\"accumulate\",\"places\":0,\"tensors\":{" + tensors +
                           "},\"version\":1}";
  try {
    parse_manifest(text, "s.soup");
    FAIL("it was expanded");
  } catch (dashi::FormatError const& error) {
    CHECK(error.diagnosis().found == "5793 members with 5793 tensors each");
  }
  try {
    plan_change(manifest, {}, {}, {});
    FAIL("it was planned");
  } catch (dashi::UsageError const& error) {
    CHECK(error.diagnosis().found == "5793 members with 5793 tensors each");
  }
  manifest.members.pop_back();
  CHECK(plan_change(manifest, {}, {}, {}).kept == many - 1);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A soup has no memory: after any operations its ledger and what it publishes are those of a soup
// that only ever saw the members that remain, and both modes publish the same bytes.

#include "support/hostile_floats.hpp"
#include "support/merge_files.hpp"

#include <dashi/merging/soup.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using dashi::Soup;
using dashi::merging::LedgerMode;
using dashi::merging::parse_weight;
namespace fs = std::filesystem;
namespace io = dashi::io;

constexpr std::size_t files = 6;
constexpr std::size_t elements = 40'000;  // more than a chunk

template <class T>
std::vector<dashi::test::FileTensor> tensors(io::Dtype dtype, std::uint64_t seed,
                                             bool mixed_zeros) {
  dashi::test::HostileFloats<T> hostile(seed);
  std::vector<T> values(elements);
  std::vector<T> group(8);
  for (std::size_t i = 0; i < elements; i += group.size()) {
    hostile.element(group);
    std::copy(group.begin(), group.end(), values.begin() + static_cast<std::ptrdiff_t>(i));
  }
  std::vector<T> zeros(40, T{});
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    if (!mixed_zeros || (hostile.random() & 3U) != 0) {
      zeros[i] = dashi::convert<T>(-0.0F);
    }
  }
  std::vector<std::int32_t> const ids{7, -1, 42};
  return {dashi::test::file_tensor("body", dtype, {elements / 4, 4}, values),
          dashi::test::file_tensor("zeros", dtype, {zeros.size()}, zeros),
          dashi::test::file_tensor("nothing", dtype, {0, 3}, std::vector<T>{}),
          dashi::test::file_tensor("ids", io::Dtype::i32, {3}, ids)};
}

std::vector<dashi::test::FileTensor> tensors_of(io::Dtype dtype, std::uint64_t seed) {
  switch (dtype) {
    case io::Dtype::f16: return tensors<dashi::Float16>(dtype, seed, seed % 2 == 0);
    case io::Dtype::bf16: return tensors<dashi::BFloat16>(dtype, seed, seed % 2 == 0);
    default: return tensors<float>(dtype, seed, seed % 2 == 0);
  }
}

/// Weights of all kinds: few and many places, negative, zero, above the capacity of one word.
std::string weight(std::mt19937_64& random) {
  static constexpr char const* kinds[] = {
      "1",       "2",      "0.5", "0.25", "3.125",    "-0.3",    "0",      "0.00000001",
      "9000000", "4000.5", "-1",  "0.1",  "70000.25", "8392706", "0.0001", "12"};
  return kinds[random() % (sizeof kinds / sizeof *kinds)];
}

/// "" when both are equal, else where they first differ; whole files would drown the report.
std::string difference(std::string const& a, std::string const& b) {
  auto const [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() && y == b.end()) {
    return "";
  }
  return "byte " + std::to_string(x - a.begin()) + " of " + std::to_string(a.size()) + " and " +
         std::to_string(b.size());
}

struct Bench {
  explicit Bench(std::vector<io::Dtype> dtypes) : folder(fs::temp_directory_path()) {
    for (std::size_t f = 0; f < files; ++f) {
      dashi::test::write_member(file(f), tensors_of(dtypes[f % dtypes.size()], f + 1), "1",
                                {{"format", "pt"}, {"who", std::to_string(f % 2)}});
    }
  }
  fs::path file(std::size_t f) const {
    return folder.path() / ("m" + std::to_string(f) + ".safetensors");
  }
  fs::path at(std::string const& name) const { return folder.path() / name; }

  /// Publishes and returns the bytes, or the kind of refusal.
  std::string published(Soup const& soup, std::optional<io::Dtype> dtype) const {
    try {
      soup.publish(at("out.safetensors"),
                   {.dtype = dtype, .overflow = dashi::merging::OverflowPolicy::propagate},
                   {.force = true});
    } catch (dashi::UsageError const& error) {
      return "usage " + error.diagnosis().code;
    } catch (dashi::FormatError const& error) {
      return "format " + error.diagnosis().code;
    }
    return dashi::test::file_bytes(at("out.safetensors"));
  }

  dashi::merging::PrivateFolder folder;
};

void check_history(Bench const& bench, std::uint64_t seed, int steps,
                   std::optional<io::Dtype> dtype, std::vector<int>& seen) {
  std::mt19937_64 random(seed);
  std::map<std::size_t, std::string> members;  // file -> weight
  Soup::Options const options{.workers = 2, .force = true};
  Soup sums = Soup::create(bench.at("a.soup"), LedgerMode::accumulate, {}, options);
  Soup names = Soup::create(bench.at("r.soup"), LedgerMode::recompute, {}, options);
  std::string const empty = dashi::test::file_bytes(bench.at("a.soup"));
  auto const apply = [&](Soup::Change const& change) {
    sums.apply(change);
    names.apply(change);
  };
  for (int step = 0; step < steps; ++step) {
    std::size_t const f = random() % files;
    std::string const w = weight(random);
    bool refused = false;
    std::string const before = dashi::test::file_bytes(bench.at("a.soup"));
    try {
      if (!members.contains(f)) {
        sums.apply({.removals = {}, .additions = {{bench.file(f), parse_weight(w), {}}}});
        names.apply({.removals = {}, .additions = {{bench.file(f), parse_weight(w), {}}}});
        members[f] = w;
      } else if (random() % 2 == 0) {
        apply({.removals = {bench.file(f).string()}, .additions = {}});
        members.erase(f);
      } else {
        std::size_t const g = random() % files;
        if (g != f && members.contains(g)) {
          continue;
        }
        sums.replace(bench.file(f).string(), bench.file(g), parse_weight(w));
        names.replace(bench.file(f).string(), bench.file(g), parse_weight(w));
        members.erase(f);
        members[g] = w;
      }
    } catch (dashi::UsageError const& error) {
      CHECK(error.diagnosis().code == "weights-too-large");
      CHECK(difference(dashi::test::file_bytes(bench.at("a.soup")), before) == "");
      refused = true;
    }
    std::string set;
    for (auto const& [file, text] : members) {
      set += " m" + std::to_string(file) + "=" + text;
    }
    INFO("seed " << seed << " step " << step << set);
    std::vector<Soup::Addition> fresh;
    for (auto const& [file, text] : members) {
      fresh.push_back({bench.file(file), parse_weight(text), {}});
    }
    std::shuffle(fresh.begin(), fresh.end(), random);
    Soup const new_sums =
        Soup::create(bench.at("fresh_a.soup"), LedgerMode::accumulate, fresh, options);
    Soup const new_names =
        Soup::create(bench.at("fresh_r.soup"), LedgerMode::recompute, fresh, options);
    REQUIRE(difference(dashi::test::file_bytes(bench.at("a.soup")),
                       dashi::test::file_bytes(bench.at("fresh_a.soup"))) == "");
    REQUIRE(difference(dashi::test::file_bytes(bench.at("r.soup")),
                       dashi::test::file_bytes(bench.at("fresh_r.soup"))) == "");
    if (members.empty()) {
      REQUIRE(difference(dashi::test::file_bytes(bench.at("a.soup")), empty) == "");
    }
    std::string const from_sums = bench.published(sums, dtype);
    REQUIRE(difference(from_sums, bench.published(names, dtype)) == "");
    seen[refused                           ? 3
         : from_sums.starts_with("usage")  ? 0
         : from_sums.starts_with("format") ? 1
                                           : 2] += 1;
    if (seen[2] % 4 == 1 && from_sums.size() > 100) {
      bench.published(sums, dtype);
      CHECK(sums.verify(bench.at("out.safetensors"),
                        {.dtype = dtype, .overflow = dashi::merging::OverflowPolicy::propagate})
                .equal());
      CHECK(names
                .verify(bench.at("out.safetensors"),
                        {.dtype = dtype, .overflow = dashi::merging::OverflowPolicy::propagate})
                .equal());
    }
  }
}

void check_dtypes(std::vector<io::Dtype> const& dtypes, std::optional<io::Dtype> dtype,
                  std::uint64_t seed) {
  Bench const bench(dtypes);
  std::vector<int> seen(4);
  for (std::uint64_t run = 0; run < 4; ++run) {
    check_history(bench, seed + run, 14, dtype, seen);
  }
  CHECK(seen[2] > 10);  // most steps publish something
}

}  // namespace

TEST_CASE("a soup of F16 members has no history", "[laws][soup]") {
  check_dtypes({io::Dtype::f16}, {}, 100);
}

TEST_CASE("a soup of BF16 members has no history", "[laws][soup]") {
  check_dtypes({io::Dtype::bf16}, {}, 200);
}

TEST_CASE("a soup of F32 members has no history", "[laws][soup]") {
  check_dtypes({io::Dtype::f32}, {}, 300);
}

TEST_CASE("a soup of members in several dtypes has no history", "[laws][soup]") {
  check_dtypes({io::Dtype::f16, io::Dtype::f16, io::Dtype::bf16, io::Dtype::f32}, io::Dtype::f32,
               400);
  check_dtypes({io::Dtype::f16, io::Dtype::bf16}, io::Dtype::f64, 500);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "reference/exact_mean.hpp"
#include "support/merge_files.hpp"
#include "support/shared_data.hpp"

#include <dashi/core/float_convert.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/mean_stream.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

// Exact weighted means made by Python's fractions: ../shared/golden/averages_*.

using dashi::BFloat16;
using dashi::Float16;
using dashi::FloatFormat;
using namespace dashi::merging;

namespace {

struct WeightSet {
  char const* name;
  std::vector<char const*> weights;
};

std::vector<WeightSet> weight_sets() {
  return {{"uniform3", {"1", "1", "1"}},
          {"decimal_03_07", {"0.3", "0.7"}},
          {"ints", {"1", "2", "3", "4"}},
          {"extrapolate", {"2", "-1"}},
          {"tenths", {"0.1", "0.2", "0.3", "0.4"}}};
}

template <class T>
struct Golden;
template <>
struct Golden<Float16> {
  static constexpr char const* folder = "averages_f16";
  static constexpr char const* other_dtype = "mean_uniform_as_f32";
  using Other = float;
};
template <>
struct Golden<BFloat16> {
  static constexpr char const* folder = "averages_bf16";
  static constexpr char const* other_dtype = "mean_uniform_as_f16";
  using Other = Float16;
};
template <>
struct Golden<float> {
  static constexpr char const* folder = "averages_f32";
  static constexpr char const* other_dtype = "mean_uniform_as_bf16";
  using Other = BFloat16;
};

template <class T>
std::vector<T> read(dashi::io::SafetensorsFile const& file, std::string const& name) {
  auto const* info = file.header().find(name);
  REQUIRE(info != nullptr);
  std::vector<T> values(info->elements());
  file.read(*info, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

template <class T>
std::vector<std::vector<T>> inputs(dashi::io::SafetensorsFile const& file, std::size_t count) {
  std::vector<std::vector<T>> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(read<T>(file, "in" + std::to_string(i)));
  }
  return out;
}

std::vector<std::int64_t> integers(std::vector<char const*> const& weights) {
  std::vector<DecimalWeight> parsed;
  for (char const* weight : weights) {
    parsed.push_back(parse_weight(weight));
  }
  return to_integers(parsed).values;
}

/// Elements whose reference mean has other bits than `wanted`.
template <class In, class Out>
std::size_t mismatches(std::vector<std::int64_t> const& weights,
                       std::vector<std::vector<In>> const& members,
                       std::vector<Out> const& wanted) {
  dashi::reference::ExactMean mean;
  std::size_t wrong = 0;
  std::vector<In> values(members.size());
  for (std::size_t e = 0; e < wanted.size(); ++e) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      values[i] = members[i][e];
    }
    auto const bits = mean.bits<In, Out>(weights, values);
    wrong += bits != __builtin_bit_cast(typename FloatFormat<Out>::Bits, wanted[e]) ? 1U : 0U;
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("the reference mean has the golden bits", "", Float16, BFloat16, float) {
  using G = Golden<TestType>;
  dashi::io::SafetensorsFile const file(
      dashi::test::shared_data(std::string("golden/") + G::folder + "/averages.safetensors"));
  for (WeightSet const& set : weight_sets()) {
    INFO(set.name);
    auto const members = inputs<TestType>(file, set.weights.size());
    CHECK(mismatches(integers(set.weights), members,
                     read<TestType>(file, std::string("mean.") + set.name)) == 0);
  }
  CHECK(mismatches({1, 1, 1, 1}, inputs<TestType>(file, 4),
                   read<typename G::Other>(file, G::other_dtype)) == 0);
}

TEMPLATE_TEST_CASE("published means have the golden bits, in any order of the members", "", Float16,
                   BFloat16, float) {
  using G = Golden<TestType>;
  dashi::io::SafetensorsFile const file(
      dashi::test::shared_data(std::string("golden/") + G::folder + "/averages.safetensors"));
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const dtype = file.header().find("in0")->dtype;
  auto const values = inputs<TestType>(file, 4);
  auto const published = [&](std::vector<char const*> const& weights, MergeOptions const& options,
                             bool reversed) {
    std::vector<MergeMember> members;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      members.push_back(dashi::test::write_member(
          folder.path() / ("in" + std::to_string(i) + ".safetensors"),
          {dashi::test::file_tensor("x", dtype, {values[i].size()}, values[i])}, weights[i]));
    }
    if (reversed) {
      std::reverse(members.begin(), members.end());
    }
    publish_mean(plan_mean(members, options), folder.path() / "out.safetensors", {.force = true});
    return dashi::io::Checkpoint(folder.path() / "out.safetensors");
  };
  for (bool const reversed : {false, true}) {
    for (WeightSet const& set : weight_sets()) {
      INFO(set.name);
      auto const merged = published(set.weights, {.overflow = OverflowPolicy::propagate}, reversed);
      using Bits = typename FloatFormat<TestType>::Bits;
      CHECK(dashi::test::read_values<Bits>(merged, "x") ==
            read<Bits>(file, std::string("mean.") + set.name));
    }
    using Bits = typename FloatFormat<typename G::Other>::Bits;
    auto const merged = published(
        {"1", "1", "1", "1"},
        {.dtype = file.header().find(G::other_dtype)->dtype, .overflow = OverflowPolicy::propagate},
        reversed);
    CHECK(dashi::test::read_values<Bits>(merged, "x") == read<Bits>(file, G::other_dtype));
  }
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/merge_files.hpp"

#include <dashi/merging/concept.hpp>
#include <dashi/merging/merge.hpp>
#include <dashi/merging/uniform.hpp>
#include <dashi/merging/weighted.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
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

/// Exactly what the concept asks of a linear strategy, and nothing more: no default constructor, no
/// copies, no assignment.
struct LinearArchetype {
  explicit LinearArchetype(int) {}
  LinearArchetype(LinearArchetype const&) = delete;
  LinearArchetype& operator=(LinearArchetype const&) = delete;
  static constexpr MergeTraits traits{};
  static constexpr std::string_view name = "linear archetype";
  std::vector<DecimalWeight> weights(std::span<MergeMember const> members) const {
    return std::vector<DecimalWeight>(members.size());
  }
};

/// The same of the other forms.
template <MergeForm Form, bool Base>
struct ValueArchetype {
  explicit ValueArchetype(int) {}
  ValueArchetype(ValueArchetype const&) = delete;
  ValueArchetype& operator=(ValueArchetype const&) = delete;
  static constexpr MergeTraits traits{.form = Form, .needs_base = Base};
  static constexpr std::string_view name = "archetype";
  void merge(MergeInput const& in, std::span<double> out) const {
    std::copy(in.member(0).begin(), in.member(0).end(), out.begin());
  }
};

static_assert(MergeStrategy<LinearArchetype> && require_merge_strategy<LinearArchetype>());
static_assert(MergeStrategy<ValueArchetype<MergeForm::element, false>>);
static_assert(MergeStrategy<ValueArchetype<MergeForm::tensor, true>>);
static_assert(require_merge_strategy<ValueArchetype<MergeForm::tensor, true>>());
static_assert(!MergeStrategy<int>);
static_assert(!MergeStrategy<ValueArchetype<MergeForm::linear, false>>);
static_assert(!MergeStrategy<ValueArchetype<MergeForm::linear, true>>);

struct ElementMedian {
  static constexpr MergeTraits traits{.form = MergeForm::element};
  static constexpr std::string_view name = "median";
  void merge(MergeInput const& in, std::span<double> out) const {
    std::vector<double> values(in.members());
    for (std::size_t i = 0; i < out.size(); ++i) {
      for (std::size_t m = 0; m < values.size(); ++m) {
        values[m] = in.member(m)[i];
      }
      std::nth_element(values.begin(),
                       values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                       values.end());
      out[i] = values[values.size() / 2];
    }
  }
};

/// Adds to the base the difference with the largest norm; needs tensors whole.
struct LargestChange {
  static constexpr MergeTraits traits{.form = MergeForm::tensor, .needs_base = true};
  static constexpr std::string_view name = "largest change";
  void merge(MergeInput const& in, std::span<double> out) const {
    std::uint64_t const elements = std::accumulate(in.shape().begin(), in.shape().end(),
                                                   std::uint64_t{1}, std::multiplies<>());
    if (out.size() != elements || in.first() != 0 || in.base().size() != elements) {
      throw std::logic_error("the tensor is not whole");
    }
    std::size_t best = 0;
    double largest = -1;
    for (std::size_t m = 0; m < in.members(); ++m) {
      double norm = 0;
      for (std::size_t i = 0; i < out.size(); ++i) {
        norm += std::pow(in.weight(m) * (in.member(m)[i] - in.base()[i]), 2);
      }
      if (norm > largest) {
        largest = norm;
        best = m;
      }
    }
    std::copy(in.member(best).begin(), in.member(best).end(), out.begin());
  }
};

struct Huge {
  static constexpr MergeTraits traits{.form = MergeForm::element};
  static constexpr std::string_view name = "huge";
  void merge(MergeInput const& in, std::span<double> out) const {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = in.member(0)[i] * 1e30;
    }
  }
};

struct Throws {
  static constexpr MergeTraits traits{.form = MergeForm::element};
  static constexpr std::string_view name = "throws";
  void merge(MergeInput const&, std::span<double>) const {
    throw std::runtime_error("of the user");
  }
};

constexpr std::uint64_t size = 50'001;

MergeMember member(std::filesystem::path const& path, unsigned seed, char const* weight = "1") {
  std::vector<FileTensor> tensors{
      file_tensor("half", Dtype::f16, {size}, random_halves(size, 0x7c00, seed)),
      file_tensor("single", Dtype::f32, {5, 7}, random_floats(35, seed)),
      file_tensor("step", Dtype::i64, {1}, std::vector<std::int64_t>{3})};
  for (int i = 0; i < 20; ++i) {
    tensors.push_back(
        file_tensor("bias." + std::to_string(i), Dtype::f32, {3}, random_floats(3, seed)));
  }
  return write_member(path, tensors, weight);
}

}  // namespace

TEST_CASE("a user's element strategy merges files, whatever the chunks") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  std::vector<MergeMember> members;
  for (unsigned m = 0; m < 3; ++m) {
    members.push_back(member(folder.path() / ("m" + std::to_string(m) + ".safetensors"), m));
  }
  MergeOptions options{};
  options.workers = GENERATE(1, 4);
  options.chunk_bytes = GENERATE(std::uint64_t{4096}, std::uint64_t{1} << 22);
  merge(ElementMedian{}, members, folder.path() / "out.safetensors", options);
  io::Checkpoint const merged(folder.path() / "out.safetensors");
  auto const out = read_values<Float16>(merged, "half");
  std::vector<std::vector<Float16>> halves;
  for (auto const& m : members) {
    halves.push_back(read_values<Float16>(*m.checkpoint, "half"));
  }
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::vector<float> v{widen(halves[0][i]), widen(halves[1][i]), widen(halves[2][i])};
    std::sort(v.begin(), v.end());
    wrong += widen(out[i]) == v[1] ? 0U : 1U;
  }
  CHECK(wrong == 0);
  CHECK(read_values<std::int64_t>(merged, "step") == std::vector<std::int64_t>{3});
  CHECK_THAT(merged.metadata().at("dashi.recipe"), ContainsSubstring("\"method\":\"median\""));
}

TEST_CASE("a user's tensor strategy sees whole tensors and the base") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  std::vector<MergeMember> const members{member(folder.path() / "a.safetensors", 1, "0.001"),
                                         member(folder.path() / "b.safetensors", 2, "1")};
  MergeMember const base = member(folder.path() / "base.safetensors", 3);
  MergeOptions options{};
  options.workers = GENERATE(1, 4);
  options.chunk_bytes = 4096;
  merge(LargestChange{}, members, folder.path() / "out.safetensors", options, {}, base);
  io::Checkpoint const merged(folder.path() / "out.safetensors");
  CHECK(read_values<std::uint16_t>(merged, "half") ==
        read_values<std::uint16_t>(*members[1].checkpoint, "half"));
  CHECK(read_values<float>(merged, "bias.7") ==
        read_values<float>(*members[1].checkpoint, "bias.7"));
  CHECK_THAT(merged.metadata().at("dashi.recipe"), ContainsSubstring("\"base\":{\"digest\":"));

  CHECK_THROWS_AS(merge(LargestChange{}, members, folder.path() / "two.safetensors", options),
                  UsageError);
  CHECK_THROWS_AS(merge(Uniform{}, members, folder.path() / "two.safetensors", options, {}, base),
                  UsageError);
  options.memory_budget = 100'000;  // a whole tensor of all members needs more
  CHECK_THROWS_MATCHES(
      merge(LargestChange{}, members, folder.path() / "two.safetensors", options, {}, base),
      UsageError, MessageMatches(ContainsSubstring("--mem")));
}

TEST_CASE("the values of a user's strategy obey the policies") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  std::vector<MergeMember> const members{member(folder.path() / "a.safetensors", 1)};
  CHECK_THROWS_MATCHES(merge(Huge{}, members, folder.path() / "out.safetensors"), FormatError,
                       MessageMatches(ContainsSubstring("tensor 'half' element 0")));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "out.safetensors"));
  CHECK_THROWS_WITH(merge(Throws{}, members, folder.path() / "out.safetensors"), "of the user");
}

TEST_CASE("uniform ignores the members' weights, weighted takes them") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const write = [&](char const* name, float value, char const* weight) {
    return write_member(folder.path() / name,
                        {file_tensor("x", Dtype::f32, {1}, std::vector{value})}, weight);
  };
  std::vector<MergeMember> const members{write("a.safetensors", 1, "3"),
                                         write("b.safetensors", 5, "1")};
  merge(Uniform{}, members, folder.path() / "uniform.safetensors");
  merge(Weighted{}, members, folder.path() / "weighted.safetensors");
  CHECK(read_values<float>(io::Checkpoint(folder.path() / "uniform.safetensors"), "x") ==
        std::vector{3.0F});
  CHECK(read_values<float>(io::Checkpoint(folder.path() / "weighted.safetensors"), "x") ==
        std::vector{2.0F});
}

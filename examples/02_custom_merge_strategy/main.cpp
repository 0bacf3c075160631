// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Two merge strategies of one's own. Usage: 02_custom_merge_strategy [BASE MEMBER...]

#include <dashi/core.hpp>
#include <dashi/merging.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace merging = dashi::merging;

/// Each element is the median of the members' elements, so that one bad member cannot move it far.
/// Between two middle values: their mean.
struct Median {
  static constexpr merging::MergeTraits traits{.form = merging::MergeForm::element};
  static constexpr std::string_view name = "median";

  void merge(merging::MergeInput const& in, std::span<double> out) const {
    std::vector<double> column(in.members());
    for (std::size_t i = 0; i < out.size(); ++i) {
      for (std::size_t m = 0; m < column.size(); ++m) {
        column[m] = in.member(m)[i];
      }
      std::sort(column.begin(), column.end());
      std::size_t const middle = column.size() / 2;
      out[i] = column.size() % 2 == 1 ? column[middle] : (column[middle - 1] + column[middle]) / 2;
    }
  }
};

/// Each tensor comes from the member that moved it furthest from the base, by the root of the mean
/// square: it needs the base, and tensors whole.
struct Boldest {
  static constexpr merging::MergeTraits traits{.form = merging::MergeForm::tensor,
                                               .needs_base = true};
  static constexpr std::string_view name = "boldest";

  void merge(merging::MergeInput const& in, std::span<double> out) const {
    std::size_t boldest = 0;
    double furthest = -1;
    for (std::size_t m = 0; m < in.members(); ++m) {
      double distance = 0;
      for (std::size_t i = 0; i < out.size(); ++i) {
        double const moved = in.member(m)[i] - in.base()[i];
        distance += moved * moved;
      }
      if (distance > furthest) {
        furthest = distance;
        boldest = m;
      }
    }
    std::ranges::copy(in.member(boldest), out.begin());
  }
};

static_assert(merging::require_merge_strategy<Median>());
static_assert(merging::require_merge_strategy<Boldest>());

/// A checkpoint with one matrix, so that the example runs without files of yours.
void write_small(std::string const& path, std::vector<float> const& weight) {
  dashi::io::SafetensorsWriter writer(
      path, dashi::io::SafetensorsLayout({{"weight", dashi::io::Dtype::f32, {2, 2}}}),
      {.force = true});
  writer.write(0, 0, std::as_bytes(std::span(weight)));
  writer.commit();
}

int main(int argc, char** argv) try {
  dashi::ScopeGuard const guard(argc, argv);
  std::vector<std::string> files(argv + 1, argv + argc);  // the base, then the members
  if (files.empty()) {
    files = {"base.safetensors", "a.safetensors", "b.safetensors", "c.safetensors"};
    write_small(files[0], {1, 1, 1, 1});
    write_small(files[1], {1.5F, 2, 1, 0});
    write_small(files[2], {1.25F, 1, 3, 0.5F});
    write_small(files[3], {1.75F, 0, 9, 0.25F});
  }
  std::vector<merging::MergeMember> members;
  for (std::size_t i = 1; i < files.size(); ++i) {
    members.push_back(merging::open_member(files[i]));
  }
  merging::merge(Median{}, members, "median.safetensors", {}, {.force = true});
  merging::merge(Boldest{}, members, "boldest.safetensors", {}, {.force = true},
                 merging::open_member(files[0]));
  std::printf("wrote median.safetensors and boldest.safetensors from %zu members\n",
              members.size());
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(dashi::exit_status(error));
}

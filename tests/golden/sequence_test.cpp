// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The add, remove and publish sequences of ../shared/golden/averages_*, and its means through the
// accumulators, in both modes of a soup. Bits are compared.

#include "support/merge_files.hpp"
#include "support/shared_data.hpp"

#include <dashi/merging/soup.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using dashi::Soup;
using dashi::merging::LedgerMode;
namespace io = dashi::io;

struct F16 {
  static constexpr char const* folder = "golden/averages_f16";
  static constexpr io::Dtype other = io::Dtype::f32;
  static constexpr char const* other_name = "mean_uniform_as_f32";
};
struct BF16 {
  static constexpr char const* folder = "golden/averages_bf16";
  static constexpr io::Dtype other = io::Dtype::f16;
  static constexpr char const* other_name = "mean_uniform_as_f16";
};
struct F32 {
  static constexpr char const* folder = "golden/averages_f32";
  static constexpr io::Dtype other = io::Dtype::bf16;
  static constexpr char const* other_name = "mean_uniform_as_bf16";
};

std::vector<std::byte> bytes_of(io::Checkpoint const& checkpoint, std::string const& name) {
  return dashi::test::read_values<std::byte>(checkpoint, name);
}

/// A folder with the four inputs as checkpoints of one tensor 'x'.
class GoldenFiles {
public:
  explicit GoldenFiles(char const* folder)
      : golden_(dashi::test::shared_data(std::string(folder) + "/averages.safetensors")),
        folder_(std::filesystem::temp_directory_path()) {
    for (std::string const name : {"in0", "in1", "in2", "in3"}) {
      io::TensorInfo const& info = golden_.find(name)->info;
      dashi::test::write_member(file(name),
                                {{"x", info.dtype, info.shape, bytes_of(golden_, name)}});
    }
  }
  std::filesystem::path file(std::string const& name) const {
    return folder_.path() / (name + ".safetensors");
  }
  std::filesystem::path at(std::string const& name) const { return folder_.path() / name; }
  std::vector<std::byte> expected(std::string const& name) const { return bytes_of(golden_, name); }

  std::vector<std::byte> published(Soup const& soup, std::optional<io::Dtype> dtype = {}) const {
    soup.publish(at("out.safetensors"),
                 {.dtype = dtype, .overflow = dashi::merging::OverflowPolicy::propagate},
                 {.force = true});
    return bytes_of(io::Checkpoint(at("out.safetensors")), "x");
  }

private:
  io::Checkpoint golden_;
  dashi::merging::PrivateFolder folder_;
};

void check_sequence(GoldenFiles const& files, Soup& soup) {
  auto const file = [&](char const* name) { return files.file(name); };
  soup.add(file("in0"), "1").add(file("in1"), "0.3").add(file("in2"), "2");
  CHECK((files.published(soup) == files.expected("sequence.publish0")));
  soup.remove(file("in1").string());
  CHECK((files.published(soup) == files.expected("sequence.publish1")));
  soup.add(file("in3"), "-0.5").remove(file("in0").string());
  CHECK((files.published(soup) == files.expected("sequence.publish2")));
  soup.remove(file("in3").string());
  CHECK((files.published(soup) == files.expected("sequence.publish3")));
}

}  // namespace

TEMPLATE_TEST_CASE("golden sequences of a soup", "[golden][soup]", F16, BF16, F32) {
  GoldenFiles const files(TestType::folder);
  SECTION("accumulate") {
    Soup soup = Soup::create(files.at("s.soup"), LedgerMode::accumulate);
    check_sequence(files, soup);
  }
  SECTION("recompute") {
    Soup soup = Soup::create(files.at("s.soup"), LedgerMode::recompute);
    check_sequence(files, soup);
  }
  SECTION("in memory") {
    Soup soup(dashi::merging::Uniform{});
    check_sequence(files, soup);
  }
}

TEMPLATE_TEST_CASE("golden averages from accumulators", "[golden][soup]", F16, BF16, F32) {
  GoldenFiles const files(TestType::folder);
  std::vector<std::pair<std::string, std::vector<std::string>>> const sets{
      {"uniform3", {"1", "1", "1"}},
      {"decimal_03_07", {"0.3", "0.7"}},
      {"ints", {"1", "2", "3", "4"}},
      {"extrapolate", {"2", "-1"}},
      {"tenths", {"0.1", "0.2", "0.3", "0.4"}}};
  for (auto const& [name, weights] : sets) {
    Soup soup = Soup::create(files.at("s.soup"), LedgerMode::accumulate, {}, {.force = true});
    for (std::size_t k = 0; k < weights.size(); ++k) {
      soup.add(files.file("in" + std::to_string(k)), weights[k]);
    }
    INFO(name);
    CHECK((files.published(soup) == files.expected("mean." + name)));
  }
  Soup soup = Soup::create(files.at("s.soup"), LedgerMode::accumulate, {}, {.force = true});
  for (std::string const name : {"in0", "in1", "in2", "in3"}) {
    soup.add(files.file(name));
  }
  CHECK((files.published(soup, TestType::other) == files.expected(TestType::other_name)));
}

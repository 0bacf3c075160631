// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "reference/exact_mean.hpp"
#include "support/merge_files.hpp"
#include "support/shared_data.hpp"

#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/merging/mean_stream.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

// Fine-tuned diffusion transformers written by the reference library: ../shared/data/dit_shards.

using dashi::Float16;
using dashi::FloatFormat;
using namespace dashi::merging;
using namespace dashi::test;

namespace {

template <class T>
std::size_t wrong_elements(std::vector<MergeMember> const& members,
                           dashi::io::Checkpoint const& merged) {
  std::vector<DecimalWeight> weights;
  for (MergeMember const& member : members) {
    weights.push_back(member.weight);
  }
  std::vector<std::int64_t> const integers = to_integers(weights).values;
  dashi::reference::ExactMean reference;
  std::vector<T> element(members.size());
  std::size_t wrong = 0;
  for (auto const& ref : merged.tensors()) {
    std::vector<std::vector<T>> values;
    for (MergeMember const& member : members) {
      values.push_back(read_values<T>(*member.checkpoint, ref.info.name));
    }
    auto const mean = read_values<typename FloatFormat<T>::Bits>(merged, ref.info.name);
    for (std::size_t e = 0; e < mean.size(); ++e) {
      for (std::size_t m = 0; m < members.size(); ++m) {
        element[m] = values[m][e];
      }
      wrong += reference.bits<T, T>(integers, element) == mean[e] ? 0U : 1U;
    }
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("a soup of real checkpoints is the rational mean in every element", "", Float16,
                   float) {
  bool const half = sizeof(TestType) == 2;
  std::vector<char const*> const weights =
      half ? std::vector{"1", "0.3", "2", "0.75", "-0.05"} : std::vector{"0.3", "0.3", "0.4"};
  std::vector<MergeMember> members;
  for (std::size_t m = 0; m < weights.size(); ++m) {
    members.push_back(open_member(shared_data("data/dit_shards/shard_" + std::to_string(m) +
                                              (half ? ".fp16.safetensors" : ".fp32.safetensors")),
                                  parse_weight(weights[m])));
  }
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  MeanResult const result = publish_mean(plan_mean(members), folder.path() / "soup.safetensors");
  dashi::io::Checkpoint const merged(folder.path() / "soup.safetensors");
  CHECK(merged.tensors().size() == members[0].checkpoint->tensors().size());
  CHECK(merged.bytes() == members[0].checkpoint->bytes());
  CHECK(merged.metadata().at("format") == "pt");
  CHECK(wrong_elements<TestType>(members, merged) == 0);
  for (std::size_t m = 0; m < members.size(); ++m) {
    CHECK(result.digests[m] ==
          dashi::io::checkpoint_digest<dashi::io::Xxh3>(*members[m].checkpoint, 2));
  }
}

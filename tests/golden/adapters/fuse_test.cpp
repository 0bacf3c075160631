// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files as PEFT and LyCORIS wrote them, fused into their base in double: what comes out is the base
// with the change that those libraries compute in double.
#include <dashi/checkpoints/fuse.hpp>
#include <dashi/io/adapters/adapter_base.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <golden_arrays.hpp>
#include <merge_files.hpp>
#include <shared_data.hpp>
#include <string>
#include <vector>

namespace {

using namespace dashi;

/// The base with its floats as doubles, which fusing then rounds no further.
void write_wide(std::filesystem::path const& from, std::filesystem::path const& to) {
  io::Checkpoint const base(from);
  std::vector<test::FileTensor> tensors;
  for (io::TensorRef const& ref : base.tensors()) {
    auto const values = test::read_values<float>(base, ref.info.name);
    tensors.push_back(test::file_tensor(ref.info.name, io::Dtype::f64, ref.info.shape,
                                        std::vector<double>(values.begin(), values.end())));
  }
  test::write_member(to, tensors);
}

void check(std::string const& name, double tolerance) {
  INFO(name);
  std::filesystem::path const folder = test::shared_data("golden/" + name);
  merging::PrivateFolder const scratch{std::filesystem::temp_directory_path()};
  write_wide(folder / "base.safetensors", scratch.path() / "base");
  io::Checkpoint const base(scratch.path() / "base");
  io::AdapterFile const adapter = io::read_adapter(std::filesystem::exists(folder / "adapter")
                                                       ? folder / "adapter"
                                                       : folder / "adapter.safetensors");
  auto const targets = io::resolve_adapter(adapter, io::adapter_base(base)).targets;
  auto const plan = checkpoints::plan_fusion(base, {{"a", &adapter, {}, targets, ""}});
  checkpoints::fuse(plan, scratch.path() / "fused", {});
  io::Checkpoint const fused(scratch.path() / "fused");
  test::GoldenArrays const golden(name + "/io.safetensors");
  std::size_t compared = 0;
  for (io::AdapterTarget const& target : targets) {
    std::string const layer = target.tensor.substr(4, target.tensor.size() - 11);
    INFO("layer " << layer);
    if (layer == "c3s" && name.starts_with("lokr_lycoris")) {
      continue;  // the case has no more than a merge with the scale twice
    }
    auto expected = golden(
        layer + (layer == "emb" || layer == "c3s" ? ".delta_merge_f64" : ".delta_forward_f64"));
    auto const weight = test::read_values<double>(base, target.tensor);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      expected[i] += weight[i];
    }
    CHECK(test::difference_to_largest(test::read_values<double>(fused, target.tensor), expected) <=
          tolerance);
    ++compared;
  }
  CHECK(compared > 0);
}

TEST_CASE("what PEFT and LyCORIS wrote is fused as they compute it", "[golden]") {
  for (char const* const name : {"lora_peft_basic",
                                 "lora_peft_bias_dora_conv",
                                 "lora_peft_conv",
                                 "lora_peft_dora",
                                 "lora_peft_embedding",
                                 "lora_peft_rslora",
                                 "lokr_peft_conv",
                                 "lokr_peft_conv_full",
                                 "lokr_peft_conv_tucker",
                                 "lokr_peft_patterns",
                                 "lokr_peft_w1full_w2full",
                                 "lokr_peft_w1full_w2low",
                                 "lokr_peft_w1low_w2full",
                                 "lokr_peft_w1low_w2low",
                                 "locon_lycoris_dora_in",
                                 "locon_lycoris_dora_out",
                                 "locon_lycoris_linear_conv",
                                 "locon_lycoris_rs",
                                 "locon_lycoris_tucker",
                                 "lokr_lycoris_conv",
                                 "lokr_lycoris_conv_full",
                                 "lokr_lycoris_conv_groups",
                                 "lokr_lycoris_conv_tucker",
                                 "lokr_lycoris_dora_in",
                                 "lokr_lycoris_dora_out",
                                 "lokr_lycoris_full_matrix",
                                 "lokr_lycoris_rs",
                                 "lokr_lycoris_unbalanced",
                                 "lokr_lycoris_w1full_w2full",
                                 "lokr_lycoris_w1full_w2low",
                                 "lokr_lycoris_w1low_w2full_unbalanced",
                                 "lokr_lycoris_w1low_w2low",
                                 "lokr_kohya_names",
                                 "lora_kohya_names"}) {
    check(name, 1e-12);
  }
  check("lokr_lycoris_scalar", 1e-7);  // the file holds w1 times the scalar, rounded
}

}  // namespace

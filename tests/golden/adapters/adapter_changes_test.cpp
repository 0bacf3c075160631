// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files as PEFT and LyCORIS wrote them: the change that their typed forms mean against the change
// that those libraries compute in double.
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/json_cursor.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <dense_change.hpp>
#include <filesystem>
#include <fstream>
#include <golden_arrays.hpp>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <shared_data.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace {

using namespace dashi::io;
using dashi::test::Dense;

std::filesystem::path case_path(std::string const& name) {
  return dashi::test::shared_data("golden/" + name);
}
std::filesystem::path adapter_path(std::string const& name) {
  std::filesystem::path const folder = case_path(name);
  return std::filesystem::exists(folder / "adapter") ? folder / "adapter"
                                                     : folder / "adapter.safetensors";
}

/// "q" of "blk.q.weight".
std::string layer_of(std::string const& tensor) { return tensor.substr(4, tensor.size() - 11); }

struct Change {
  std::string layer;
  AdapterModule const* module = nullptr;
  std::vector<double> values;
  Dense weight;
};

/// What every module of a case does to its weight.
std::vector<Change> changes(AdapterFile const& adapter, Checkpoint const& base, double epsilon) {
  auto const resolution = resolve_adapter(adapter, adapter_base(base));
  CHECK(resolution.targets.size() == adapter.modules.size());
  std::vector<Change> out;
  for (AdapterTarget const& target : resolution.targets) {
    TensorRef const& ref = *base.find(target.tensor);
    AdapterTensor const stored(std::make_shared<Checkpoint const>(base.path()), ref);
    AdapterModule const& module = adapter.modules[target.module];
    Dense const weight = dashi::test::dense(stored);
    Dense const change =
        module.dora ? dashi::test::dense_change_with_dora(module, weight, ref.info.shape, epsilon)
                    : dashi::test::dense_change(module, ref.info.shape);
    out.push_back({layer_of(target.tensor), &module, change.values, weight});
  }
  return out;
}

struct Case {
  std::string name;
  double tolerance = 1e-12;
};

/// LyCORIS adds the machine's epsilon to the norms of DoRA, PEFT does not.
double epsilon_of(std::string const& name) {
  return name.find("lycoris") != std::string::npos ? std::numeric_limits<double>::epsilon() : 0;
}

void check(Case const& c) {
  INFO(c.name);
  AdapterFile const adapter = read_adapter(adapter_path(c.name));
  Checkpoint const base(case_path(c.name) / "base.safetensors");
  dashi::test::GoldenArrays const golden(c.name + "/io.safetensors");
  for (Change const& change : changes(adapter, base, epsilon_of(c.name))) {
    INFO("layer " << change.layer << ", scale " << change.module->scale << " ("
                  << change.module->scale_reason << ")");
    // A table and a convolution with strides have no identity to be applied to: there the case has
    // what the library merges, and of LyCORIS' LoKr that is with the scale twice.
    bool const merged = change.layer == "emb" || change.layer == "c3s";
    auto expected = golden(change.layer + (merged ? ".delta_merge_f64" : ".delta_forward_f64"));
    if (merged && c.name.starts_with("lokr_lycoris")) {
      for (double& value : expected) {
        value /= change.module->scale;
      }
    }
    CHECK(dashi::test::difference_to_largest(change.values, expected) <= c.tolerance);
  }
}

}  // namespace

TEST_CASE("PEFT's adapters mean what PEFT computes") {
  for (std::string const name :
       {"lora_peft_basic", "lora_peft_bias_dora_conv", "lora_peft_conv", "lora_peft_dora",
        "lora_peft_embedding", "lora_peft_rslora", "lokr_peft_conv", "lokr_peft_conv_full",
        "lokr_peft_conv_tucker", "lokr_peft_patterns", "lokr_peft_w1full_w2full",
        "lokr_peft_w1full_w2low", "lokr_peft_w1low_w2full", "lokr_peft_w1low_w2low"}) {
    check({name});
  }
}

TEST_CASE("LyCORIS' adapters mean what LyCORIS' forward computes") {
  for (Case const& c :
       {Case{"locon_lycoris_dora_in"},
        {"locon_lycoris_dora_out"},
        {"locon_lycoris_linear_conv"},
        {"locon_lycoris_rs"},
        {"locon_lycoris_tucker"},
        {"lokr_lycoris_conv"},
        {"lokr_lycoris_conv_full"},
        {"lokr_lycoris_conv_groups"},
        {"lokr_lycoris_conv_tucker"},
        {"lokr_lycoris_dora_in"},
        {"lokr_lycoris_dora_out"},
        {"lokr_lycoris_full_matrix"},
        {"lokr_lycoris_rs"},
        {"lokr_lycoris_scalar", 1e-7},  // w1 times the scalar is rounded in the file
        {"lokr_lycoris_unbalanced"},
        {"lokr_lycoris_w1full_w2full"},
        {"lokr_lycoris_w1full_w2low"},
        {"lokr_lycoris_w1low_w2full_unbalanced"},
        {"lokr_lycoris_w1low_w2low"},
        {"lokr_kohya_names"},
        {"lora_kohya_names"}}) {
    check(c);
  }
}

TEST_CASE("where LyCORIS merges with the scale twice, once is what counts") {
  std::string const name = "lokr_lycoris_w1full_w2low";
  AdapterFile const adapter = read_adapter(adapter_path(name));
  Checkpoint const base(case_path(name) / "base.safetensors");
  dashi::test::GoldenArrays const golden(name + "/io.safetensors");
  for (Change const& change : changes(adapter, base, 0)) {
    CHECK(change.module->scale == 2.5);
    std::vector<double> once = change.values;
    std::vector<double> twice = change.values;
    for (std::size_t i = 0; i < once.size(); ++i) {
      once[i] += change.weight.values[i];
      twice[i] = twice[i] * change.module->scale + change.weight.values[i];
    }
    auto const merged = golden(change.layer + ".merged_weight");
    CHECK(dashi::test::difference_to_largest(twice, merged) < 1e-6);
    CHECK(dashi::test::difference_to_largest(once, merged) > 1e-2);
  }
}

TEST_CASE("PEFT and LyCORIS disagree on full factors, and each file has its own meaning") {
  AdapterFile const peft = read_adapter(adapter_path("lokr_peft_w1full_w2full"));
  for (AdapterModule const& module : peft.modules) {
    CHECK(module.scale == 2.5);
    CHECK(module.scale_reason == "alpha 15 / rank 6 of adapter_config.json");
  }
  AdapterFile const lycoris = read_adapter(adapter_path("lokr_lycoris_w1full_w2full"));
  for (AdapterModule const& module : lycoris.modules) {
    CHECK(module.scale == 1);
    CHECK(module.scale_reason.starts_with("both factors full: 1"));
  }
}

TEST_CASE("kohya's adapters of a UNet and a text encoder find their modules") {
  for (std::string const name : {"lora_kohya_unet", "lokr_kohya_unet"}) {
    INFO(name);
    dashi::test::GoldenArrays const deltas(name + "/deltas.safetensors");
    std::size_t found = 0;
    std::size_t modules = 0;
    for (auto const& [part, file, pattern] :
         {std::tuple("unet", "base_unet.safetensors", "^lora_te_"),
          std::tuple("text_encoder", "base_text_encoder.safetensors", "^lora_unet_")}) {
      AdapterReadOptions options;
      options.ignore = {pattern};
      if (name == "lokr_kohya_unet" && std::string(part) == "text_encoder") {
        continue;  // it has none
      }
      AdapterFile const adapter = read_adapter(adapter_path(name), options);
      Checkpoint const base(case_path(name) / file);
      for (AdapterTarget const& target : resolve_adapter(adapter, adapter_base(base)).targets) {
        ++found;
        INFO(target.tensor);
        AdapterModule const& module = adapter.modules[target.module];
        Dense const change =
            dashi::test::dense_change(module, base.find(target.tensor)->info.shape);
        CHECK(dashi::test::difference_to_largest(
                  change.values, deltas(std::string(part) + "." + target.tensor)) < 2e-6);
      }
      modules += adapter.modules.size();
    }
    CHECK(found == modules);
    CHECK(found > 30);
  }
}

TEST_CASE("the indices of real cloneofsimo files are those of the derived map") {
  std::ifstream in(dashi::test::shared_data("data/loras/sd15_index_map.json"));
  std::string const text{std::istreambuf_iterator<char>(in), {}};
  std::map<std::string, std::vector<std::string>> maps;
  JsonCursor cursor(text, "map");
  std::string key;
  cursor.begin_object();
  while (cursor.next_member(key)) {
    if (cursor.peek() != '[') {
      cursor.skip_value();
      continue;
    }
    cursor.begin_array();
    while (cursor.next_element()) {
      std::string name;
      cursor.read_string(name);
      maps[key].push_back(std::move(name));
    }
  }
  REQUIRE(maps.at("unet").size() == 144);
  REQUIRE(maps.at("text_encoder").size() == 48);
  for (std::string const file : {"analog_svd_rank4", "lora_disney"}) {
    INFO(file);
    AdapterFile const adapter =
        read_adapter(dashi::test::shared_data("data/loras/" + file + ".safetensors"));
    CHECK(adapter.modules.size() == 192);
    CHECK(adapter.token_embeddings.size() == (file == "lora_disney" ? 2 : 0));
    for (std::string const part : {"unet", "text_encoder"}) {
      AdapterFile half = adapter;
      half.token_embeddings.clear();
      std::erase_if(half.modules, [&](AdapterModule const& m) { return m.part != part; });
      AdapterBase base;
      base.dialect = part == "unet" ? Dialect::unet_diffusers : Dialect::unknown;
      for (std::size_t i = 0; i < half.modules.size(); ++i) {
        auto const& form = std::get<LowRankForm>(half.modules[i].form);
        CHECK(half.modules[i].scale == 1);
        CHECK(half.modules[i].rank == (file == "lora_disney" ? 1 : 4));
        TensorInfo info;
        info.name = maps.at(part).at(i) + ".weight";
        info.dtype = Dtype::f32;
        info.shape = {form.up.shape()[0], form.down.shape()[1]};
        base.tensors.push_back(info);
      }
      std::vector<TensorInfo> const by_index = base.tensors;
      std::sort(base.tensors.begin(), base.tensors.end(),
                [](TensorInfo const& a, TensorInfo const& b) { return a.name < b.name; });
      auto const found = resolve_adapter(half, base);
      REQUIRE(found.targets.size() == by_index.size());
      for (AdapterTarget const& target : found.targets) {
        CHECK(target.tensor == by_index[target.module].name);
      }
    }
  }
}

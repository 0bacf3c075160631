// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Laws of adapters' files: write, read, write gives the same bytes in every dialect; a file that
// is read and written in its own dialect keeps its tensors; a change of dialect keeps the change.
#include <dashi/io/adapters/form_text.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/adapters/write_adapter.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dense_change.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <shared_data.hpp>
#include <string>
#include <vector>

namespace {

using namespace dashi::io;
using Shape = std::vector<std::uint64_t>;

constexpr Dialect dialects[] = {
    Dialect::peft,      Dialect::kohya,          Dialect::lycoris,
    Dialect::comfyui,   Dialect::diffusers_lora, Dialect::diffusers_lora_old,
    Dialect::ibm_krona, Dialect::cloneofsimo,    Dialect::dashi_adapter};

std::string contents(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
std::string all_contents(std::filesystem::path const& path, Dialect dialect) {
  std::string out = contents(adapter_weights_path(path, dialect));
  REQUIRE(!out.empty());
  return dialect == Dialect::peft ? out + contents(path / "adapter_config.json") : out;
}

/// Name, dtype, shape and bytes of every tensor.
std::map<std::string, std::string> tensors_of(std::filesystem::path const& path) {
  Checkpoint const file(path);
  std::map<std::string, std::string> out;
  for (TensorRef const& ref : file.tensors()) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(ref.info.bytes()));
    file.read(ref, 0, bytes);
    out[ref.info.name] = std::string(name(ref.info.dtype)) + shape_text(ref.info.shape) +
                         std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  }
  return out;
}

AdapterTensor tensor(Shape shape, unsigned seed) {
  std::size_t count = 1;
  for (std::uint64_t const extent : shape) {
    count *= static_cast<std::size_t>(extent);
  }
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = std::sin(static_cast<double>(seed * 131 + i));
  }
  return {Dtype::f32, std::move(shape), detail::rounded_bytes(values, Dtype::f32)};
}

AdapterModule module_of(std::string path, double scale, std::uint64_t rank,
                        decltype(AdapterModule::form) form) {
  AdapterModule module;
  module.path = std::move(path);
  module.form = std::move(form);
  module.scale = scale;
  module.rank = rank;
  return module;
}

/// One module of each form that has a dense change, with the weight that it is for.
struct Sample {
  AdapterModule module;
  Shape weight;
};
std::vector<Sample> samples() {
  auto full = [](Shape shape, unsigned seed) {
    return KroneckerFactorForm{tensor(std::move(shape), seed), {}, {}, {}};
  };
  auto low = [](Shape a, Shape b, unsigned seed) {
    return KroneckerFactorForm{{}, tensor(std::move(a), seed), tensor(std::move(b), seed + 1), {}};
  };
  AdapterModule dora =
      module_of("m.dora", 2, 3, LowRankForm{tensor({3, 6}, 1), tensor({8, 3}, 2), {}, false});
  dora.dora = MagnitudeForm{tensor({8, 1}, 3), false};
  AdapterModule dora_in = dora;
  dora_in.path = "m.dora_in";
  dora_in.dora = MagnitudeForm{tensor({1, 6}, 3), true};
  AdapterModule dense = module_of("m.dense", 1, 0, DenseForm{tensor({8, 6}, 4)});
  dense.bias = tensor({8}, 5);
  dense.bias_is_difference = true;
  KroneckerFactorForm tucker{{}, tensor({2, 4}, 8), tensor({2, 5}, 9), tensor({2, 2, 3, 3}, 10)};
  return {
      {module_of("m.attn1.to_q", 1, 2,
                 LowRankForm{tensor({2, 6}, 1), tensor({8, 2}, 2), {}, false}),
       {8, 6}},
      {module_of("m.lora", -0.75, 2, LowRankForm{tensor({2, 6}, 1), tensor({8, 2}, 2), {}, false}),
       {8, 6}},
      {module_of("m.conv", 0.3, 2,
                 LowRankForm{tensor({2, 6, 3, 3}, 1), tensor({8, 2, 1, 1}, 2), {}, false}),
       {8, 6, 3, 3}},
      {module_of("m.tucker", 1.5, 2,
                 LowRankForm{tensor({2, 6, 1, 1}, 1), tensor({8, 2, 1, 1}, 2),
                             tensor({2, 2, 3, 3}, 3), false}),
       {8, 6, 3, 3}},
      {module_of("m.table", 1.5, 2, LowRankForm{tensor({2, 9}, 1), tensor({16, 2}, 2), {}, true}),
       {9, 16}},
      {module_of("m.full", 2.5, 0, KroneckerForm{full({2, 2}, 1), full({4, 3}, 2), false}), {8, 6}},
      {module_of("m.second", 1.5, 1, KroneckerForm{full({2, 2}, 1), low({4, 1}, {1, 3}, 2), false}),
       {8, 6}},
      {module_of("m.first", 0.7, 1, KroneckerForm{low({8, 1}, {1, 4}, 1), full({1, 1}, 2), false}),
       {8, 4}},
      {module_of("m.both", 3, 1,
                 KroneckerForm{low({4, 1}, {1, 4}, 1), low({4, 1}, {1, 4}, 2), false}),
       {16, 16}},
      {module_of("m.kernel", 3, 1, KroneckerForm{full({2, 2}, 1), low({4, 1}, {1, 27}, 2), false}),
       {8, 6, 3, 3}},
      {module_of("m.core", 3, 2, KroneckerForm{full({2, 2}, 1), tucker, false}), {8, 10, 3, 3}},
      {module_of("m.attn1.to_k", 1, 0, KroneckerForm{full({3, 2}, 1), full({5, 4}, 2), true}),
       {10, 12}},
      {dora, {8, 6}},
      {dora_in, {8, 6}},
      {dense, {8, 6}},
  };
}

AdapterFile made(std::vector<AdapterModule> modules) {
  AdapterFile adapter;
  adapter.dialect = Dialect::dashi_adapter;
  adapter.modules = std::move(modules);
  return adapter;
}

std::vector<double> change(AdapterModule const& module, Shape const& weight) {
  return module.dora ? dashi::test::dense_change_with_dora(
                           module, dashi::test::dense(tensor(weight, 77)), weight, 0)
                           .values
                     : dashi::test::dense_change(module, weight).values;
}

double largest_difference(std::vector<double> const& a, std::vector<double> const& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  return difference / largest;
}

struct Golden {
  std::filesystem::path path;
  std::vector<std::string> bases;
};
std::vector<Golden> golden_files() {
  std::vector<Golden> out;
  std::filesystem::path const root = dashi::test::shared_data("golden");
  for (auto const& entry : std::filesystem::directory_iterator(root)) {
    std::string const name = entry.path().filename().string();
    if (!name.starts_with("lora_") && !name.starts_with("lokr_") && !name.starts_with("locon_")) {
      continue;
    }
    bool const folder = std::filesystem::exists(entry.path() / "adapter");
    out.push_back({entry.path() / (folder ? "adapter" : "adapter.safetensors"), {}});
  }
  for (std::string const name : {"analog_svd_rank4", "lora_disney"}) {
    out.push_back({dashi::test::shared_data("data/loras/" + name + ".safetensors"), {}});
  }
  std::sort(out.begin(), out.end(),
            [](Golden const& a, Golden const& b) { return a.path < b.path; });
  REQUIRE(out.size() > 35);
  return out;
}

}  // namespace

TEST_CASE(
    "each form, in each dialect that holds it, means the same and is written the same again") {
  std::map<Dialect, int> held;
  for (Sample const& sample : samples()) {
    for (Dialect const dialect : dialects) {
      INFO(sample.module.path << " in " << name(dialect));
      dashi::merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
      std::filesystem::path const first = folder.path() / "first";
      std::filesystem::path const second = folder.path() / "second";
      try {
        write_adapter(first, made({sample.module}), dialect);
      } catch (dashi::FormatError const& error) {
        CHECK(error.diagnosis().code == "cannot-hold-form");
        CHECK_FALSE(std::filesystem::exists(first));
        continue;
      } catch (dashi::UsageError const&) {
        CHECK(dialect == Dialect::cloneofsimo);  // needs a base for its indices
        continue;
      }
      ++held[dialect];
      AdapterFile const back = read_adapter(first);
      CHECK(back.dialect == dialect);
      REQUIRE(back.modules.size() == 1);
      CHECK(largest_difference(change(back.modules.front(), sample.weight),
                               change(sample.module, sample.weight)) < 3e-7);
      write_adapter(second, back, dialect);
      CHECK(all_contents(first, dialect) == all_contents(second, dialect));
    }
  }
  CHECK(held[Dialect::dashi_adapter] == static_cast<int>(samples().size()));
  CHECK(held[Dialect::kohya] == 13);
  CHECK(held[Dialect::lycoris] == 13);
  CHECK(held[Dialect::comfyui] == 13);
  CHECK(held[Dialect::diffusers_lora] == 4);
  CHECK(held[Dialect::diffusers_lora_old] == 3);
  CHECK(held[Dialect::ibm_krona] == 1);
  CHECK(held[Dialect::peft] == 10);
}

TEST_CASE("files of other tools keep their tensors in their own dialect") {
  for (Golden const& golden : golden_files()) {
    INFO(golden.path);
    AdapterFile const adapter = read_adapter(golden.path);
    dashi::merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
    std::filesystem::path const first = folder.path() / "first";
    write_adapter(first, adapter, adapter.dialect);
    CHECK(tensors_of(first) == tensors_of(golden.path));
    for (auto const& [key, value] : adapter.metadata) {
      CHECK(Checkpoint(first).metadata().at(key) == value);
    }
    if (adapter.dialect == Dialect::peft) {
      CHECK(contents(first / "adapter_config.json") ==
            contents(golden.path / "adapter_config.json"));
    }
    std::filesystem::path const second = folder.path() / "second";
    write_adapter(second, read_adapter(first), adapter.dialect);
    CHECK(all_contents(first, adapter.dialect) == all_contents(second, adapter.dialect));
  }
}

TEST_CASE("files of other tools mean the same in every dialect that can hold them") {
  int conversions = 0;
  for (Golden const& golden : golden_files()) {
    std::filesystem::path const case_folder = golden.path.parent_path();
    if (!std::filesystem::exists(case_folder / "base.safetensors")) {
      continue;
    }
    Checkpoint const checkpoint(case_folder / "base.safetensors");
    AdapterBase const base = adapter_base(checkpoint);
    AdapterNames const names(base);
    AdapterFile const adapter = read_adapter(golden.path);
    AdapterResolution const before = resolve_adapter(adapter, base);
    for (Dialect const dialect : dialects) {
      INFO(golden.path << " in " << name(dialect));
      dashi::merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
      std::filesystem::path const path = folder.path() / "converted";
      try {
        write_adapter(path, adapter, dialect, {.file = {}, .names = &names});
      } catch (dashi::FormatError const& error) {
        CHECK((error.diagnosis().code == "cannot-hold-form" ||
               (dialect == Dialect::cloneofsimo && error.diagnosis().code == "names-differ")));
        continue;
      }
      ++conversions;
      AdapterFile const back = read_adapter(path);
      AdapterResolution const after = resolve_adapter(back, base);
      REQUIRE(after.targets.size() == before.targets.size());
      for (AdapterTarget const& target : after.targets) {
        auto const same = std::find_if(before.targets.begin(), before.targets.end(),
                                       [&](auto const& t) { return t.tensor == target.tensor; });
        REQUIRE(same != before.targets.end());
        INFO(target.tensor);
        Shape const& weight = checkpoint.find(target.tensor)->info.shape;
        // A factor of fp16 or bf16 that a scale went into was rounded once.
        bool const small = adapter.dialect == Dialect::kohya;
        CHECK(largest_difference(change(back.modules[target.module], weight),
                                 change(adapter.modules[same->module], weight)) <
              (small ? 8e-3 : 3e-7));
      }
    }
  }
  CHECK(conversions > 150);
}

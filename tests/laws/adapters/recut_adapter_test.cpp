// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Laws of cutting and joining: modules of query, key and value together, and apart, do the same to
// every row, and come back as they were.
#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/io/adapters/recut_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/adapters/write_adapter.hpp>

#include <catch2/catch_test_macros.hpp>

#include <adapter_forms.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using namespace dashi::test;

constexpr std::uint64_t width = 8;
constexpr char const* thirds[] = {"to_q", "to_k", "to_v"};

std::string embedder_of(std::string const& block) {
  return "transformer_blocks." + block + ".norm1.emb.timestep_embedder.linear_2";
}

/// A DiT in both names, its attention in one block, its embedder in two.
io::AdapterBase base_of(io::Dialect dialect) {
  std::map<std::string, Shape> shapes;
  auto const layer = [&](std::string const& name, std::uint64_t rows) {
    shapes[name + ".weight"] = {rows, width};
    shapes[name + ".bias"] = {rows};
  };
  if (dialect == io::Dialect::dit_original) {
    layer("blocks.0.adaLN_modulation.1", 6 * width);
    layer("blocks.1.adaLN_modulation.1", 6 * width);
    layer("blocks.0.attn.qkv", 3 * width);
    layer("blocks.0.attn.proj", width);
    layer("t_embedder.mlp.2", width);
  } else {
    layer("transformer_blocks.0.norm1.linear", 6 * width);
    for (char const* const third : thirds) {
      layer("transformer_blocks.0.attn1." + std::string(third), width);
    }
    layer("transformer_blocks.0.attn1.to_out.0", width);
    layer("transformer_blocks.1.norm1.linear", 6 * width);
    for (char const* const block : {"0", "1"}) {
      layer(embedder_of(block), width);
    }
  }
  io::AdapterBase base;
  base.file = "base.safetensors";
  base.dialect = dialect;
  for (auto const& [name, shape] : shapes) {
    base.tensors.push_back({name, io::Dtype::f64, shape, 0, 0});
  }
  return base;
}

io::AdapterFile file_of(std::vector<io::AdapterModule> modules) {
  io::AdapterFile file;
  file.path = "adapter.safetensors";
  file.dialect = io::Dialect::dashi_adapter;
  file.modules = std::move(modules);
  return file;
}

/// Rows and bias of query, key and value after the adapter, whatever names the base has.
Values applied(io::AdapterFile const& adapter, io::AdapterBase const& base) {
  auto const targets = io::resolve_adapter(adapter, base).targets;
  Values weight = random_values(3 * width * width, 77);
  Values bias = random_values(3 * width, 78);
  for (io::AdapterTarget const& target : targets) {
    std::uint64_t row = target.tensor_row;
    for (std::size_t third = 0; third < 3; ++third) {
      row += target.tensor.find(thirds[third]) != std::string::npos ? third * width : 0;
    }
    if (target.tensor.find("attn1.to_out") != std::string::npos ||
        target.tensor.find("attn.proj") != std::string::npos) {
      continue;
    }
    checkpoints::AdapterChange const change(adapter.modules.at(target.module), 1);
    auto const first = static_cast<std::size_t>(target.module_row);
    auto const count = static_cast<std::size_t>(target.rows);
    auto const at = static_cast<std::size_t>(row);
    change.apply(first, count, std::span(weight).subspan(at * width, count * width));
    change.apply_to_bias(first, std::span(bias).subspan(at, count));
  }
  weight.insert(weight.end(), bias.begin(), bias.end());
  return weight;
}

io::AdapterModule module_of(std::string path, decltype(io::AdapterModule::form) form,
                            double scale = 0.75, std::uint64_t rank = 2) {
  io::AdapterModule module;
  module.path = std::move(path);
  module.form = std::move(form);
  module.scale = scale;
  module.rank = rank;
  return module;
}

io::LowRankForm low_rank(std::uint64_t rows, unsigned seed) {
  return {random_tensor({2, width}, seed), random_tensor({rows, 2}, seed + 1), {}, false};
}
io::KroneckerFactorForm full(Shape const& shape, unsigned seed) {
  return {random_tensor(shape, seed), {}, {}, {}};
}

/// One module on query, key and value, in each form that has thirds.
std::map<std::string, io::AdapterModule> fused_modules() {
  std::string const path = "blocks.0.attn.qkv";
  std::uint64_t const rows = 3 * width;
  std::map<std::string, io::AdapterModule> out;
  out["LoRA"] = module_of(path, low_rank(rows, 1));
  out["DoRA"] = out["LoRA"];
  out["DoRA"].dora = io::MagnitudeForm{random_tensor({rows}, 3), false};
  out["full"] = module_of(path, io::KroneckerForm{full({6, 2}, 4), full({4, 4}, 5), false});
  out["low"] = module_of(
      path, io::KroneckerForm{{{}, random_tensor({12, 2}, 6), random_tensor({2, 4}, 7), {}},
                              {{}, random_tensor({2, 2}, 8), random_tensor({2, 2}, 9), {}},
                              false});
  out["dense"] = module_of(path, io::DenseForm{random_tensor({rows, width}, 10)}, 1, 0);
  out["dense"].bias = random_tensor({rows}, 11);
  out["dense"].bias_is_difference = true;
  out["gamma"] = module_of(path, io::ScaleForm{random_tensor({rows}, 12)}, 1, 0);
  out["gamma"].bias = random_tensor({rows}, 13);
  out["whole"] = module_of(path, io::NoForm{}, 1, 0);
  out["whole"].replacement = random_tensor({rows, width}, 14);
  return out;
}

std::string text_of(io::AdapterModule const& module) {
  std::string out = module.path;
  auto const encoded =
      io::encode_adapter(file_of({module}), io::Dialect::dashi_adapter, nullptr).tensors;
  for (auto const& [name, tensor] : encoded) {
    auto const bytes = tensor.bytes();
    out += name + std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    for (auto const extent : tensor.shape()) {
      out += "," + std::to_string(extent);
    }
  }
  return out;
}

std::string refusal(io::AdapterFile const& adapter, io::AdapterNames const& names,
                    io::NameStyle style) {
  try {
    (void)io::recut_adapter(adapter, names, style);
  } catch (FormatError const& error) {
    CHECK(error.diagnosis().code == "names-differ");
    return error.what();
  }
  FAIL("it was not refused");
  return {};
}

TEST_CASE("one module on query, key and value is cut into three and joined again", "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterBase const diffusers = base_of(io::Dialect::dit_diffusers);
  io::AdapterNames const original_names(original), diffusers_names(diffusers);
  for (auto const& [name, module] : fused_modules()) {
    INFO(name);
    io::AdapterFile const whole = file_of({module});
    Values const expected = applied(whole, original);
    CHECK(applied(whole, diffusers) == expected);
    // The same, whichever names the base itself has.
    io::AdapterFile const by_original =
        io::recut_adapter(whole, original_names, io::NameStyle::diffusers);
    io::AdapterFile const by_stored =
        io::recut_adapter(whole, diffusers_names, io::NameStyle::stored);
    REQUIRE(by_original.modules.size() == 3);
    REQUIRE(by_stored.modules.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(text_of(by_original.modules[i]) == text_of(by_stored.modules[i]));
    }
    CHECK(applied(by_original, original) == expected);
    CHECK(applied(by_original, diffusers) == expected);
    for (auto const& [names, style] : {std::pair{&original_names, io::NameStyle::stored},
                                       std::pair{&diffusers_names, io::NameStyle::original}}) {
      io::AdapterFile const back = io::recut_adapter(by_original, *names, style);
      REQUIRE(back.modules.size() == 1);
      CHECK(text_of(back.modules[0]) == text_of(module));
      CHECK(back.modules[0].rank == module.rank);
      CHECK(back.modules[0].scale == module.scale);
    }
  }
}

TEST_CASE("separate LoRAs are joined with their ranks side by side, what is missing as nothing",
          "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterNames const names(original);
  for (bool const scales_differ : {false, true}) {
    for (bool const with_key : {true, false}) {
      std::vector<io::AdapterModule> modules;
      for (unsigned third = 0; third < 3; ++third) {
        if (third == 1 && !with_key) {
          continue;
        }
        modules.push_back(module_of("transformer_blocks.0.attn1." + std::string(thirds[third]),
                                    low_rank(width, 20 + 2 * third),
                                    scales_differ ? 0.5 + third : 0.5));
      }
      io::AdapterFile const apart = file_of(modules);
      io::AdapterFile const joined = io::recut_adapter(apart, names, io::NameStyle::stored);
      REQUIRE(joined.modules.size() == 1);
      CHECK(joined.modules[0].path == "blocks.0.attn.qkv");
      CHECK(joined.modules[0].rank == 2 * modules.size());
      CHECK(joined.modules[0].scale == (scales_differ ? 1 : 0.5));
      Values const expected = applied(apart, original);
      Values const found = applied(joined, original);
      REQUIRE(found.size() == expected.size());
      double largest = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        largest = std::max(largest, std::abs(found[i] - expected[i]));
      }
      CHECK(largest < 1e-14);
    }
  }
}

TEST_CASE("biases' differences and gammas of a third leave the others", "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterNames const names(original);
  io::AdapterModule gamma =
      module_of("transformer_blocks.0.attn1.to_k", io::ScaleForm{random_tensor({width}, 1)}, 1, 0);
  gamma.bias = random_tensor({width}, 2);
  gamma.bias_is_difference = true;
  io::AdapterFile const apart = file_of({gamma});
  io::AdapterFile const joined = io::recut_adapter(apart, names, io::NameStyle::stored);
  CHECK(joined.modules.at(0).path == "blocks.0.attn.qkv");
  CHECK(applied(joined, original) == applied(apart, original));
}

TEST_CASE("other modules keep what they are, under the base's names", "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterBase const diffusers = base_of(io::Dialect::dit_diffusers);
  io::AdapterNames const names(diffusers);
  io::AdapterModule const proj = module_of("blocks.0.attn.proj", low_rank(width, 1));
  io::AdapterModule const qkv = module_of("blocks.0.attn.qkv", low_rank(3 * width, 3));
  // Nothing is to be cut: the adapter as it is.
  CHECK(io::recut_adapter(file_of({proj}), names, io::NameStyle::stored).modules[0].path ==
        "blocks.0.attn.proj");
  io::AdapterFile both = file_of({proj, qkv});
  both.dialect = io::Dialect::kohya;
  both.modules[0].path = "blocks_0_attn_proj";
  both.modules[1].path = "blocks_0_attn_qkv";
  both.modules[0].part = both.modules[1].part = "lora_unet";
  io::AdapterFile const cut = io::recut_adapter(both, names, io::NameStyle::stored);
  CHECK(cut.dialect == io::Dialect::dashi_adapter);
  REQUIRE(cut.modules.size() == 4);
  for (io::AdapterModule const& module : cut.modules) {
    CHECK(module.part.empty());
  }
  CHECK(applied(cut, diffusers) == applied(file_of({proj, qkv}), original));
  // In the names of a dialect's users, on a base in either names.
  for (io::AdapterBase const& base : {original, diffusers}) {
    io::AdapterNames const of_base(base);
    std::vector<std::string> found;
    for (auto const& entry : io::encode_adapter(cut, io::Dialect::comfyui, &of_base).tensors) {
      found.push_back(entry.name);
    }
    CHECK(found == std::vector<std::string>{"diffusion_model.blocks.0.attn.proj.lora_A.weight",
                                            "diffusion_model.blocks.0.attn.proj.lora_B.weight",
                                            "diffusion_model.blocks.0.attn.proj.alpha",
                                            "diffusion_model.blocks.0.attn.qkv.lora_A.weight",
                                            "diffusion_model.blocks.0.attn.qkv.lora_B.weight",
                                            "diffusion_model.blocks.0.attn.qkv.alpha"});
  }
}

TEST_CASE("a module of an embedder goes to its copies, and comes back from equal ones", "[recut]") {
  io::AdapterBase const diffusers = base_of(io::Dialect::dit_diffusers);
  io::AdapterNames const names(diffusers);
  io::AdapterModule embedder = module_of("t_embedder.mlp.2", low_rank(width, 5));
  embedder.dora = io::MagnitudeForm{random_tensor({1, width}, 6), false};
  io::AdapterFile const copies =
      io::translate_adapter(file_of({embedder}), io::Dialect::diffusers_lora, &names);
  REQUIRE(copies.modules.size() == 2);
  CHECK(copies.modules[0].path == embedder_of("0"));
  CHECK(copies.modules[1].path == embedder_of("1"));
  io::AdapterFile const back = io::translate_adapter(copies, io::Dialect::comfyui, &names);
  REQUIRE(back.modules.size() == 1);
  CHECK(back.modules[0].path == "t_embedder.mlp.2");

  io::AdapterModule first = module_of(embedder_of("0"), low_rank(width, 5));
  io::AdapterModule other = module_of(embedder_of("1"), low_rank(width, 7));
  CHECK(
      refusal(file_of({first, other}), names, io::NameStyle::original).find("another copy of it") !=
      std::string::npos);
  CHECK(
      refusal(file_of({first}), names, io::NameStyle::original).find("is there without that of") !=
      std::string::npos);
}

TEST_CASE("modules of other shapes than the base, or without a place, are not cut", "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterNames const names(original);
  auto const code = [&](std::vector<io::AdapterModule> modules) {
    try {
      (void)io::recut_adapter(file_of(std::move(modules)), names, io::NameStyle::diffusers);
    } catch (FormatError const& error) {
      return error.diagnosis().code;
    }
    return std::string("none");
  };
  std::string const qkv = "blocks.0.attn.qkv";
  CHECK(code({module_of(qkv, low_rank(width, 1))}) == "shape-mismatch");
  CHECK(code({module_of(qkv, low_rank(6 * width, 1))}) == "shape-mismatch");
  io::AdapterModule dora = module_of(qkv, low_rank(3 * width, 1));
  dora.dora = io::MagnitudeForm{random_tensor({width}, 2), false};
  CHECK(code({dora}) == "shape-mismatch");
  io::AdapterModule biased = module_of(qkv, low_rank(3 * width, 1));
  biased.bias = random_tensor({width}, 2);
  CHECK(code({biased}) == "shape-mismatch");
  CHECK(code({module_of(qkv, low_rank(3 * width, 1)),
              module_of("blocks.0.attn.typo", low_rank(width, 2))}) == "no-place");
}

TEST_CASE("what cannot be cut or joined without loss is refused", "[recut]") {
  io::AdapterBase const original = base_of(io::Dialect::dit_original);
  io::AdapterNames const names(original);
  auto const cut = [&](io::AdapterModule const& module) {
    return refusal(file_of({module}), names, io::NameStyle::diffusers);
  };
  std::string const qkv = "blocks.0.attn.qkv";
  // 3 does not divide the rows of the first factor.
  CHECK(cut(module_of(qkv, io::KroneckerForm{full({4, 4}, 1), full({6, 2}, 2), false}))
            .find("rows 0 to 8 of its form are none") != std::string::npos);
  // One block after the other: rows of the second factor.
  io::AdapterModule const inside =
      module_of(qkv, io::KroneckerForm{full({1, 4}, 1), full({24, 2}, 2), false});
  CHECK(applied(io::recut_adapter(file_of({inside}), names, io::NameStyle::diffusers), original) ==
        applied(file_of({inside}), original));
  io::AdapterModule columns = module_of(qkv, low_rank(3 * width, 3));
  columns.dora = io::MagnitudeForm{random_tensor({1, width}, 4), true};
  (void)cut(columns);

  auto const join = [&](std::vector<io::AdapterModule> modules) {
    for (std::size_t i = 0; i < modules.size(); ++i) {
      modules[i].path = "transformer_blocks.0.attn1." + std::string(thirds[i]);
    }
    return refusal(file_of(std::move(modules)), names, io::NameStyle::stored);
  };
  auto const says = [](std::string const& message, char const* part) {
    return message.find(part) != std::string::npos;
  };
  CHECK(says(join({module_of("", io::KroneckerForm{full({2, 2}, 1), full({4, 4}, 2), false}),
                   module_of("", io::KroneckerForm{full({2, 2}, 1), full({4, 4}, 3), false})}),
             "without a factor in common"));
  CHECK(says(join({module_of("", low_rank(width, 1)),
                   module_of("", io::DenseForm{random_tensor({width, width}, 2)}, 1, 0)}),
             "changes of two kinds"));
  io::AdapterModule biased = module_of("", low_rank(width, 1));
  biased.bias = random_tensor({width}, 2);
  CHECK(says(join({biased}), "trained biases or whole weights"));
  io::AdapterModule dora = module_of("", low_rank(width, 1));
  dora.dora = io::MagnitudeForm{random_tensor({width}, 2), false};
  CHECK(says(join({dora, module_of("", low_rank(width, 1))}), "magnitudes (DoRA)"));
  io::AdapterModule rounded = module_of("", low_rank(width, 1));
  std::get<io::LowRankForm>(rounded.form).down = io::AdapterTensor(
      io::Dtype::f32, {2, width}, std::vector<std::byte>(2 * width * sizeof(float)));
  CHECK(says(join({rounded, module_of("", low_rank(width, 1))}), "two dtypes"));
}

}  // namespace

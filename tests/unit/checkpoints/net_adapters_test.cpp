// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/net_adapters.hpp>
#include <dashi/checkpoints/trained_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <unit/backbones/tiny_dit.hpp>

#include <algorithm>
#include <map>

namespace {

using namespace dashi;
using namespace dashi::checkpoints;
using Catch::Matchers::ContainsSubstring;
using Exec = Kokkos::DefaultExecutionSpace;
using P = precision::Float64;
using Net = AdditiveDit<Exec, P>;
using Kind = AdapterChoice::Kind;
using Values = std::vector<double>;

io::DitModel model_of(io::Dialect dialect) {
  io::DitModel model;
  model.dialect = dialect;
  return model;
}

/// Names and shapes of a checkpoint of the net.
io::AdapterBase base_of(test::TinyDit<Net>& dit, io::Dialect dialect) {
  io::AdapterBase base;
  base.file = "base.safetensors";
  base.dialect = dialect;
  io::DitNames const names(test::tiny_config().depth);
  for (auto const& entry : dit.list) {
    DitParameterName const name(entry.name);
    auto const* const place = names.find_original(name.original);
    if (place == nullptr) {
      continue;
    }
    io::DitName const& known = names.entries()[place->entry];
    auto const add = [&](std::string const& file_name, std::vector<Index> shape) {
      io::TensorInfo info;
      info.name = file_name;
      info.dtype = io::Dtype::f32;
      info.shape.assign(shape.begin(), shape.end());
      base.tensors.push_back(std::move(info));
    };
    auto shape = entry.shape;
    if (dialect == io::Dialect::dit_original) {
      add(known.original, shape);
      continue;
    }
    shape.front() /= known.how == io::DitStorage::row_thirds ? 3 : 1;
    for (std::size_t copy = 0; copy < known.diffusers.size(); ++copy) {
      if (name.embedder < 0 || name.embedder == static_cast<Index>(copy)) {
        add(known.diffusers[copy], shape);
      }
    }
  }
  std::sort(base.tensors.begin(), base.tensors.end(),
            [](auto const& a, auto const& b) { return a.name < b.name; });
  return base;
}

/// Numbers that a float holds.
void round_to_float(ParameterList<P, Exec> const& list) {
  for (auto const& entry : list) {
    Values values(static_cast<std::size_t>(entry.parameter.size()));
    entry.parameter.read(std::span<double>(values));
    for (double& value : values) {
      value = static_cast<float>(value);
    }
    entry.parameter.write(std::span<double const>(values));
  }
}

/// A net with the adapters of files on the base `from`.
struct Loaded {
  Loaded(NetAdapters const& adapters, test::TinyDit<Net>& from, DitConfig const& config)
      : dit(adapters.options(), config) {
    for (auto const& entry : from.list) {
      if (entry.kind == ParameterKind::adapter || entry.kind == ParameterKind::scale) {
        continue;
      }
      Values values = from.value(entry.name);
      adapters.edit(entry.name, entry.shape, std::span<double>(values));
      dit.list.find(entry.name)->parameter.write(std::span<double const>(values));
    }
    adapters.fill(dit.list);
  }
  test::TinyDit<Net> dit;
};

double distance(Values const& a, Values const& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::fmax(largest, std::fabs(a[i] - b[i]));
  }
  return largest;
}

AdapterChoice choice_of(Kind kind, std::vector<std::string> modules) {
  AdapterChoice choice;
  choice.kind = kind;
  choice.modules = std::move(modules);
  choice.low_rank = {.rank = 2, .alpha = 3};
  choice.kronecker = {.a_rows = 2, .a_cols = 4, .rank = 1, .b_low_rank = true, .alpha = 2};
  return choice;
}

io::AdapterTensor tensor(Values const& values, std::vector<std::uint64_t> shape) {
  auto const bytes = std::as_bytes(std::span(values));
  return {io::Dtype::f64, std::move(shape), {bytes.begin(), bytes.end()}};
}

/// `rows` x `cols` change of a map, rows from `first` on.
struct Change {
  std::string parameter;
  Index first;
  Values values;
};

}  // namespace

TEST_CASE("maps of a DiT are those that a net asks options for", "[net_adapters]") {
  auto config = test::tiny_config();
  config.embedders = GENERATE(Embedders::shared, Embedders::per_block);
  std::map<std::string, LayerInfo> asked;
  Context<Exec> ctx;
  Net const net(ctx, config, dashi::additive_options([&](LayerInfo const& layer) {
                  asked.emplace(layer.name, layer);
                  return AdditiveAdapters{};
                }));
  auto const maps = dit_maps(config);
  CHECK(maps.size() == asked.size());
  for (LayerInfo const& map : maps) {
    INFO(map.name);
    REQUIRE(asked.contains(map.name));
    LayerInfo const& layer = asked.at(map.name);
    CHECK(layer.role == map.role);
    CHECK(layer.block == map.block);
    CHECK(layer.depth == map.depth);
    CHECK(layer.shape.out == map.shape.out);
    CHECK(layer.shape.in == map.shape.in);
  }
}

TEST_CASE("adapters are chosen by roles and by names", "[net_adapters]") {
  auto const config = test::tiny_config();
  auto const names = [&](AdapterChoice const& choice) {
    std::vector<std::string> out;
    for (MapAdapter const& adapter : map_adapters(config, choice)) {
      out.push_back(adapter.map + (adapter.part.name.empty() ? "" : "/" + adapter.part.name));
    }
    return out;
  };
  using Names = std::vector<std::string>;
  CHECK(names(choice_of(Kind::low_rank, {"attention"})) ==
        Names{"blocks.0.attn.qkv/query", "blocks.0.attn.qkv/key", "blocks.0.attn.qkv/value",
              "blocks.0.attn.proj", "blocks.1.attn.qkv/query", "blocks.1.attn.qkv/key",
              "blocks.1.attn.qkv/value", "blocks.1.attn.proj"});
  CHECK(names(choice_of(Kind::low_rank, {"query", "mlp_in"})) ==
        Names{"blocks.0.attn.qkv/query", "blocks.0.mlp.fc1", "blocks.1.attn.qkv/query",
              "blocks.1.mlp.fc1"});
  CHECK(names(choice_of(Kind::low_rank, {"any"})).size() == 2 * 5 + 5);
  CHECK(names(choice_of(Kind::low_rank, {R"(blocks\.1\..*fc\d)", R"(.*\.0\.attn\.qkv\.key)"})) ==
        Names{"blocks.0.attn.qkv/key", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2"});
  auto difffit = choice_of(Kind::difffit, {"qkv", "mlp_out"});
  CHECK(names(difffit) == Names{"blocks.0.attn.qkv", "blocks.0.mlp.fc2"});
  difffit.scaled_blocks = 2;
  CHECK(names(difffit).size() == 4);
  CHECK(names(choice_of(Kind::bitfit, {"any"})).empty());
  CHECK_THROWS_WITH(names(choice_of(Kind::low_rank, {"mlp", "atention"})),
                    ContainsSubstring("'atention', which matches no map"));
  CHECK_THROWS_WITH(names(choice_of(Kind::low_rank, {"("})),
                    ContainsSubstring("a role or a regular expression"));
  CHECK_THROWS_WITH(names(choice_of(Kind::low_rank, {"qkv", "key"})),
                    ContainsSubstring("both as one map and apart"));
}

TEST_CASE("factors are low-rank where that is smaller, with one scale", "[net_adapters]") {
  DitConfig config;
  AdapterChoice choice = choice_of(Kind::kronecker, {"attention_output", "patch"});
  choice.kronecker = Kronecker::lokr(8);
  choice.kronecker.rank = 4;
  choice.kronecker.alpha = 6;
  choice.kronecker.a_low_rank = choice.kronecker.b_low_rank = true;
  for (MapAdapter const& adapter : map_adapters(config, choice)) {
    auto const& options = std::get<Kronecker>(adapter.part.adapter.choice);
    CHECK_FALSE(options.a_low_rank);  // 8 x 8, and rank 4 is half of it
    bool const patch = adapter.map == "x_embedder.proj";
    CHECK(options.b_low_rank);
    CHECK(options.scale() == 1.5);
    if (patch) {
      CHECK(options.shape({384, 16}) == kernels::KroneckerShape{8, 4, 48, 4});
    }
  }
  choice.kronecker.rank = 24;
  auto const full = std::get<Kronecker>(map_adapters(config, choice)[1].part.adapter.choice);
  CHECK_FALSE(full.b_low_rank);
  CHECK(full.scale() == 0.25);
}

TEST_CASE("what is trained comes back as it was", "[net_adapters]") {
  auto const dialect = GENERATE(io::Dialect::dit_original, io::Dialect::dit_diffusers);
  auto const embedders = GENERATE(Embedders::shared, Embedders::per_block);
  if (dialect == io::Dialect::dit_original && embedders == Embedders::per_block) {
    return;  // no such files
  }
  auto const kind = GENERATE(Kind::low_rank, Kind::kronecker, Kind::difffit, Kind::bitfit);
  auto const modules =
      GENERATE(std::vector<std::string>{"any"}, std::vector<std::string>{"attention", "patch"});
  auto config = test::tiny_config();
  config.embedders = embedders;
  AdapterChoice choice = choice_of(kind, modules);
  choice.class_table = kind != Kind::kronecker;
  auto const adapters = map_adapters(config, choice);
  INFO("kind " << static_cast<int>(kind) << ", modules " << modules.front() << ", dialect "
               << io::name(dialect));
  test::TinyDit<Net> base({}, config);
  test::TinyDit<Net> trained(additive_options(adapters), config);
  test::fill_with_noise(trained.list, 0.4);  // another bias and table than the base's
  round_to_float(base.list);
  round_to_float(trained.list);
  train_adapters(trained.list, choice);
  for (auto const& entry : base.list) {  // frozen ones are the base's
    auto const& parameter = trained.list.find(entry.name)->parameter;
    if (!parameter.trained()) {
      parameter.write(std::span<double const>(base.value(entry.name)));
    }
  }
  Index const own = trained.list.count(true);
  CHECK(own > 0);
  auto const file = trained_adapter(config, dialect, adapters, trained.list);
  Index kept = 0;
  for (auto const& module : file.modules) {
    kept += static_cast<Index>(module.bias.elements() * (module.bias.empty() ? 0 : 1));
    kept += module.replacement.empty() ? 0 : static_cast<Index>(module.replacement.elements());
    if (auto const* const low_rank = std::get_if<io::LowRankForm>(&module.form)) {
      kept += static_cast<Index>(low_rank->down.elements() + low_rank->up.elements());
    } else if (auto const* const kron = std::get_if<io::KroneckerForm>(&module.form)) {
      kept += static_cast<Index>(kron->first.full.elements());
      kept += kron->second.low_rank()
                  ? static_cast<Index>(kron->second.a.elements() + kron->second.b.elements())
                  : static_cast<Index>(kron->second.full.elements());
    } else if (auto const* const scale = std::get_if<io::ScaleForm>(&module.form)) {
      kept += static_cast<Index>(scale->gamma.elements());
    }
  }
  CHECK(kept == own);
  auto const resolution = io::resolve_adapter(file, base_of(base, dialect));
  NetAdapters loaded(config, model_of(dialect));
  loaded.add(file, resolution.targets, 1);
  Loaded with(loaded, base, config);
  auto const expected = trained.forward();
  CHECK(distance(with.dit.forward(), expected) < 1e-12);
  CHECK(distance(base.forward(), expected) > 1e-3);
  // Strength 0 is the base, in every bit.
  NetAdapters none(config, model_of(dialect));
  none.add(file, resolution.targets, 0);
  CHECK(none.empty());
  Loaded without(none, base, config);
  CHECK(without.dit.forward() == base.forward());
}

TEST_CASE("adapters of files run as weights that they are fused into", "[net_adapters]") {
  auto const dialect = GENERATE(io::Dialect::dit_original, io::Dialect::dit_diffusers);
  double const strength = GENERATE(-0.5, 1.0, 2.0);
  auto const config = test::tiny_config();
  std::uint64_t seed = 1000;
  auto const random = [&](std::size_t size) { return test::noise(size, ++seed); };
  io::AdapterFile file;
  std::vector<Change> changes;
  auto const add = [&](std::string const& path, auto form, double scale) -> io::AdapterModule& {
    io::AdapterModule module;
    module.path = path;
    module.form = std::move(form);
    module.scale = scale;
    return file.modules.emplace_back(std::move(module));
  };
  // Fused query, key and value: LoRA in block 0, Kronecker in block 1, across the thirds.
  Values const down = random(2 * 8);
  Values const up = random(24 * 2);
  add("blocks.0.attn.qkv", io::LowRankForm{tensor(down, {2, 8}), tensor(up, {24, 2}), {}, false},
      1.5);
  Change low{"blocks.0.attn.qkv.weight", 0, Values(24 * 8, 0.0)};
  for (std::size_t i = 0; i < 24; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      for (std::size_t r = 0; r < 2; ++r) {
        low.values[i * 8 + j] += 1.5 * up[i * 2 + r] * down[r * 8 + j];
      }
    }
  }
  changes.push_back(low);
  auto const kronecker = [&](std::string const& parameter, Index first, std::size_t p1,
                             std::size_t q1, std::size_t p2, std::size_t q2, Values const& a,
                             Values const& b, double scale) {
    Change change{parameter, first, Values(p1 * p2 * q1 * q2)};
    for (std::size_t i = 0; i < p1 * p2; ++i) {
      for (std::size_t j = 0; j < q1 * q2; ++j) {
        change.values[i * q1 * q2 + j] = scale * a[i / p2 * q1 + j / q2] * b[i % p2 * q2 + j % q2];
      }
    }
    changes.push_back(std::move(change));
  };
  io::KroneckerForm form;
  Values const a = random(4 * 2);
  Values const b = random(6 * 4);
  form.first.full = tensor(a, {4, 2});
  form.second.full = tensor(b, {6, 4});
  add("blocks.1.attn.qkv", form, 0.75);
  kronecker("blocks.1.attn.qkv.weight", 0, 4, 2, 6, 4, a, b, 0.75);
  // A map with low-rank second factor of another shape.
  Values const c = random(3 * 4);
  Values const d1 = random(4 * 1);
  Values const d2 = random(1 * 2);
  Values d(4 * 2);
  for (std::size_t i = 0; i < 8; ++i) {
    d[i] = d1[i / 2] * d2[i % 2];
  }
  io::KroneckerForm low_rank;
  low_rank.first.full = tensor(c, {3, 4});
  low_rank.second.a = tensor(d1, {4, 1});
  low_rank.second.b = tensor(d2, {1, 2});
  add("blocks.1.mlp.fc1", low_rank, 2);
  kronecker("blocks.1.mlp.fc1.weight", 0, 3, 4, 4, 2, c, d, 2);
  // A scale with a trained bias, and one in which a zero cannot be divided out.
  auto const scale_module = [&](std::string const& path, Values gamma, Values const& bias) {
    std::uint64_t const size = gamma.size();
    auto& module = add(path, io::ScaleForm{tensor(gamma, {size})}, 1);
    if (!bias.empty()) {
      module.bias = tensor(bias, {size});
    }
  };
  Values const gamma = random(8);
  Values const bias = random(8);
  scale_module("blocks.0.attn.proj", gamma, bias);
  Values zero = random(12);
  zero[3] = 0;
  scale_module("blocks.0.mlp.fc1", zero, random(12));
  Values const only_bias = random(8);
  add("blocks.1.mlp.fc2", io::NoForm{}, 1).bias = tensor(only_bias, {8});
  Values const dense = random(8 * 12);
  add("x_embedder.proj", io::DenseForm{tensor(dense, {8, 3, 2, 2})}, 0.5);
  changes.push_back({"x_embedder.proj.weight", 0, dense});
  for (double& value : changes.back().values) {
    value *= 0.5;
  }
  Values const table = random(4 * 8);
  add("y_embedder.embedding_table", io::NoForm{}, 1).replacement = tensor(table, {4, 8});
  Values const fc1_bias = file.modules[4].bias.values();

  test::TinyDit<Net> base;
  NetAdapters adapters(config, model_of(dialect));
  adapters.add(file, io::resolve_adapter(file, base_of(base, dialect)).targets, strength);
  Loaded with(adapters, base, config);
  CHECK(with.dit.list.find("blocks.0.attn.qkv.adapter_0.lora_A.weight") != nullptr);

  test::TinyDit<Net> fused;
  auto const edit = [&](std::string const& name, auto const& change) {
    Values values = base.value(name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] += strength * (change(i, values[i]) - values[i]);
    }
    fused.list.find(name)->parameter.write(std::span<double const>(values));
  };
  for (auto const& entry : base.list) {
    fused.list.find(entry.name)->parameter.write(std::span<double const>(base.value(entry.name)));
  }
  for (Change const& change : changes) {
    edit(change.parameter, [&](std::size_t i, double w) { return w + change.values[i]; });
  }
  edit("blocks.0.attn.proj.weight", [&](std::size_t i, double w) { return gamma[i / 8] * w; });
  edit("blocks.0.attn.proj.bias", [&](std::size_t i, double) { return gamma[i] * bias[i]; });
  edit("blocks.0.mlp.fc1.weight", [&](std::size_t i, double w) { return zero[i / 8] * w; });
  edit("blocks.0.mlp.fc1.bias", [&](std::size_t i, double) { return zero[i] * fc1_bias[i]; });
  edit("blocks.1.mlp.fc2.bias", [&](std::size_t i, double) { return only_bias[i]; });
  edit("y_embedder.embedding_table.weight", [&](std::size_t i, double) { return table[i]; });
  auto const expected = fused.forward();
  CHECK(distance(with.dit.forward(), expected) < 1e-11);
  CHECK(distance(base.forward(), expected) > 1e-2);
}

TEST_CASE("an adapter of the model's embedder goes to the embedder of every block",
          "[net_adapters]") {
  auto config = test::tiny_config();
  config.embedders = Embedders::per_block;
  std::uint64_t seed = 50;
  auto const lora_on = [&](std::string const& path) {
    io::AdapterFile file;
    io::AdapterModule module;
    module.path = path;
    module.form = io::LowRankForm{tensor(test::noise(20, ++seed), {2, 10}),
                                  tensor(test::noise(16, ++seed), {8, 2}),
                                  {},
                                  false};
    file.modules.push_back(module);
    return file;
  };
  test::TinyDit<Net> base({}, config);
  auto const dialect = io::Dialect::dit_diffusers;
  NetAdapters adapters(config, model_of(dialect));
  for (char const* const path :
       {"transformer_blocks.1.norm1.emb.timestep_embedder.linear_1", "t_embedder.mlp.0"}) {
    auto const file = lora_on(path);
    adapters.add(file, io::resolve_adapter(file, base_of(base, dialect)).targets, 1);
  }
  REQUIRE(adapters.adapters().size() == 3);
  CHECK(adapters.adapters()[0].map == "blocks.1.t_embedder.mlp.0");
  CHECK(adapters.adapters()[1].map == "blocks.0.t_embedder.mlp.0");
  CHECK(adapters.adapters()[2].map == "blocks.1.t_embedder.mlp.0");
  Loaded with(adapters, base, config);
  test::TinyDit<Net> fused({}, config);
  for (auto const& entry : base.list) {
    fused.list.find(entry.name)->parameter.write(std::span<double const>(base.value(entry.name)));
  }
  auto const change = [&](std::string const& name, std::uint64_t first) {
    Values weight = base.value(name);
    Values const down = test::noise(20, first);
    Values const up = test::noise(16, first + 1);
    for (std::size_t i = 0; i < 80; ++i) {
      weight[i] += up[i / 10 * 2] * down[i % 10] + up[i / 10 * 2 + 1] * down[10 + i % 10];
    }
    return weight;
  };
  auto const write = [&](std::string const& name, Values const& weight) {
    fused.list.find(name)->parameter.write(std::span<double const>(weight));
  };
  write("blocks.0.t_embedder.mlp.0.weight", change("blocks.0.t_embedder.mlp.0.weight", 53));
  Values both = change("blocks.1.t_embedder.mlp.0.weight", 51);
  Values const second = change("blocks.1.t_embedder.mlp.0.weight", 53);
  Values const none = base.value("blocks.1.t_embedder.mlp.0.weight");
  for (std::size_t i = 0; i < both.size(); ++i) {
    both[i] += second[i] - none[i];
  }
  write("blocks.1.t_embedder.mlp.0.weight", both);
  auto const expected = fused.forward();
  CHECK(distance(with.dit.forward(), expected) < 1e-11);
  CHECK(distance(base.forward(), expected) > 1e-3);
}

TEST_CASE("thirds of query, key and value go to rows of one map", "[net_adapters]") {
  auto const dialect = GENERATE(io::Dialect::dit_original, io::Dialect::dit_diffusers);
  auto const config = test::tiny_config();
  Values const a = test::noise(4, 1);
  Values const b = test::noise(16, 2);
  io::AdapterFile file;
  io::AdapterModule module;
  module.path = "transformer_blocks.1.attn1.to_k";
  io::KroneckerForm form;
  form.first.full = tensor(a, {2, 2});
  form.second.full = tensor(b, {4, 4});
  module.form = form;
  file.modules.push_back(module);
  test::TinyDit<Net> base;
  NetAdapters adapters(config, model_of(dialect));
  adapters.add(file, io::resolve_adapter(file, base_of(base, dialect)).targets, 2);
  REQUIRE(adapters.adapters().size() == 1);
  CHECK(adapters.adapters()[0].map == "blocks.1.attn.qkv");
  CHECK(adapters.adapters()[0].part.first == 8);
  CHECK(adapters.adapters()[0].part.outputs == 8);
  Loaded with(adapters, base, config);
  test::TinyDit<Net> fused;
  Values weight = base.value("blocks.1.attn.qkv.weight");
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      weight[(8 + i) * 8 + j] += 2 * a[i / 4 * 2 + j / 4] * b[i % 4 * 4 + j % 4];
    }
  }
  for (auto const& entry : base.list) {
    fused.list.find(entry.name)->parameter.write(std::span<double const>(base.value(entry.name)));
  }
  fused.list.find("blocks.1.attn.qkv.weight")->parameter.write(std::span<double const>(weight));
  CHECK(distance(with.dit.forward(), fused.forward()) < 1e-12);
}

TEST_CASE("a change of weights behind another adapter is refused", "[net_adapters]") {
  auto const config = test::tiny_config();
  io::AdapterFile first;
  io::AdapterModule module;
  module.path = "blocks.0.attn.proj";
  module.form = io::ScaleForm{tensor(test::noise(8, 1), {8})};
  first.modules.push_back(module);
  io::AdapterFile second;
  second.path = "second.safetensors";
  module.form = io::NoForm{};
  module.bias = tensor(test::noise(8, 2), {8});
  second.modules.push_back(module);
  test::TinyDit<Net> base;
  auto const known = base_of(base, io::Dialect::dit_original);
  NetAdapters adapters(config, model_of(io::Dialect::dit_original));
  adapters.add(first, io::resolve_adapter(first, known).targets, 1);
  CHECK_THROWS_WITH(
      adapters.add(second, io::resolve_adapter(second, known).targets, 1),
      ContainsSubstring("second.safetensors: module 'blocks.0.attn.proj': a change of weights "
                        "behind another adapter"));
  NetAdapters other(config, model_of(io::Dialect::dit_original));
  other.add(second, io::resolve_adapter(second, known).targets, 1);
  other.add(first, io::resolve_adapter(first, known).targets, 1);
  CHECK(other.adapters().size() == 1);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/fuse.hpp>
#include <dashi/checkpoints/unfuse.hpp>
#include <dashi/io/checkpoint_digest.hpp>

#include <catch2/catch_test_macros.hpp>

#include <adapter_forms.hpp>
#include <algorithm>
#include <cmath>
#include <merge_files.hpp>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using namespace dashi::test;
using checkpoints::FuseAdapter;

struct Case {
  std::string name;
  Shape weight;
  io::AdapterModule module;
};

io::AdapterModule module_of(decltype(io::AdapterModule::form) form, double scale = 1) {
  io::AdapterModule module;
  module.path = "m";
  module.form = std::move(form);
  module.scale = scale;
  return module;
}

io::LowRankForm low_rank(io::AdapterTensor down, io::AdapterTensor up, io::AdapterTensor mid = {},
                         bool embedding = false) {
  return {std::move(down), std::move(up), std::move(mid), embedding};
}

io::KroneckerFactorForm full(Shape const& shape, unsigned seed) {
  io::KroneckerFactorForm out;
  out.full = random_tensor(shape, seed);
  return out;
}
io::KroneckerFactorForm low(Shape const& a, Shape const& b, unsigned seed) {
  io::KroneckerFactorForm out;
  out.a = random_tensor(a, seed);
  out.b = random_tensor(b, seed + 1);
  return out;
}

io::MagnitudeForm magnitude(Shape const& shape, bool per_input, unsigned seed) {
  return {random_tensor(shape, seed), per_input};
}

/// Every form, with scales that are not alpha / rank = 1.
std::vector<Case> cases() {
  std::vector<Case> out;
  auto const add = [&](char const* name, Shape weight, io::AdapterModule module) {
    out.push_back({name, std::move(weight), std::move(module)});
  };
  auto const lora = [](unsigned seed) {
    return low_rank(random_tensor({3, 10}, seed), random_tensor({14, 3}, seed + 1));
  };
  add("LoRA", {14, 10}, module_of(lora(1), 2.5));
  add("LoRA of a convolution", {9, 5, 3, 3},
      module_of(low_rank(random_tensor({2, 5, 3, 3}, 3), random_tensor({9, 2, 1, 1}, 4)), 0.5));
  add("LoRA with a Tucker core", {9, 5, 3, 3},
      module_of(low_rank(random_tensor({2, 5, 1, 1}, 5), random_tensor({9, 2, 1, 1}, 6),
                         random_tensor({2, 2, 3, 3}, 7)),
                1.5));
  add("LoRA of a table", {11, 6},
      module_of(low_rank(random_tensor({2, 11}, 8), random_tensor({6, 2}, 9), {}, true), 3));
  add("LoKr full and full", {12, 15},
      module_of(io::KroneckerForm{full({3, 5}, 10), full({4, 3}, 11)}, 2.5));
  add("LoKr full and low", {12, 15},
      module_of(io::KroneckerForm{full({3, 5}, 12), low({4, 2}, {2, 3}, 13)}, 0.75));
  add("LoKr low and full", {12, 15},
      module_of(io::KroneckerForm{low({3, 2}, {2, 5}, 15), full({4, 3}, 17)}, 0.75));
  add("LoKr low and low", {12, 15},
      module_of(io::KroneckerForm{low({3, 2}, {2, 5}, 18), low({4, 1}, {1, 3}, 20)}, 1.25));
  add("LoKr of a convolution, full", {12, 10, 3, 3},
      module_of(io::KroneckerForm{full({3, 5}, 22), full({4, 2, 3, 3}, 23)}, 1));
  add("LoKr of a convolution, low", {12, 10, 3, 3},
      module_of(io::KroneckerForm{full({3, 5}, 24), low({4, 2}, {2, 18}, 25)}, 2));
  io::KroneckerFactorForm tucker = low({3, 4}, {3, 2}, 27);
  tucker.t2 = random_tensor({3, 3, 3, 3}, 29);
  add("LoKr with a Tucker core", {12, 10, 3, 3},
      module_of(io::KroneckerForm{full({3, 5}, 30), tucker}, 2.5));
  add("DiffuseKronA", {12, 15},
      module_of(io::KroneckerForm{full({5, 3}, 31), full({4, 3}, 32), true}));
  add("a dense difference", {14, 10}, module_of(io::DenseForm{random_tensor({14, 10}, 33)}, 0.5));
  add("DiffFit", {14, 10}, module_of(io::ScaleForm{random_tensor({14}, 34)}));
  io::AdapterModule bit_fit = module_of(io::NoForm{});
  bit_fit.bias = random_tensor({14}, 35);
  add("BitFit", {14, 10}, bit_fit);
  bit_fit.form = io::ScaleForm{random_tensor({14}, 36)};
  add("DiffFit with a trained bias", {14, 10}, bit_fit);
  bit_fit.form = lora(37);
  bit_fit.bias_is_difference = true;
  add("LoRA with a difference of the bias", {14, 10}, bit_fit);
  io::AdapterModule dora = module_of(lora(39), 2);
  dora.dora = magnitude({14}, false, 41);
  add("DoRA by output", {14, 10}, dora);
  dora.dora = magnitude({1, 10}, true, 42);
  add("DoRA by input", {14, 10}, dora);
  dora = module_of(low_rank(random_tensor({2, 5, 3, 3}, 43), random_tensor({9, 2, 1, 1}, 44)));
  dora.dora = magnitude({1, 9, 1, 1}, false, 45);
  add("DoRA of a convolution by output", {9, 5, 3, 3}, dora);
  dora.dora = magnitude({1, 5, 1, 1}, true, 46);
  add("DoRA of a convolution by input", {9, 5, 3, 3}, dora);
  dora = module_of(io::KroneckerForm{full({3, 5}, 47), low({4, 2}, {2, 3}, 48)}, 0.75);
  dora.dora = magnitude({12, 1}, false, 50);
  add("DoRA of LoKr", {12, 15}, dora);
  io::AdapterModule replaced = module_of(io::NoForm{});
  replaced.replacement = random_tensor({14, 10}, 51);
  add("a replaced weight", {14, 10}, replaced);
  return out;
}

io::AdapterTarget whole(std::uint64_t rows, bool bias = true) {
  return {.module = 0, .tensor = "w", .bias = bias ? "b" : "", .rows = rows};
}

double largest(Values const& values) {
  double out = 0;
  for (double const value : values) {
    out = std::max(out, std::abs(value));
  }
  return out;
}

/// Largest difference over the largest magnitude of the second.
double relative(Values const& a, Values const& b) {
  REQUIRE(a.size() == b.size());
  Values difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference[i] = std::isnan(a[i]) ? INFINITY : a[i] - b[i];
  }
  return largest(difference) / std::max(largest(b), 1e-300);
}

FileTensor doubles(std::string name, Shape shape, Values const& values) {
  return file_tensor(std::move(name), io::Dtype::f64, std::move(shape), values);
}

constexpr char const* strengths[] = {"0", "1", "-0.5", "2"};

TEST_CASE("a fused weight is its adapter at run time", "[laws]") {
  TestFolder const folder;
  for (Case const& c : cases()) {
    std::size_t const rows = static_cast<std::size_t>(c.weight.front());
    Values const weight = random_values(product(c.weight), 100);
    Values const bias = random_values(rows, 101);
    write_member(folder / "base", {doubles("w", c.weight, weight), doubles("b", {rows}, bias),
                                   doubles("other", {3}, {1, 2, 3})});
    io::Checkpoint const base(folder / "base");
    io::AdapterFile file;
    file.modules = {c.module};
    for (char const* const strength : strengths) {
      INFO(c.name << " at strength " << strength);
      auto const plan = checkpoints::plan_fusion(
          base, {{"a", &file, merging::parse_weight(strength), {whole(rows)}, ""}});
      checkpoints::fuse(plan, folder / "fused", {.file = {.force = true}});
      io::Checkpoint const fused(folder / "fused");
      Values const w = read_values<double>(fused, "w");
      Values const b = read_values<double>(fused, "b");
      bool const zero = std::string(strength) == "0";
      if (zero) {
        CHECK(w == weight);
        CHECK(b == bias);
      } else {
        CHECK((w != weight || b != bias));
      }
      CHECK(read_values<double>(fused, "other") == Values{1, 2, 3});
      std::size_t const cols = weight.size() / rows;
      for (unsigned probe = 0; probe < 3; ++probe) {
        Values const x = random_values(cols, 200 + probe);
        Values y = RunTime::times(w, x);
        for (std::size_t i = 0; i < rows; ++i) {
          y[i] += b[i];
        }
        Values const expected = RunTime::output(c.module, std::stod(strength), weight, bias, x);
        CHECK(relative(y, expected) < 1e-13);
      }
    }
  }
}

/// A base of one dtype whose values are small multiples of 2^-4, and adapters of integers: sums are
/// exact in double.
template <class T>
FileTensor exact_tensor(std::string name, io::Dtype dtype, Shape shape, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(product(shape));
  for (T& value : values) {
    value = convert<T>(static_cast<double>(static_cast<int>(random() % 400) - 200) / 16.0);
  }
  return file_tensor(std::move(name), dtype, std::move(shape), values);
}

io::AdapterTensor integers(Shape const& shape, unsigned seed) {
  std::mt19937 random(seed);
  Values values(product(shape));
  for (double& value : values) {
    value = static_cast<double>(static_cast<int>(random() % 7) - 3);
  }
  return adapter_tensor(shape, values);
}

template <class T>
void check_rounding(io::Dtype dtype) {
  INFO(io::name(dtype));
  TestFolder const folder;
  FileTensor const weight = exact_tensor<T>("w", dtype, {65, 33}, 7);
  write_member(folder / "base", {weight});
  io::Checkpoint const base(folder / "base");
  io::AdapterFile file;
  io::LowRankForm const form = low_rank(integers({4, 33}, 1), integers({65, 4}, 2));
  file.modules = {module_of(form, 1.0 / 64)};
  auto const plan = checkpoints::plan_fusion(base, {{"a", &file, {}, {whole(65, false)}, ""}});
  checkpoints::fuse(plan, folder / "fused", {});
  auto const fused = read_values<T>(io::Checkpoint(folder / "fused"), "w");
  auto const before = read_values<T>(base, "w");
  Values const up = form.up.values();
  Values const down = form.down.values();
  for (std::size_t i = 0; i < 65; ++i) {
    for (std::size_t j = 0; j < 33; ++j) {
      double exact = convert<double>(before[i * 33 + j]);
      for (std::size_t k = 0; k < 4; ++k) {
        exact += up[i * 4 + k] * down[k * 33 + j] / 64;
      }
      T const once = convert<T>(exact);
      CHECK(std::memcmp(&once, &fused[i * 33 + j], sizeof(T)) == 0);
    }
  }
}

TEST_CASE("every element is rounded once into the dtype of the base", "[laws]") {
  check_rounding<float>(io::Dtype::f32);
  check_rounding<BFloat16>(io::Dtype::bf16);
  check_rounding<Float16>(io::Dtype::f16);
  check_rounding<double>(io::Dtype::f64);
  check_rounding<Float8E4M3>(io::Dtype::f8_e4m3);
}

/// A base of all dtypes, some of whose tensors no adapter touches, and two adapters.
struct Both {
  std::vector<FileTensor> tensors;
  io::AdapterFile lora;
  io::AdapterFile dora;
  std::vector<io::AdapterTarget> targets;

  Both() {
    auto const add = [&]<class T>(char const* name, io::Dtype dtype, T) {
      tensors.push_back(exact_tensor<T>(name, dtype, {70, 40}, 11));
      io::AdapterModule module =
          module_of(low_rank(random_tensor({3, 40}, 12), random_tensor({70, 3}, 13)), 0.01);
      targets.push_back({.module = lora.modules.size(), .tensor = name, .bias = "", .rows = 70});
      lora.modules.push_back(module);
      module.dora = MagnitudeForm(targets.size() % 2 == 0);
      dora.modules.push_back(module);
    };
    add("f32", io::Dtype::f32, float{});
    add("bf16", io::Dtype::bf16, BFloat16{});
    add("f16", io::Dtype::f16, Float16{});
    add("f64", io::Dtype::f64, double{});
    add("f8", io::Dtype::f8_e5m2, Float8E5M2{});
    tensors.push_back(file_tensor<std::int64_t>("ids", io::Dtype::i64, {3}, {1, 2, 3}));
    tensors.push_back(file_tensor<float>("empty", io::Dtype::f32, {0, 4}, {}));
    tensors.push_back(exact_tensor<float>("other", io::Dtype::f32, {1000, 7}, 14));
  }

  static io::MagnitudeForm MagnitudeForm(bool per_input) {
    return magnitude({per_input ? 40U : 70U}, per_input, 15);
  }

  std::vector<FuseAdapter> adapters() const {
    return {{"a", &lora, merging::parse_weight("0.7"), targets, "d1"},
            {"b", &dora, merging::parse_weight("-0.5"), targets, "d2"}};
  }
};

TEST_CASE("fuse, then unfuse, is the base byte for byte", "[laws]") {
  TestFolder const folder;
  Both const both;
  for (bool const sharded : {false, true}) {
    INFO((sharded ? "shards" : "one file"));
    std::string const name = sharded ? "base.safetensors.index.json" : "base.safetensors";
    write_member(folder / "single.safetensors", both.tensors, "1", {{"format", "pt"}});
    checkpoints::reshard(
        io::Checkpoint(folder / "single.safetensors"), folder / name,
        {.file = {.force = true},
         .largest_shard = sharded ? std::optional<std::uint64_t>(20'000) : std::nullopt});
    io::Checkpoint const base(folder / name);
    auto const plan = checkpoints::plan_fusion(base, both.adapters());
    CHECK(plan.touched == 5);
    checkpoints::FuseOptions options;
    options.undo = folder / "undo.safetensors";
    options.undo_file.force = true;
    auto const result =
        checkpoints::fuse(plan, folder / "fused.safetensors", {.file = {.force = true}}, options);
    CHECK(result.base_digest == io::checkpoint_digest<io::Xxh3>(base));
    io::Checkpoint const fused(folder / "fused.safetensors");
    CHECK(result.fused_digest == io::checkpoint_digest<io::Xxh3>(fused));
    CHECK(read_values<std::int64_t>(fused, "ids") == std::vector<std::int64_t>{1, 2, 3});
    checkpoints::FuseUndoFile const undo(folder / "undo.safetensors");
    CHECK(undo.record().adapters.size() == 2);
    CHECK(undo.record().adapters[1].strength == "-0.5");
    std::filesystem::create_directory(folder / "back");
    checkpoints::unfuse(fused, undo, folder / "back" / name, {.force = true}, {.workers = 2});
    for (auto const& file : base.files()) {
      auto const file_name = file.file().path().filename();
      CHECK(file_bytes(folder / "back" / file_name) == file_bytes(file.file().path()));
    }
    CHECK(file_bytes(folder / "back" / name) == file_bytes(folder / name));
  }
}

TEST_CASE("a base with a header of its own kind comes back with it", "[laws]") {
  TestFolder const folder;
  std::string header = R"({ "w" :{"shape":[2,2], "dtype":"F32","data_offsets":[0,16]}})";
  header += "   ";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  bytes += header;
  float const values[] = {1, -0.0F, 3, 4};
  bytes.append(reinterpret_cast<char const*>(values), sizeof values);
  std::ofstream(folder / "base.safetensors", std::ios::binary) << bytes;
  io::Checkpoint const base(folder / "base.safetensors");
  io::AdapterFile file;
  file.modules = {module_of(low_rank(random_tensor({1, 2}, 1), random_tensor({2, 1}, 2)))};
  auto const plan = checkpoints::plan_fusion(base, {{"a", &file, {}, {whole(2, false)}, ""}});
  checkpoints::FuseOptions options;
  options.undo = folder / "undo";
  checkpoints::fuse(plan, folder / "fused", {}, options);
  checkpoints::unfuse(io::Checkpoint(folder / "fused"), checkpoints::FuseUndoFile(folder / "undo"),
                      folder / "back.safetensors", {});
  CHECK(file_bytes(folder / "back.safetensors") == bytes);
}

TEST_CASE("threads, memory and shards change no byte of a fusion", "[laws]") {
  TestFolder const folder;
  Both const both;
  write_member(folder / "base", both.tensors);
  io::Checkpoint const base(folder / "base");
  auto const plan = checkpoints::plan_fusion(base, both.adapters());
  auto const run = [&](int workers, std::uint64_t memory) {
    checkpoints::FuseOptions options;
    options.numbers.stream = {.workers = workers, .memory_budget = memory};
    options.undo = folder / "undo";
    options.undo_file.force = true;
    checkpoints::fuse(plan, folder / "fused", {.file = {.force = true}}, options);
    return file_bytes(folder / "fused") + file_bytes(folder / "undo");
  };
  std::string const first = run(1, std::uint64_t{4} << 20);
  CHECK(run(4, std::uint64_t{1} << 30) == first);
}

TEST_CASE("a change of nothing leaves every bit, the sign of zero too", "[laws]") {
  TestFolder const folder;
  write_member(folder / "base",
               {file_tensor<float>("w", io::Dtype::f32, {2, 2}, {-0.0F, 0.0F, 1e-45F, -1})});
  io::Checkpoint const base(folder / "base");
  io::AdapterFile file;
  file.modules = {module_of(low_rank(random_tensor({1, 2}, 1), adapter_tensor({2, 1}, {0, 0})))};
  auto const plan = checkpoints::plan_fusion(base, {{"a", &file, {}, {whole(2, false)}, ""}});
  checkpoints::fuse(plan, folder / "fused", {});
  io::Checkpoint const fused(folder / "fused");
  CHECK(io::checkpoint_digest(fused) == io::checkpoint_digest(base));
}

TEST_CASE("adapters act in their order, each on what the one before left", "[laws]") {
  TestFolder const folder;
  Values const weight = random_values(14 * 10, 1);
  Values const bias(14);
  io::AdapterFile one;
  io::AdapterFile two;
  one.modules = {module_of(low_rank(random_tensor({3, 10}, 2), random_tensor({14, 3}, 3)))};
  for (bool const per_input : {false, true}) {
    two.modules = {one.modules.front()};
    two.modules.front().dora = magnitude({per_input ? 10U : 14U}, per_input, 4);
    write_member(folder / "base", {doubles("w", {14, 10}, weight)});
    io::Checkpoint const base(folder / "base");
    auto const fused = [&](std::vector<io::AdapterFile const*> const& files) {
      std::vector<FuseAdapter> adapters;
      for (io::AdapterFile const* file : files) {
        adapters.push_back({"a", file, {}, {whole(14, false)}, ""});
      }
      checkpoints::fuse(checkpoints::plan_fusion(base, adapters), folder / "fused",
                        {.file = {.force = true}});
      return read_values<double>(io::Checkpoint(folder / "fused"), "w");
    };
    Values const first = fused({&one});
    Values const both = fused({&one, &two});
    Values const other = fused({&two, &one});
    Values const x = random_values(10, 5);
    Values const expected = RunTime::output(two.modules.front(), 1, first, bias, x);
    CHECK(relative(RunTime::times(both, x), expected) < 1e-13);
    CHECK(relative(both, other) > 1e-3);
  }
}

TEST_CASE("rows of a fused module go to the tensors that hold them", "[laws]") {
  TestFolder const folder;
  // qkv of an adapter on a base that keeps its thirds apart, and the norm of an input over all.
  std::vector<FileTensor> tensors;
  Values whole_weight;
  io::AdapterFile file;
  file.modules = {module_of(low_rank(random_tensor({2, 6}, 1), random_tensor({12, 2}, 2)))};
  file.modules.front().dora = magnitude({6}, true, 3);
  std::vector<io::AdapterTarget> targets;
  for (unsigned third = 0; third < 3; ++third) {
    Values const part = random_values(4 * 6, 10 + third);
    whole_weight.insert(whole_weight.end(), part.begin(), part.end());
    std::string const name(1, "qkv"[third]);
    tensors.push_back(doubles(name, {4, 6}, part));
    targets.push_back(
        {.module = 0, .tensor = name, .bias = "", .module_row = 4 * third, .rows = 4});
  }
  write_member(folder / "base", tensors);
  io::Checkpoint const base(folder / "base");
  checkpoints::fuse(checkpoints::plan_fusion(base, {{"a", &file, {}, targets, ""}}),
                    folder / "fused", {});
  io::Checkpoint const fused(folder / "fused");
  Values const x = random_values(6, 20);
  Values y;
  for (char const* const name : {"q", "k", "v"}) {
    Values const part = RunTime::times(read_values<double>(fused, name), x);
    y.insert(y.end(), part.begin(), part.end());
  }
  CHECK(relative(y, RunTime::output(file.modules.front(), 1, whole_weight, Values(12), x)) < 1e-13);
}

TEST_CASE("noted bits bring any pattern back", "[laws]") {
  std::mt19937_64 random(1);
  for (std::size_t const width : {1U, 2U, 4U, 8U}) {
    for (int kind = 0; kind < 4; ++kind) {
      std::vector<std::byte> before(width * 1000);
      std::vector<std::byte> after(before.size());
      for (std::size_t i = 0; i < before.size(); ++i) {
        before[i] = static_cast<std::byte>(random());
        bool const near = kind == 1 && i % width != 0;
        after[i] = kind == 0 || near ? before[i] : static_cast<std::byte>(random());
      }
      if (kind == 3) {
        before.resize(width * 7);
        after.resize(width * 7);
      }
      std::vector<std::byte> packed;
      checkpoints::pack_changed_bits(width, before, after, packed);
      if (kind == 0) {
        CHECK(packed.size() == (1000 + 31) / 32);
      }
      std::vector<std::byte> back = after;
      REQUIRE(checkpoints::unpack_changed_bits(width, packed, back));
      CHECK(back == before);
      packed.pop_back();
      back = after;
      CHECK_FALSE(checkpoints::unpack_changed_bits(width, packed, back));
    }
  }
}

}  // namespace

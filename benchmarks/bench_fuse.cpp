// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Adapters fused into a checkpoint of the size of DiT-XL/2, file to file, against copying that file
// by the same reader and writer; files in the page cache, results synced.
#include "support/floor_reporter.hpp"
#include "support/populated.hpp"
#include "support/temporary_folder.hpp"

#include <dashi/checkpoints/fuse.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/io/safetensors_writer.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace dashi;

constexpr std::uint64_t width = 1152;

struct Map {
  char const* name;
  std::uint64_t rows, cols;
};
constexpr Map maps[] = {{"attn.qkv", 3 * width, width},
                        {"attn.proj", width, width},
                        {"mlp.fc1", 4 * width, width},
                        {"mlp.fc2", width, 4 * width},
                        {"adaLN_modulation.1", 6 * width, width}};

/// Blocks of XL/2; DASHI_BENCH_PARAMETERS makes them fewer.
std::uint64_t blocks() {
  std::uint64_t each = 0;
  for (Map const& map : maps) {
    each += map.rows * map.cols;
  }
  char const* const text = std::getenv("DASHI_BENCH_PARAMETERS");
  return text == nullptr
             ? 28
             : std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::atoll(text)) / each);
}

template <class T>
std::filesystem::path base_file(io::Dtype dtype) {
  auto const path = bench::temporary_folder() / (std::string(io::name(dtype)) + ".safetensors");
  if (std::filesystem::exists(path)) {
    return path;
  }
  std::vector<io::TensorSpec> specs;
  for (std::uint64_t b = 0; b < blocks(); ++b) {
    for (Map const& map : maps) {
      specs.push_back({"blocks." + std::to_string(b) + "." + map.name + ".weight",
                       dtype,
                       {map.rows, map.cols}});
    }
  }
  bench::Populated<T> values(static_cast<std::int64_t>(6 * width * width));
  bench::fill_with_weights(values, 1);
  io::SafetensorsWriter writer(path, io::SafetensorsLayout(specs, {}));
  for (std::size_t t = 0; t < specs.size(); ++t) {
    auto const count = static_cast<std::size_t>(specs[t].shape[0] * specs[t].shape[1]);
    writer.write(writer.layout().position(t), 0, std::as_bytes(std::span(values.data(), count)));
  }
  writer.commit();
  return path;
}

io::AdapterTensor factor(std::vector<std::uint64_t> shape) {
  static std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::uint64_t count = 1;
  for (std::uint64_t const extent : shape) {
    count *= extent;
  }
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(random);
  }
  auto const bytes = std::as_bytes(std::span(values));
  return {io::Dtype::f32, std::move(shape), {bytes.begin(), bytes.end()}};
}

struct Adapter {
  io::AdapterFile file;
  std::vector<io::AdapterTarget> targets;

  /// LoRA of this rank, or, of rank 0, Kronecker products with a first factor of [4, 64].
  explicit Adapter(std::uint64_t rank) {
    for (std::uint64_t b = 0; b < blocks(); ++b) {
      for (Map const& map : maps) {
        std::string const path = "blocks." + std::to_string(b) + "." + map.name;
        io::AdapterModule module;
        module.path = path;
        if (rank > 0) {
          io::LowRankForm form;
          form.down = factor({rank, map.cols});
          form.up = factor({map.rows, rank});
          module.form = form;
        } else {
          io::KroneckerForm form;
          form.first.full = factor({4, 64});
          form.second.full = factor({map.rows / 4, map.cols / 64});
          module.form = form;
        }
        targets.push_back({.module = file.modules.size(),
                           .tensor = path + ".weight",
                           .bias = "",
                           .rows = map.rows});
        file.modules.push_back(module);
      }
    }
  }
};

template <class Body>
void timed(benchmark::State& state, io::Checkpoint const& base, Body const& body) {
  for (auto _ : state) {
    auto const start = std::chrono::steady_clock::now();
    body();
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.counters["bytes"] = static_cast<double>(2 * base.bytes());
  }
}

template <class T>
void add_dtype(io::Dtype dtype) {
  auto const base = std::make_shared<io::Checkpoint>(base_file<T>(dtype));
  auto const out = bench::temporary_folder() / "out.safetensors";
  std::string const name(io::name(dtype));
  auto const add = [&](std::string const& what, auto body) {
    benchmark::RegisterBenchmark(what.c_str(), [=](benchmark::State& s) { timed(s, *base, body); })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  };
  add((dtype == io::Dtype::f32 ? "ceiling/copy " : "copy ") + name,
      [=] { checkpoints::reshard(*base, out, {.file = {.force = true}}); });
  for (std::uint64_t const rank : {8U, 64U, 0U}) {
    auto const adapter = std::make_shared<Adapter>(rank);
    std::string const what =
        rank > 0 ? "LoRA of rank " + std::to_string(rank) : "Kronecker (4, 64)";
    for (bool const digest : {false, true}) {
      if (digest && rank != 8) {
        continue;
      }
      add("fuse " + what + ", " + name + (digest ? " and digest" : ""), [=] {
        auto const plan =
            checkpoints::plan_fusion(*base, {{"a", &adapter->file, {}, adapter->targets, ""}});
        checkpoints::FuseOptions options;
        options.digests = digest;
        checkpoints::fuse(plan, out, {.file = {.force = true}}, options);
      });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  std::printf("files of %llu blocks in %s\n", static_cast<unsigned long long>(blocks()),
              bench::temporary_folder().c_str());
  add_dtype<float>(io::Dtype::f32);
  add_dtype<BFloat16>(io::Dtype::bf16);
  int const status = bench::run_against_floor(argc, argv);
  std::filesystem::remove_all(bench::temporary_folder());
  return status;
}

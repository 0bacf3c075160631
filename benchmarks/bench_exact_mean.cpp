// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C12 and C13: the exact mean of 8 members of 134 M parameters in populated memory.
#include "support/floor_reporter.hpp"
#include "support/populated.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/read_streams.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;

constexpr int members = 8;

/// Parameters of each member; DASHI_BENCH_PARAMETERS makes it smaller for a quick look.
std::int64_t parameters() {
  char const* const text = std::getenv("DASHI_BENCH_PARAMETERS");
  return text == nullptr ? 134'000'000 : std::atoll(text);
}

/// Members of one type at a time: four types side by side would not fit every machine.
template <class T>
struct Members {
  std::vector<std::unique_ptr<bench::Populated<T>>> memory;
  std::vector<VectorOf<T const, Exec>> views;
  bench::Populated<T> out{parameters() * 2 / static_cast<std::int64_t>(sizeof(T))};

  Members() {
    for (int k = 0; k < members; ++k) {
      memory.push_back(std::make_unique<bench::Populated<T>>(out.elements()));
      bench::fill_with_weights(*memory.back(), static_cast<std::uint64_t>(k));
      views.push_back(vector_over<T const, Exec>(memory.back()->data(), out.elements()));
    }
  }
};

template <class T>
Members<T>& shared_members() {
  static Members<T> all;
  return all;
}

void read_ceiling(benchmark::State& state) {
  auto& all = shared_members<BFloat16>();
  Context<Exec> ctx;
  std::vector<std::uint64_t const*> streams;
  for (auto const& m : all.memory) {
    streams.push_back(reinterpret_cast<std::uint64_t const*>(m->data()));
  }
  std::int64_t const words = static_cast<std::int64_t>(all.out.bytes() / 8);
  for (auto _ : state) {
    kernels::read_streams(ctx, streams.data(), members, words);
  }
  state.counters["bytes"] = static_cast<double>(words) * 8 * members;
}

/// The same bytes as one stream a thread.
void read_ceiling_contiguous(benchmark::State& state) {
  auto& all = shared_members<BFloat16>();
  Context<Exec> ctx;
  std::int64_t const words = static_cast<std::int64_t>(all.out.bytes() / 8);
  for (auto _ : state) {
    for (auto const& m : all.memory) {
      auto const* stream = reinterpret_cast<std::uint64_t const*>(m->data());
      kernels::read_streams(ctx, &stream, 1, words);
    }
  }
  state.counters["bytes"] = static_cast<double>(words) * 8 * members;
}

template <class T>
void exact_mean(benchmark::State& state, std::vector<std::int64_t> const& weights) {
  auto& all = shared_members<T>();
  Context<Exec> ctx;
  kernels::MeanWeights const mean_weights(weights);
  auto const out = vector_over<T, Exec>(all.out.data(), all.out.elements());
  for (auto _ : state) {
    kernels::exact_mean<T, T>(ctx, mean_weights,
                              std::span<VectorOf<T const, Exec> const>(all.views), out);
  }
  state.counters["bytes"] = static_cast<double>(all.out.elements()) * sizeof(T) * (members + 1);
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  std::vector<std::int64_t> const uniform(members, 1);
  std::vector<std::int64_t> const decimals{1234, 567, 2500, 99, 1800, 1300, 1700, 800};
  auto const add = [](char const* name, auto const& body) {
    benchmark::RegisterBenchmark(name, body)->Iterations(1)->UseRealTime();
  };
  add("ceiling/read 8 streams", [](benchmark::State& s) { read_ceiling(s); });
  add("ceiling/read contiguous", [](benchmark::State& s) { read_ceiling_contiguous(s); });
  add("exact_mean/bf16 uniform", [&](benchmark::State& s) { exact_mean<BFloat16>(s, uniform); });
  add("exact_mean/bf16 4 decimals",
      [&](benchmark::State& s) { exact_mean<BFloat16>(s, decimals); });
  add("exact_mean/f16 uniform", [&](benchmark::State& s) { exact_mean<Float16>(s, uniform); });
  add("exact_mean/f32 uniform", [&](benchmark::State& s) { exact_mean<float>(s, uniform); });
  add("exact_mean/f64 uniform", [&](benchmark::State& s) { exact_mean<double>(s, uniform); });
  return bench::run_against_floor(argc, argv);
}

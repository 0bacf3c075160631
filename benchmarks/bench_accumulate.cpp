// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row C15, kernels: one member added to exact sums, and sums published, in populated memory.
#include "support/floor_reporter.hpp"
#include "support/populated.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/publish.hpp>
#include <dashi/kernels/read_streams.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <type_traits>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;

std::int64_t parameters() {
  char const* const text = std::getenv("DASHI_BENCH_PARAMETERS");
  return text == nullptr ? 134'000'000 : std::atoll(text);
}

template <class T>
bench::Populated<T>& member() {
  static bench::Populated<T> memory(parameters());
  static bool const filled = (bench::fill_with_weights(memory, 1), true);
  static_cast<void>(filled);
  return memory;
}

/// Exact sums of seven times the member, so that what is published are weights.
struct WordSums {
  bench::Populated<std::int64_t> words{parameters()};

  VectorOf<std::int64_t, Exec> view() const {
    return vector_over<std::int64_t, Exec>(words.data(), words.elements());
  }
};
struct WindowSums {
  bench::Populated<std::int64_t> high{parameters()};
  bench::Populated<std::uint64_t> low{parameters()};

  kernels::Window<Exec> view() const {
    return {vector_over<std::uint64_t, Exec>(low.data(), low.elements()),
            vector_over<std::int64_t, Exec>(high.data(), high.elements())};
  }
};

template <class T, bool Windowed>
auto const& sums() {
  static std::conditional_t<Windowed, WindowSums, WordSums> const memory;
  static bool const filled = [] {
    Context<Exec> ctx;
    kernels::SparseEvents<Exec> events;
    auto const x = vector_over<T const, Exec>(member<T>().data(), member<T>().elements());
    kernels::accumulate(ctx, 7, x, memory.view(), events);
    return true;
  }();
  static_cast<void>(filled);
  return memory;
}

/// Reads and writes 8 bytes an element in place: the traffic of a one-word sum without a member.
void update_ceiling(benchmark::State& state) {
  auto const words = sums<Float16, false>().view();
  Context<Exec> ctx;
  for (auto _ : state) {
    Kokkos::parallel_for(
        "dashi::bench::update", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, words.extent(0)),
        KOKKOS_LAMBDA(std::size_t i) { words(i) ^= 1; });
    ctx.fence();
  }
  state.counters["bytes"] = static_cast<double>(words.extent(0)) * 16;
}

template <class T, bool Windowed>
void accumulate(benchmark::State& state) {
  auto const x = vector_over<T const, Exec>(member<T>().data(), member<T>().elements());
  Context<Exec> ctx;
  kernels::SparseEvents<Exec> events;
  std::int64_t weight = 1;
  for (auto _ : state) {
    kernels::accumulate(ctx, weight, x, sums<T, Windowed>().view(), events);
    weight = -weight;
  }
  state.counters["bytes"] =
      static_cast<double>(x.extent(0)) * static_cast<double>(sizeof(T) + (Windowed ? 32 : 16));
}

template <class T, bool Windowed>
void publish(benchmark::State& state) {
  auto const out = vector_over<T, Exec>(member<T>().data(), member<T>().elements());
  Context<Exec> ctx;
  for (auto _ : state) {
    if constexpr (Windowed) {
      kernels::publish(ctx, sums<T, true>().view(), 7, out);
    } else {
      kernels::publish(ctx, VectorOf<std::int64_t const, Exec>(sums<T, false>().view()), 7, out);
    }
  }
  state.counters["bytes"] =
      static_cast<double>(out.extent(0)) * static_cast<double>(sizeof(T) + (Windowed ? 16 : 8));
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  auto const add = [](char const* name, auto const& body) {
    benchmark::RegisterBenchmark(name, body)->Iterations(1)->UseRealTime();
  };
  add("ceiling/read", [](benchmark::State& state) {
    Context<Exec> ctx;
    auto const& words = sums<BFloat16, true>().low;
    auto const* stream = words.data();
    for (auto _ : state) {
      kernels::read_streams(ctx, &stream, 1, words.elements());
    }
    state.counters["bytes"] = static_cast<double>(words.bytes());
  });
  add("ceiling/read and write in place", [](benchmark::State& s) { update_ceiling(s); });
  add("add f16 to one word", [](benchmark::State& s) { accumulate<Float16, false>(s); });
  add("add bf16 to the window", [](benchmark::State& s) { accumulate<BFloat16, true>(s); });
  add("add f32 to the window", [](benchmark::State& s) { accumulate<float, true>(s); });
  add("publish f16 from one word", [](benchmark::State& s) { publish<Float16, false>(s); });
  add("publish f32 from the window", [](benchmark::State& s) { publish<float, true>(s); });
  return bench::run_against_floor(argc, argv);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row C14: the mean of 8 checkpoint files of 134 M bf16 parameters against merely reading the same
// files by the same method, files in the page cache and not.
#include "support/floor_reporter.hpp"
#include "support/populated.hpp"
#include "support/temporary_folder.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/mean_stream.hpp>

#include <benchmark/benchmark.h>

#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using namespace dashi::merging;

constexpr int members = 8;
constexpr std::int64_t tensors = 100;

std::int64_t parameters() {
  char const* const text = std::getenv("DASHI_BENCH_PARAMETERS");
  return text == nullptr ? 134'000'000 : std::atoll(text);
}

std::vector<std::filesystem::path> const& files() {
  static std::vector<std::filesystem::path> const made = [] {
    std::vector<std::filesystem::path> paths;
    std::int64_t const each = parameters() / tensors;
    bench::Populated<BFloat16> values(each);
    for (int k = 0; k < members; ++k) {
      std::vector<io::TensorSpec> specs;
      for (std::int64_t t = 0; t < tensors; ++t) {
        specs.push_back({"block." + std::to_string(t) + ".weight",
                         io::Dtype::bf16,
                         {static_cast<std::uint64_t>(each)}});
      }
      paths.push_back(bench::temporary_folder() / ("member_" + std::to_string(k) + ".safetensors"));
      io::SafetensorsWriter writer(paths.back(), io::SafetensorsLayout(specs, {}));
      for (std::size_t t = 0; t < specs.size(); ++t) {
        bench::fill_with_weights(values, static_cast<std::uint64_t>(k) * 1000 + t);
        writer.write(t, 0, std::as_bytes(std::span(values.data(), static_cast<std::size_t>(each))));
      }
      writer.commit();
    }
    return paths;
  }();
  return made;
}

MeanPlan plan(bool digests) {
  std::vector<MergeMember> all;
  for (auto const& path : files()) {
    all.push_back({.name = path.filename().string(),
                   .checkpoint = std::make_shared<io::Checkpoint>(path),
                   .weight = DecimalWeight{1, 0}});
  }
  MergeOptions options;
  options.digests = digests;
  return plan_mean(std::move(all), options);
}

/// Reads and does nothing else.
struct CombineNothing {
  static constexpr bool as_double = false;
  static constexpr bool by_tensor = false;
  kernels::MeanReport operator()(WorkerContext&, Values const&) const { return {}; }
};

class NullSink final : public TensorSink {
public:
  void write(std::size_t, std::uint64_t, std::span<std::byte const>) override {}
};

void forget_files() {
  for (auto const& path : files()) {
    int const descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    ::close(descriptor);
  }
}

template <class Body>
void timed(benchmark::State& state, bool cold, bool digests, Body const& body) {
  for (auto _ : state) {
    if (cold) {
      forget_files();
    }
    auto const start = std::chrono::steady_clock::now();
    MeanPlan const p = plan(digests);
    body(p);
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.counters["bytes"] = static_cast<double>(p.bytes_to_read);
  }
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  bool const cold = std::getenv("DASHI_BENCH_COLD") != nullptr;
  std::printf("%s files in %s\n", cold ? "cold" : "warm", bench::temporary_folder().c_str());
  auto const read = [](MeanPlan const& p) {
    NullSink sink;
    stream_tensors(p, CombineNothing{}, sink);
  };
  auto const mean = [](MeanPlan const& p) {
    NullSink sink;
    stream_mean(p, sink);
  };
  auto const publish = [](MeanPlan const& p) {
    publish_mean(p, bench::temporary_folder() / "mean.safetensors", {.force = true});
  };
  auto const add = [&](char const* name, bool digests, auto const& body) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& s) { timed(s, cold, digests, body); })
        ->Iterations(1)
        ->UseManualTime();
  };
  add("ceiling/read files", false, read);
  add("read files and digest", true, read);
  add("mean of files, not written", false, mean);
  add("mean of files", false, publish);
  add("mean of files and digests", true, publish);
  int const status = bench::run_against_floor(argc, argv);
  std::filesystem::remove_all(bench::temporary_folder());
  return status;
}

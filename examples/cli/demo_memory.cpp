// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "demo_memory.hpp"

#include <dashi/core/philox.hpp>
#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/read_streams.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace cli {

namespace {

namespace merging = dashi::merging;
using Exec = Kokkos::Serial;

double best_of(int times, std::function<void()> const& body) {
  double best = seconds_of(body);
  for (int i = 1; i < times; ++i) {
    best = std::min(best, seconds_of(body));
  }
  return best;
}

/// Numbers that repeat a random pattern of 2^20: populated memory to compute on.
template <class T>
std::vector<T> populated(std::size_t elements, std::uint64_t seed) {
  dashi::Philox const generator(seed, {});
  std::vector<T> pattern(std::size_t{1} << 18);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    pattern[i] = dashi::convert<T>(0.02F * generator.normal<float>(i));
  }
  std::vector<T> out(elements);
  for (std::size_t i = 0; i < elements; ++i) {
    out[i] = pattern[(i + seed * 7777) % pattern.size()];
  }
  return out;
}

class MemoryBench {
public:
  explicit MemoryBench(int threads) : threads_(threads) {
    for (std::uint64_t k = 0; k < members; ++k) {
      members_.push_back(populated<dashi::BFloat16>(elements, k + 1));
    }
  }

  double read_ceiling() {
    double const seconds = best_of(5, [&] {
      in_slices([&](dashi::Context<Exec>& ctx, std::size_t begin, std::size_t end) {
        std::array<std::uint64_t const*, members> streams{};
        for (std::size_t k = 0; k < members; ++k) {
          streams[k] = reinterpret_cast<std::uint64_t const*>(members_[k].data() + begin);
        }
        dashi::kernels::read_streams(ctx, streams.data(), members,
                                     static_cast<std::int64_t>((end - begin) / 4));
      });
    });
    return static_cast<double>(members * elements * 2) / seconds;
  }

  DemoRate exact_mean() {
    std::vector<dashi::BFloat16> out(elements);
    dashi::kernels::MeanWeights const weights(std::vector<std::int64_t>(members, 1));
    double const seconds = best_of(5, [&] {
      in_slices([&](dashi::Context<Exec>& ctx, std::size_t begin, std::size_t end) {
        auto const size = static_cast<dashi::Index>(end - begin);
        std::vector<dashi::VectorOf<dashi::BFloat16 const, Exec>> views;
        for (auto const& member : members_) {
          views.push_back(
              dashi::vector_over<dashi::BFloat16 const, Exec>(member.data() + begin, size));
        }
        dashi::kernels::exact_mean<dashi::BFloat16, dashi::BFloat16>(
            ctx, weights, std::span<dashi::VectorOf<dashi::BFloat16 const, Exec> const>(views),
            dashi::vector_over<dashi::BFloat16, Exec>(out.data() + begin, size));
      });
    });
    return {"exact mean of 8 in memory", seconds,
            static_cast<double>((members + 1) * elements * 2)};
  }

private:
  static constexpr std::size_t members = 8;
  static constexpr std::size_t elements = std::size_t{1} << 24;

  template <class Body>
  void in_slices(Body const& body) {
    auto const count = static_cast<std::size_t>(threads_);
    merging::run_chunks(count, threads_, [&](int, std::uint64_t slice) {
      dashi::Context<Exec> ctx{Exec(Kokkos::NewInstance{})};
      std::size_t const step = elements / count / 4096 * 4096;
      body(ctx, slice * step, slice + 1 == count ? elements : (slice + 1) * step);
    });
  }

  int threads_;
  std::vector<std::vector<dashi::BFloat16>> members_;
};

}  // namespace

double seconds_of(std::function<void()> const& body) {
  auto const start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

MemoryRates memory_rates(int threads) {
  MemoryBench bench(threads);
  return {bench.read_ceiling(), bench.exact_mean()};
}

}  // namespace cli

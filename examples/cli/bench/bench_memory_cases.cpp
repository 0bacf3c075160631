// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench_case.hpp"

#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/adamw.hpp>
#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/read_streams.hpp>
#include <dashi/kernels/weighted_sum.hpp>

#include <fmt/format.h>

#include <array>
#include <memory>
#include <span>

namespace cli {

namespace {

namespace kernels = dashi::kernels;
using dashi::BFloat16;
using dashi::Index;
using Exec = BenchExec;

constexpr std::size_t members = 8;

std::string millions(Index elements) {
  return fmt::format("{:.1f} M", static_cast<double>(elements) * 1e-6);
}

void update(BenchContext const& ctx, BenchVector<std::uint64_t> const& words) {
  Kokkos::parallel_for(
      "dashi::bench::update",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                          static_cast<Index>(words.extent(0))),
      KOKKOS_LAMBDA(Index i) { words(i) ^= 1; });
  ctx.fence();
}

struct Members {
  std::vector<BenchVector<BFloat16>> tensors;
  std::vector<dashi::VectorOf<BFloat16 const, Exec>> views;
  BenchVector<BFloat16> out;
};

Members make_members(BenchContext const& ctx, Index elements) {
  Members m;
  for (std::size_t k = 0; k < members; ++k) {
    m.tensors.push_back(random_vector<BFloat16>(ctx, elements, k));
    m.views.emplace_back(m.tensors.back());
  }
  m.out = random_vector<BFloat16>(ctx, elements, members);
  return m;
}

void add_means(std::vector<BenchCase>& cases, BenchContext& ctx, Index elements) {
  Shared<Members> const all([&ctx, elements] { return make_members(ctx, elements); });
  double const bytes = static_cast<double>(elements) * 2;
  std::string const shape = fmt::format("{} x {} bf16", members, millions(elements));
  if constexpr (bool(Kokkos::SpaceAccessibility<Exec, Kokkos::HostSpace>::accessible)) {
    cases.push_back({.name = "read",
                     .shape = shape,
                     .bytes = bytes * members,
                     .ceiling = true,
                     .make = [&ctx, all, elements] {
                       Members const& m = all.get();
                       return [&ctx, m, elements] {
                         std::array<std::uint64_t const*, members> streams{};
                         for (std::size_t k = 0; k < members; ++k) {
                           streams[k] = reinterpret_cast<std::uint64_t const*>(m.tensors[k].data());
                         }
                         kernels::read_streams(ctx, streams.data(), members, elements / 4);
                       };
                     }});
  }
  cases.push_back(
      {.name = "exact mean", .shape = shape, .bytes = bytes * (members + 1), .make = [&ctx, all] {
         return [&ctx, m = all.get()] {
           kernels::MeanWeights const weights(std::vector<std::int64_t>(members, 1));
           kernels::exact_mean<BFloat16, BFloat16>(
               ctx, weights, std::span<dashi::VectorOf<BFloat16 const, Exec> const>(m.views),
               m.out);
           ctx.fence();
         };
       }});
  cases.push_back(
      {.name = "weighted sum", .shape = shape, .bytes = bytes * (members + 1), .make = [&ctx, all] {
         ctx.reserve_scratch(kernels::weighted_sum_scratch<BFloat16, Exec>(members));
         return [&ctx, m = all.get()] {
           std::vector<double> const weights(members, 0.125);
           kernels::weighted_sum<BFloat16, Exec>(
               ctx, weights, std::span<dashi::VectorOf<BFloat16 const, Exec> const>(m.views),
               m.out);
           ctx.fence();
         };
       }});
}

void add_sums(std::vector<BenchCase>& cases, BenchContext& ctx, Index elements) {
  auto const size = static_cast<std::size_t>(elements);
  cases.push_back({.name = "read and write in place",
                   .shape = fmt::format("{} u64", millions(elements)),
                   .bytes = static_cast<double>(elements) * 16,
                   .ceiling = true,
                   .make = [&ctx, size] {
                     return [&ctx, words = BenchVector<std::uint64_t>("dashi::bench", size)] {
                       update(ctx, words);
                     };
                   }});
  cases.push_back({.name = "add to exact sums",
                   .shape = fmt::format("{} f32", millions(elements)),
                   .bytes = static_cast<double>(elements) * (4 + 32),
                   .make = [&ctx, elements, size] {
                     BenchVector<std::uint64_t> const low("dashi::bench", size);
                     BenchVector<std::int64_t> const high("dashi::bench", size);
                     return [&ctx, x = random_vector<float>(ctx, elements, 1), low, high,
                             events = std::make_shared<kernels::SparseEvents<Exec>>(),
                             weight = std::make_shared<std::int64_t>(1)] {
                       kernels::accumulate(ctx, *weight, dashi::VectorOf<float const, Exec>(x),
                                           kernels::Window<Exec>{low, high}, *events);
                       *weight = -*weight;
                     };
                   }});
}

std::function<void()> optimizer_run(BenchContext& ctx, Index elements) {
  using AdamW = kernels::AdamW<float, float, BFloat16, Exec>;
  auto const parameter = random_vector<float>(ctx, elements, 1);
  auto const gradient = random_vector<float>(ctx, elements, 2);
  auto const average = random_vector<float>(ctx, elements, 1);
  auto const size = static_cast<std::size_t>(elements);
  BenchVector<float> const first("dashi::bench", size);
  BenchVector<float> const second("dashi::bench", size);
  BenchVector<BFloat16> const shadow("dashi::bench", size);
  std::vector<AdamW::Tensor> const tensors{{.parameter = parameter,
                                            .gradient = gradient,
                                            .first_moment = first,
                                            .second_moment = second,
                                            .average = average,
                                            .shadow = shadow}};
  auto const optimizer = std::make_shared<AdamW>(ctx, tensors);
  auto const step = std::make_shared<std::int64_t>(0);
  return [&ctx, parameter, gradient, average, first, second, shadow, optimizer, step] {
    optimizer->step(ctx, {}, ++*step);
    ctx.fence();
  };
}

void add_optimizer(std::vector<BenchCase>& cases, BenchContext& ctx, Index elements) {
  cases.push_back({.name = "AdamW, average and bf16 copy",
                   .shape = fmt::format("{} f32", millions(elements)),
                   .bytes = static_cast<double>(elements) * 38,
                   .make = [&ctx, elements] { return optimizer_run(ctx, elements); }});
}

}  // namespace

void add_memory_cases(std::vector<BenchCase>& cases, BenchContext& ctx, Index elements) {
  add_means(cases, ctx, elements);
  add_sums(cases, ctx, elements / 2);
  add_optimizer(cases, ctx, elements / 2);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Times of kernels on the default execution space beside the same process' speed of copying, as a
// JSON array. Best of ten runs after two.

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/exact_mean.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/svd.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
template <class T>
using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;
template <class T>
using Vector = Kokkos::View<T*, typename Exec::memory_space>;

bool first = true;

template <class Body>
void report(Context<Exec>& ctx, char const* name, double bytes, double operations,
            Body const& body) {
  double best = 1e300;
  for (int run = 0; run < 12; ++run) {
    ctx.fence();
    Kokkos::Timer const timer;
    body();
    ctx.fence();
    best = run < 2 ? best : std::min(best, timer.seconds());
  }
  std::printf("%s {\"name\": \"%s\", \"seconds\": %.3e, \"GB_per_s\": %.1f, \"GFLOP_per_s\": %.1f}",
              first ? "[" : ",\n", name, best, bytes / best * 1e-9, operations / best * 1e-9);
  std::fflush(stdout);
  first = false;
}

void copy(Context<Exec>& ctx) {
  std::size_t const size = std::size_t{1} << 28;
  Vector<float> const from("from", size);
  Vector<float> const to("to", size);
  report(ctx, "copy", 8.0 * static_cast<double>(size), 0,
         [&] { Kokkos::deep_copy(ctx.exec(), to, from); });
}

/// Members read once, the result written once.
void mean(Context<Exec>& ctx) {
  std::size_t const size = std::size_t{1} << 26;
  std::vector<Vector<BFloat16>> owners;
  std::vector<VectorOf<BFloat16 const, Exec>> members;
  for (int k = 0; k < 8; ++k) {
    owners.emplace_back("member", size);
    Kokkos::deep_copy(owners.back(), BFloat16{static_cast<std::uint16_t>(0x3f80 + k)});
    members.push_back(owners.back());
  }
  Vector<BFloat16> const out("out", size);
  kernels::MeanWeights const weights({1, 1, 1, 1, 1, 1, 1, 1});
  report(ctx, "exact_mean of 8 bfloat16", 2.0 * 9 * static_cast<double>(size), 0, [&] {
    kernels::exact_mean<BFloat16, BFloat16>(ctx, weights, std::span(std::as_const(members)),
                                            VectorOf<BFloat16, Exec>(out));
  });
}

template <class T>
void product(Context<Exec>& ctx, char const* name, std::size_t size) {
  Matrix<T> const a("a", size, size);
  Matrix<T> const b("b", size, size);
  Matrix<T> const c("c", size, size);
  Kokkos::deep_copy(a, convert<T>(0.5F));
  Kokkos::deep_copy(b, convert<T>(0.25F));
  auto const n = static_cast<double>(size);
  report(ctx, name, 0, 2 * n * n * n,
         [&] { linalg::gemm(ctx, linalg::Op::none, a, linalg::Op::none, b, c); });
}

void decomposition(Context<Exec>& ctx) {
  std::size_t const size = 1152;
  Matrix<float> const a("a", size, size);
  Matrix<float> const u("u", size, size);
  Matrix<float> const vt("vt", size, size);
  Vector<float> const s("s", size);
  auto const host = Kokkos::create_mirror_view(a);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      host(i, j) = 1.0F / static_cast<float>(1 + i + j) + (i == j ? 1.0F : 0.0F);
    }
  }
  Kokkos::deep_copy(a, host);
  report(ctx, "svd of 1152 x 1152 float", 0, 0, [&] { linalg::svd(ctx, a, u, s, vt); });
}

}  // namespace

int main(int argc, char* argv[]) {
  ScopeGuard const kokkos(argc, argv);
  Context<Exec> ctx;
  copy(ctx);
  mean(ctx);
  product<BFloat16>(ctx, "gemm of 8192 bfloat16", 8192);
  product<float>(ctx, "gemm of 4096 float", 4096);
  decomposition(ctx);
  std::printf("]\n");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C7 to C9: singular value decompositions of all block matrices of a DiT, and truncated ones.
//
//   bench_svd [S2|XL2|truncated] [blocks]    everything, with one block of XL/2, when none is named
#include "support/timed_rows.hpp"

#include <dashi/core/philox.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/randomised_svd.hpp>
#include <dashi/linalg/svd.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Matrix32 = Kokkos::View<float**, Kokkos::LayoutRight, Exec::memory_space>;
using Vector32 = Kokkos::View<float*, Exec::memory_space>;

/// Normal(0, 0.02), as weights are.
Matrix32 weights(Index rows, Index cols, std::uint64_t seed) {
  Matrix32 const a("weights", static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
  Philox const random(seed, {});
  for (Index i = 0; i < rows * cols; ++i) {
    a.data()[i] = 0.02F * random.normal<float>(static_cast<std::uint64_t>(i));
  }
  return a;
}

/// What reduction to bidiagonal form and both back-transformations cost at least, after a QR
/// decomposition where one side is half as long again as the other; nothing for the bidiagonal
/// problem itself. Golub, Van Loan, Matrix Computations, section 5.4.
double svd_flops(Index rows, Index cols) {
  auto const m = static_cast<double>(std::max(rows, cols));
  auto const n = static_cast<double>(std::min(rows, cols));
  return 2 * m >= 3 * n ? 6 * m * n * n + 4 * n * n * n : 6 * m * n * n + 2.0 / 3 * n * n * n;
}

struct Model {
  std::vector<Matrix32> memory;
  std::vector<Vector32> values;
  std::vector<linalg::SvdProblem<float, Exec>> problems;
  double flops = 0;

  Model(Index width, Index blocks) {
    std::pair<Index, Index> const shapes[] = {{3, 1}, {1, 1}, {4, 1}, {1, 4}, {6, 1}};
    for (Index block = 0; block < blocks; ++block) {
      for (auto const& [down, across] : shapes) {
        add(down * width, across * width);
      }
    }
  }

  void add(Index m, Index n) {
    Index const k = std::min(m, n);
    auto const size = [](Index i) { return static_cast<std::size_t>(i); };
    Matrix32 const a = weights(m, n, memory.size());
    Matrix32 const u("u", size(m), size(k));
    Matrix32 const vt("vt", size(k), size(n));
    Vector32 const s("s", size(k));
    problems.push_back({a, u, s, vt});
    memory.insert(memory.end(), {a, u, vt});
    values.push_back(s);
    flops += svd_flops(m, n);
  }
};

void add_model(bench::TimedRows& rows, Context<Exec>& ctx, std::string const& name, Index width,
               Index blocks) {
  auto const model = std::make_shared<Model>(width, blocks);
  rows.add({.name = "svd_batch/" + name + " " + std::to_string(blocks) + " blocks",
            .flops = model->flops,
            .call = [&ctx, model] {
              linalg::svd_batch(ctx,
                                std::span<linalg::SvdProblem<float, Exec> const>(model->problems));
            }});
}

/// Weights with a hundred directions that stand out.
void add_truncated(bench::TimedRows& rows, Context<Exec>& ctx, Index m, Index n) {
  constexpr Index rank = 64;
  linalg::RandomisedSvd const options{.oversampling = 10, .power_steps = 2, .seed = 1};
  auto const size = [](Index i) { return static_cast<std::size_t>(i); };
  Matrix32 const a = weights(m, n, 1);
  linalg::gemm(ctx, linalg::Op::none, weights(m, 100, 2), linalg::Op::none, weights(100, n, 3), a,
               {10, 1});
  Matrix32 const u("u", size(m), size(rank));
  Matrix32 const vt("vt", size(rank), size(n));
  Vector32 const s("s", size(rank));
  double const passes = 2.0 * static_cast<double>(options.power_steps) + 2;
  double const products = static_cast<double>(rank + options.oversampling) * passes + rank;
  rows.add({.name = "randomised_svd/rank 64 of " + std::to_string(m) + " x " + std::to_string(n),
            .flops = 2 * static_cast<double>(m * n) * products,
            .call = [=, &ctx] { linalg::randomised_svd(ctx, a, rank, options, u, s, vt); }});
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  Context<Exec> ctx;
  std::string const kind = argc > 1 ? argv[1] : "";
  Index const blocks = argc > 2 ? std::atoll(argv[2]) : 0;
  auto const wanted = [&](char const* name) { return kind.empty() || kind == name; };

  bench::TimedRows rows;
  constexpr Index side = 2048;
  Matrix32 const p = weights(side, side, 1);
  Matrix32 const q = weights(side, side, 2);
  Matrix32 const r = weights(side, side, 3);
  rows.add({.name = "ceiling/gemm 2048", .flops = 2.0 * side * side * side, .call = [&] {
              linalg::gemm(ctx, linalg::Op::none, p, linalg::Op::none, q, r);
            }});
  if (wanted("S2")) {
    add_model(rows, ctx, "S/2", 384, blocks > 0 ? blocks : 12);
  }
  if (wanted("XL2")) {
    add_model(rows, ctx, "XL/2", 1152, blocks > 0 ? blocks : 1);
  }
  if (wanted("truncated")) {
    add_truncated(rows, ctx, 1152, 1152);
    add_truncated(rows, ctx, 4608, 1152);
  }
  rows.run();
  rows.print("svd");
  return 0;
}

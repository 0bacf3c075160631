// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C1 to C6: a frozen linear layer with a Kronecker adapter, forward and backward, against the
// frozen layer alone; the product with A ⊗ B alone; fusing adapters into all weights of a model.
#include "support/populated.hpp"
#include "support/timed_rows.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/kronecker_linear.hpp>
#include <dashi/kernels/machine_ratio.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Ctx = Context<Exec>;
using kernels::KroneckerPath;
using kernels::KroneckerShape;

/// A matrix of random floats.
struct Values {
  Index rows, cols;
  bench::Populated<float> memory;

  Values(Index r, Index c, unsigned seed) : rows(r), cols(c), memory(r * c) {
    bench::fill_with_weights(memory, seed);
  }
  MatrixOf<float, Exec> view() const { return matrix_over<float, Exec>(memory.data(), rows, cols); }
};

std::string text(KroneckerShape const& s, Index rows) {
  return std::to_string(s.out()) + "x" + std::to_string(s.in()) + " T=" + std::to_string(rows);
}

/// One layer with everything that forward and backward need, under one plan.
struct Layer {
  KroneckerShape shape;
  Index rows;
  Values w, merged, a, b, x, y, dx, da, db, saved;

  Layer(KroneckerShape const& s, Index t)
      : shape(s),
        rows(t),
        w(s.out(), s.in(), 1),
        merged(s.out(), s.in(), 2),
        a(s.m1, s.n1, 3),
        b(s.m2, s.n2, 4),
        x(t, s.in(), 5),
        y(t, s.out(), 6),
        dx(t, s.in(), 7),
        da(s.m1, s.n1, 8),
        db(s.m2, s.n2, 9),
        saved(t, std::max(s.between(KroneckerPath::a_first), s.between(KroneckerPath::b_first)),
              10) {}

  /// y serves as dy too.
  void base(Ctx& ctx) const {
    using linalg::Op;
    linalg::gemm(ctx, Op::none, x.view(), Op::transpose, w.view(), y.view());
    linalg::gemm(ctx, Op::none, y.view(), Op::none, w.view(), dx.view());
    ctx.fence();
  }
  void adapted(Ctx& ctx, kernels::KroneckerPlan const& plan) const {
    kernels::KroneckerLinear<float, Exec> const layer{w.view(), a.view(), b.view(), 1.0,
                                                      merged.view()};
    kernels::RowsOf<float, Exec> keep;
    if (plan.saves()) {
      keep =
          matrix_over<float, Exec>(saved.memory.data(), rows, shape.between(plan.gradient_order()));
    }
    if (plan.merges()) {
      kernels::update_merged<float>(ctx, layer);
    }
    kernels::kronecker_linear<float>(ctx, plan, layer, x.view(), y.view(), keep);
    kernels::KroneckerGradients<float, Exec> gradients;
    gradients.dx = dx.view();
    gradients.da = da.view();
    gradients.db = db.view();
    kernels::kronecker_linear_adjoint<float>(ctx, plan, layer, x.view(), y.view(), gradients, keep);
    ctx.fence();
  }
  double flops() const {
    return 4.0 * static_cast<double>(rows) * static_cast<double>(shape.out() * shape.in());
  }
};

void add_layer(bench::TimedRows& rows, Ctx& ctx, std::shared_ptr<Layer> const& layer,
               kernels::MachineRatio const& ratio) {
  KroneckerShape const& s = layer->shape;
  kernels::KroneckerUse use;
  use.rows = layer->rows;
  kernels::KroneckerPlan const planned = plan_kronecker(s, use, ratio);
  std::printf("%s", planned.describe().c_str());
  std::string const name = text(s, layer->rows);
  rows.add({"base " + name, layer->flops(), 0, [&ctx, layer] { layer->base(ctx); }});
  auto const add = [&](char const* which, kernels::KroneckerPlan plan, KroneckerPath forward,
                       KroneckerPath backward) {
    plan.forward = forward;
    plan.backward = backward;
    ctx.reserve_scratch(kernels::kronecker_linear_scratch<float, Exec>(plan));
    kernels::KroneckerCost const cost = plan.cost();
    rows.add({std::string(which) + name, layer->flops() + cost.product_flop + cost.mix_flop, 0,
              [&ctx, layer, plan] { layer->adapted(ctx, plan); }});
  };
  add("C1-C4 planned ", planned, planned.forward, planned.backward);
  add("merged ", planned, KroneckerPath::materialised, KroneckerPath::materialised);
  add("factored ", planned, planned.order, planned.order);
}

void add_product(bench::TimedRows& rows, Ctx& ctx, Index size, Index tokens) {
  KroneckerShape const s{size, size, size, size};
  auto const layer = std::make_shared<std::vector<std::unique_ptr<Values>>>();
  layer->push_back(std::make_unique<Values>(size, size, 1));
  layer->push_back(std::make_unique<Values>(size, size, 2));
  layer->push_back(std::make_unique<Values>(tokens, s.in(), 3));
  layer->push_back(std::make_unique<Values>(tokens, s.out(), 4));
  for (KroneckerPath const path : {KroneckerPath::b_first, KroneckerPath::a_first}) {
    ctx.reserve_scratch(kernels::kronecker_apply_scratch<float, Exec>(s, path, tokens));
    rows.add({"C5 " + std::string(name_of(path)) + " " + std::to_string(size) + "^2 x " +
                  std::to_string(size) + "^2 T=" + std::to_string(tokens),
              2.0 * static_cast<double>(tokens) * (s.products(path) + s.mixes(path)), 0,
              [&ctx, layer, path] {
                auto const& v = *layer;
                kernels::kronecker_apply(ctx, path, 1.0, v[0]->view(), v[1]->view(), v[2]->view(),
                                         v[3]->view());
                ctx.fence();
              }});
  }
}

/// The five weights of a block of DiT-XL/2.
struct Block {
  std::vector<std::unique_ptr<Values>> weights, a, b;

  Block() {
    for (KroneckerShape const s : {KroneckerShape{24, 8, 144, 144}, KroneckerShape{8, 8, 144, 144},
                                   KroneckerShape{16, 8, 288, 144}, KroneckerShape{8, 16, 144, 288},
                                   KroneckerShape{48, 8, 144, 144}}) {
      weights.push_back(std::make_unique<Values>(s.out(), s.in(), 1));
      a.push_back(std::make_unique<Values>(s.m1, s.n1, 2));
      b.push_back(std::make_unique<Values>(s.m2, s.n2, 3));
    }
  }
};

void add_fuse(bench::TimedRows& rows, Ctx& ctx, int blocks) {
  auto const model = std::make_shared<std::vector<Block>>(static_cast<std::size_t>(blocks));
  double numbers = 0;
  for (Block const& block : *model) {
    for (auto const& w : block.weights) {
      numbers += static_cast<double>(w->memory.elements());
    }
  }
  rows.add(
      {"C6 fuse into " + std::to_string(blocks) + " blocks of XL/2", 0, 8 * numbers, [&ctx, model] {
         for (Block const& block : *model) {
           for (std::size_t i = 0; i < block.weights.size(); ++i) {
             kernels::kronecker_fuse(ctx, 1e-6, block.a[i]->view(), block.b[i]->view(),
                                     block.weights[i]->view());
           }
         }
         ctx.fence();
       }});
  rows.add({"ceiling/read and write in place", 0, 8 * numbers, [&ctx, model] {
              for (Block const& block : *model) {
                for (auto const& w : block.weights) {
                  float* const data = w->memory.data();
                  Kokkos::parallel_for(
                      "dashi::bench",
                      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, w->rows),
                      [data, cols = w->cols](Index row) {
                        for (Index at = row * cols; at < (row + 1) * cols; ++at) {
                          data[at] *= 1.0001F;
                        }
                      });
                }
              }
              ctx.fence();
            }});
}

}  // namespace

/// bench_kronecker [layer|product|fuse]: all rows or those of one kind. DASHI_BENCH_REPEATS (15)
/// and DASHI_BENCH_BLOCKS (28, of XL/2; 2.7 GB) make it shorter.
int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  Ctx ctx;
  std::string const kind = argc > 1 ? argv[1] : "";
  auto const wanted = [&](char const* name) { return kind.empty() || kind == name; };
  auto const ratio = kernels::measure_machine_ratio<float>(ctx);
  std::printf("machine: thin products %.1f GFLOP/s, mixes %.1f GFLOP/s, merging %.1f GB/s\n",
              ratio.product_flops * 1e-9, ratio.mix_flops * 1e-9, ratio.bytes_per_second * 1e-9);
  bench::TimedRows rows;
  Index const side = 2048;
  Values const p(side, side, 1);
  Values const q(side, side, 2);
  Values const r(side, side, 3);
  rows.add({"ceiling/product 2048^3", 2.0 * side * side * side, 0, [&] {
              linalg::gemm(ctx, linalg::Op::none, p.view(), linalg::Op::transpose, q.view(),
                           r.view());
              ctx.fence();
            }});
  if (wanted("layer")) {
    for (KroneckerShape const s : {KroneckerShape{8, 8, 144, 144}, KroneckerShape{16, 8, 288, 144},
                                   KroneckerShape{8, 16, 144, 288}}) {
      for (Index const tokens : {256, 2048}) {
        add_layer(rows, ctx, std::make_shared<Layer>(s, tokens), ratio);
      }
    }
  }
  if (wanted("product")) {
    add_product(rows, ctx, 64, 1024);
    add_product(rows, ctx, 128, 256);
  }
  if (wanted("fuse")) {
    char const* const blocks = std::getenv("DASHI_BENCH_BLOCKS");
    add_fuse(rows, ctx, blocks == nullptr ? 28 : std::atoi(blocks));
  }
  rows.run();
  for (std::size_t i = 0; i + 1 < rows.rows().size(); ++i) {
    if (rows.row(i).name.rfind("base ", 0) == 0) {
      std::printf("over the frozen layer, %s: %.3f planned, %.3f merged, %.3f factored\n",
                  rows.row(i).name.c_str() + 5, rows.row(i + 1).median() / rows.row(i).median(),
                  rows.row(i + 2).median() / rows.row(i).median(),
                  rows.row(i + 3).median() / rows.row(i).median());
    }
  }
  rows.print("kronecker");
  return 0;
}

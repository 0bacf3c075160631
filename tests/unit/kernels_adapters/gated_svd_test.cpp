// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapters_fixture.hpp"

#include <dashi/kernels/gated_svd_adjoint.hpp>
#include <dashi/kernels/gated_svd_blocks.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <vector>

namespace gated_svd_test {

using namespace dashi;
using namespace dashi::test;
using kernels::AccumulatorOf;

namespace {

enum class Gates { none, of_samples, of_classes };

struct Case {
  Index samples, rows_per_sample, m, n, rank, gap;
};

Case const cases[] = {{1, 1, 1, 1, 1, 0},
                      {3, 5, 7, 4, 3, 0},
                      {3, 5, 7, 4, 3, 2},
                      {2, 70, 33, 65, 40, 1},
                      {4, 32, 18, 20, 1, 0},
                      {0, 3, 4, 5, 2, 0},
                      {5, 1, 10, 9, 130, 0},
                      // more rows than a tile
                      {3, 100, 2, 3, 4100, 0}};

/// A layer, its input and its gates in double, and the row of the table that a row of x takes.
struct Problem {
  HostMatrix ut, sigma, vt, gates, x, dy;
  std::vector<std::int64_t> labels;
  Index rows_per_sample;

  double gate(Index t, Index j) const {
    if (gates.values.empty()) {
      return 1;
    }
    return gates(gate_row(t), j);
  }
  Index gate_row(Index t) const {
    Index const s = t / rows_per_sample;
    return labels.empty() ? s : labels[static_cast<std::size_t>(s)];
  }
  HostMatrix z() const { return product(x, transposed(vt)); }
  HostMatrix scaled(HostMatrix m) const {
    for (Index t = 0; t < m.rows; ++t) {
      for (Index j = 0; j < m.cols; ++j) {
        m(t, j) *= sigma(0, j) * gate(t, j);
      }
    }
    return m;
  }
  HostMatrix y() const { return product(scaled(z()), ut); }
};

template <class T>
Problem make_problem(Case const& c, Gates kind) {
  Index const rows = c.samples * c.rows_per_sample;
  Problem p{random_matrix<T>(c.rank, c.m, 1),
            random_matrix<T>(1, c.rank, 2),
            random_matrix<T>(c.rank, c.n, 3),
            {},
            random_matrix<T>(rows, c.n, 4),
            random_matrix<T>(rows, c.m, 5),
            {},
            c.rows_per_sample};
  if (kind == Gates::of_samples) {
    p.gates = random_matrix<T>(c.samples, c.rank, 6);
  } else if (kind == Gates::of_classes) {
    p.gates = random_matrix<T>(4, c.rank, 7);
    for (Index s = 0; s < c.samples; ++s) {
      p.labels.push_back(static_cast<std::int64_t>(s % 2 == 0 ? 3 : s % 3));
    }
  }
  return p;
}

template <class T, class Exec>
struct OnSpace {
  SpaceMatrix<T, Exec> ut, vt, gates, x, dy;
  Kokkos::View<T*, typename Exec::memory_space> sigma;
  Kokkos::View<std::int64_t*, typename Exec::memory_space> labels;

  OnSpace(Problem const& p, Index gap)
      : ut(p.ut, gap),
        vt(p.vt, gap),
        gates(p.gates, gap),
        x(p.x, gap),
        dy(p.dy, gap),
        sigma(space_vector<T, Exec>(p.sigma)),
        labels("labels", p.labels.size()) {
    auto const host = Kokkos::create_mirror_view(labels);
    for (std::size_t i = 0; i < p.labels.size(); ++i) {
      host(i) = p.labels[i];
    }
    Kokkos::deep_copy(labels, host);
  }
  kernels::SvdFactors<T, Exec> factors() const { return {ut.view(), sigma, vt.view()}; }
  kernels::SampleGates<T, Exec> sample_gates(Problem const& p) const {
    kernels::SampleGates<T, Exec> g;
    if (!p.gates.values.empty()) {
      g.values = gates.view();
    }
    g.labels = labels;
    g.rows_per_sample = p.rows_per_sample;
    return g;
  }
};

template <class W, class T>
void check_layer(Case const& c, Gates kind, bool save_z, bool save_h) {
  using Exec = typename W::Exec;
  using Acc = AccumulatorOf<T>;
  typename W::Ctx ctx;
  Problem const p = make_problem<T>(c, kind);
  OnSpace<T, Exec> const s(p, c.gap);
  Index const rows = p.x.rows;
  HostMatrix const y0 = random_matrix<T>(rows, c.m, 8);
  SpaceMatrix<T, Exec> const y(y0, c.gap);
  SpaceMatrix<T, Exec> const z(save_z ? rows : 0, c.rank, c.gap), h(save_h ? rows : 0, c.rank);
  kernels::SvdSaved<T, Exec> saved;
  if (save_z) {
    saved.z = z.view();
  }
  if (save_h) {
    saved.h = h.view();
  }
  ctx.reserve_scratch(kernels::gated_apply_scratch<T, Exec>(c.rank, rows, save_z, save_h));
  kernels::gated_apply<T>(ctx, s.factors(), s.sample_gates(p), s.x.view(), y.view(), 1, saved);
  CHECK(distance(y.get(), sum(p.y(), 1, y0)) <= bound<T>(c.n + c.rank));

  HostMatrix const dh = product(p.dy, transposed(p.ut));
  HostMatrix const dz = p.scaled(dh);
  HostMatrix const zz = p.z();
  HostMatrix const du = product(transposed(p.scaled(zz)), p.dy);
  HostMatrix const dv = product(transposed(dz), p.x);
  HostMatrix dsigma(1, c.rank), dgates(p.gates.rows, c.rank);
  for (Index t = 0; t < rows; ++t) {
    for (Index j = 0; j < c.rank; ++j) {
      dsigma(0, j) += dh(t, j) * zz(t, j) * p.gate(t, j);
      if (!p.gates.values.empty()) {
        dgates(p.gate_row(t), j) += dh(t, j) * zz(t, j) * p.sigma(0, j);
      }
    }
  }
  for (int const add : {0, 1}) {
    HostMatrix const dx0 = random_matrix<T>(rows, c.n, 11);
    HostMatrix const du0 = random_matrix<Acc>(c.rank, c.m, 12);
    HostMatrix const dv0 = random_matrix<Acc>(c.rank, c.n, 13);
    HostMatrix const ds0 = random_matrix<Acc>(1, c.rank, 14);
    HostMatrix const dg0 = random_matrix<Acc>(p.gates.rows, c.rank, 15);
    SpaceMatrix<T, Exec> const sdx(dx0, c.gap);
    SpaceMatrix<Acc, Exec> const sdu(du0, c.gap), sdv(dv0, c.gap), sdg(dg0, c.gap);
    auto const sds = space_vector<Acc, Exec>(ds0);
    kernels::GatedGradients<T, Exec> g;
    g.dx = sdx.view();
    g.dut = sdu.view();
    g.dvt = sdv.view();
    g.dsigma = sds;
    if (!p.gates.values.empty()) {
      g.dgates = sdg.view();
    }
    g.dx_beta = add;
    g.beta = add;
    ctx.reserve_scratch(kernels::gated_adjoint_scratch<T, Exec>(c.m, c.n, c.rank, rows,
                                                                c.rows_per_sample, save_z, save_h));
    kernels::gated_adjoint<T>(ctx, s.factors(), s.sample_gates(p), s.x.view(), s.dy.view(), g,
                              saved);
    Index const terms = rows + c.m + c.n + c.rank;
    CHECK(distance(sdx.get(), sum(product(dz, p.vt), add, dx0)) <= bound<T>(terms));
    CHECK(distance(sdu.get(), sum(du, add, du0)) <= bound<T>(terms));
    CHECK(distance(sdv.get(), sum(dv, add, dv0)) <= bound<T>(terms));
    CHECK(distance(host_vector(sds), sum(dsigma, add, ds0)) <= bound<T>(terms));
    CHECK(distance(sdg.get(), sum(dgates, add, dg0)) <= bound<T>(terms));
  }
}

template <class W, class T>
void check_gated_type() {
  for (Case const& c : cases) {
    for (Gates const kind : {Gates::none, Gates::of_samples, Gates::of_classes}) {
      CAPTURE(c.samples, c.rows_per_sample, c.m, c.n, c.rank, c.gap, static_cast<int>(kind));
      check_layer<W, T>(c, kind, false, false);
      check_layer<W, T>(c, kind, true, false);
      check_layer<W, T>(c, kind, true, true);
    }
  }
}

kernels::GateBlocks const blocks{2, 3, {{0, 1}, {2}, {}, {0, 2}}};

HostMatrix table_of(kernels::GateBlocks const& b, Index rank) {
  HostMatrix table(static_cast<Index>(b.active.size()), rank);
  for (Index c = 0; c < table.rows; ++c) {
    for (Index j = 0; j < rank; ++j) {
      table(c, j) = j < b.learngene ? 1 : 0;
    }
    for (Index const block : b.active[static_cast<std::size_t>(c)]) {
      for (Index j = 0; j < b.block; ++j) {
        table(c, b.learngene + block * b.block + j) = 1;
      }
    }
  }
  return table;
}

template <class W, class T>
void check_blocks() {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  Index const rank = 11;
  Problem p = make_problem<T>({6, 7, 12, 9, rank, 0}, Gates::none);
  p.gates = table_of(blocks, rank);
  p.labels = {0, 0, 3, 1, 2, 2};
  OnSpace<T, Exec> const s(p, 0);
  SpaceMatrix<T, Exec> const y(42, 12);
  ctx.reserve_scratch(kernels::gated_apply_scratch<T, Exec>(rank, 42));
  kernels::gated_apply_blocks<T>(ctx, s.factors(), blocks, p.labels, 7, s.x.view(), y.view());
  CHECK(distance(y.get(), p.y()) <= 4 * bound<T>(9 + rank));
}

/// Fewer components of more rows than a tile: their own tiles would need more bytes.
template <class T>
void check_blocks_scratch() {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  Index const rank = 1152, rows = 4'200'000 / (1024 * Index(sizeof(T)));
  kernels::GateBlocks const most{1024, 64, {{0, 1}}};
  Problem p = make_problem<T>({1, rows, 2, 3, rank, 0}, Gates::none);
  OnSpace<T, Exec> const s(p, 0);
  SpaceMatrix<T, Exec> const y(rows, 2);
  std::vector<std::int64_t> const labels{0};
  ctx.reserve_scratch(kernels::gated_apply_scratch<T, Exec>(rank, rows));
  kernels::gated_apply_blocks<T>(ctx, s.factors(), most, labels, rows, s.x.view(), y.view());
  CHECK(distance(y.get(), p.y()) <= 4 * bound<T>(3 + rank));
}

template <class W, class T>
void check_materialised() {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  Index const rank = 11;
  Problem p = make_problem<T>({1, 7, 12, 9, rank, 2}, Gates::none);
  p.gates = table_of(blocks, rank);
  OnSpace<T, Exec> const s(p, 2);
  ctx.reserve_scratch(kernels::gated_materialise_scratch<T, Exec>(rank, 9));
  Kokkos::View<T*, typename Exec::memory_space> const gate("gate", rank);
  std::vector<Index> const classes{1, 2, 0};
  kernels::unite_gates<T>(ctx, s.gates.view(), classes, gate);
  HostMatrix const united = host_vector(gate);
  for (Index j = 0; j < rank; ++j) {
    CHECK(united(0, j) == std::max({p.gates(1, j), p.gates(2, j), p.gates(0, j)}));
  }
  HostMatrix const w0 = random_matrix<T>(12, 9, 20);
  SpaceMatrix<T, Exec> const w(w0, 2);
  kernels::gated_materialise<T>(ctx, s.factors(), gate, w.view(), 1);
  p.gates = united;
  // Applied to the rows of a unit matrix the layer gives the transposed weight.
  p.x = HostMatrix(9, 9);
  for (Index i = 0; i < 9; ++i) {
    p.x(i, i) = 1;
  }
  p.rows_per_sample = 9;
  CHECK(distance(w.get(), sum(transposed(p.y()), 1, w0)) <= bound<T>(rank));
}

}  // namespace

TEMPLATE_TEST_CASE("gated layers and adjoints are what plain loops give", "[gated_svd]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double, BFloat16>(
      [&]<class T>() { check_gated_type<TestType, T>(); });
}

TEMPLATE_TEST_CASE("skipping inactive tailors and materialising give the gated layer",
                   "[gated_svd]", DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double, BFloat16>([&]<class T>() {
    check_blocks<TestType, T>();
    check_materialised<TestType, T>();
  });
}

TEST_CASE("skipping tailors needs no more scratch than the gated layer", "[gated_svd]") {
  dashi::test::for_each_scalar<float, double>([&]<class T>() { check_blocks_scratch<T>(); });
}

TEST_CASE("labels that are no class and blocks beyond the components are refused", "[gated_svd]") {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  Problem const p = make_problem<float>({1, 2, 3, 4, 11, 0}, Gates::none);
  OnSpace<float, Exec> const s(p, 0);
  SpaceMatrix<float, Exec> const y(2, 3);
  ctx.reserve_scratch(kernels::gated_apply_scratch<float, Exec>(11, 2));
  auto const refused = [&](kernels::GateBlocks const& b, std::int64_t label) {
    std::vector<std::int64_t> const labels{label};
    CHECK_THROWS_AS(kernels::plan_gates(b, labels, 11), PreconditionError);
    CHECK_THROWS_AS(
        kernels::gated_apply_blocks<float>(ctx, s.factors(), b, labels, 2, s.x.view(), y.view()),
        PreconditionError);
  };
  refused(blocks, -1);
  refused(blocks, 4);
  refused({2, 3, {{-1}}}, 0);
  refused({2, 3, {{0, 3}}}, 0);
  refused({2, 3, {{1, 1}}}, 0);
  refused({2, 0, {{0}}}, 0);
  refused({2, -3, {{0}}}, 0);
  refused({-1, 3, {{0}}}, 0);
  refused({12, 3, {{}}}, 0);
}

TEST_CASE("few active tailors are grouped, many masked", "[gated_svd]") {
  std::vector<std::int64_t> const few{1, 2, 2};
  std::vector<std::int64_t> const many{0, 3, 0};
  CHECK(kernels::plan_gates(blocks, few, 11) == kernels::GatePath::grouped);
  CHECK(kernels::plan_gates(blocks, many, 11) == kernels::GatePath::masked);
}

}  // namespace gated_svd_test

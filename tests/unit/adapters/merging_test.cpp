// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/merging.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/several.hpp>
#include <dashi/backbones/activation.hpp>

#include <examples/04_custom_adapter/input_scale.hpp>

#include <catch2/catch_test_macros.hpp>

#include <linear_fixture.hpp>

namespace merging_test {

namespace {

using namespace dashi;
using test::LinearFixture;
using Adapters = Several<LowRank, Kronecker, ScaleBias>;
using Part = Adapters::Part;
using Exec = Kokkos::DefaultExecutionSpace;
template <class A, class P = precision::Float32>
using LayerOf = typename A::template Layer<P, Exec>;

static_assert(MergingLayer<LayerOf<Kronecker>, precision::Float32, Exec>);
static_assert(MergingLayer<LayerOf<Adapters>, precision::Float32, Exec>);
static_assert(!MergingLayer<LayerOf<LowRank>, precision::Float32, Exec>);

constexpr LinearShape shape{12, 10};
constexpr Index few = 9;
constexpr Index many = 200;

Kronecker krona(double alpha = 2) { return {.a_rows = 3, .a_cols = 2, .alpha = alpha}; }

template <class A>
void check_merged(A const& options, bool merged = true) {
  LinearFixture<A> map(shape, many, options);
  CHECK(map.merged() == merged);
  map.check_materialised();
  map.check_gradients(1e-7);
}

}  // namespace

TEST_CASE("a Kronecker product is merged where rows pay for a copy of the weight", "[merging]") {
  CHECK(LinearFixture<Kronecker>(shape, many, krona()).merged());
  CHECK_FALSE(LinearFixture<Kronecker>(shape, few, krona()).merged());
  CHECK_FALSE(LinearFixture<Kronecker>(shape, 0, krona()).merged());
  CHECK_FALSE(LinearFixture<Kronecker, precision::Bf16Mixed>(shape, many, krona()).merged());
  // 240 x 240 numbers are as many as inputs and outputs of 120 rows, whatever time is saved.
  Kronecker const one{.a_rows = 1, .a_cols = 1};
  CHECK(LinearFixture<Kronecker, precision::Float32>({240, 240}, 120, one).merged());
  CHECK_FALSE(LinearFixture<Kronecker, precision::Float32>({240, 240}, 119, one).merged());
}

TEST_CASE("gradients and weights of merged Kronecker products", "[merging]") {
  Kronecker options = krona(3);
  options.rank = 2;
  for (bool const a : {false, true}) {
    for (bool const b : {false, true}) {
      options.a_low_rank = a;
      options.b_low_rank = b;
      INFO("A low-rank " << a << ", B low-rank " << b);
      check_merged(options);
    }
  }
  check_merged(Kronecker{.a_rows = 2, .a_cols = 10});  // the other order of dA and dB
}

TEST_CASE("gradients and weights of merged adapters inside of others", "[merging]") {
  check_merged(Stack<Kronecker, LowRank>{krona(), {.rank = 2}});
  check_merged(Stack<Kronecker, InputScale>{krona(), {}});
  check_merged(Stack<Kronecker, Kronecker>{krona(), krona(1)});
  check_merged(Stack<InputScale, Kronecker>{{}, krona()}, false);
}

TEST_CASE("gradients and weights of several merged adapters", "[merging]") {
  check_merged(Adapters{krona()});
  check_merged(
      Adapters{{Part{krona(), "q", 0, 4}, Part{krona(1), "k", 4, 4}, Part{krona(3), "v", 8}}});
  check_merged(Adapters{{Part{krona(), "last", 8, 4}, Part{krona(), "first", 1, 4}}});
  check_merged(Adapters{{Part{krona(), "all"}, Part{krona(1), "over", 3, 6}}});
  check_merged(Adapters{{Part{LowRank{.rank = 0}}, Part{krona(), "second"}}});
}

TEST_CASE("a merged map in single precision", "[merging]") {
  LinearFixture<Adapters, precision::Float32> map(shape, many, krona());
  CHECK(map.merged());
  map.check_materialised(1e-5);
}

TEST_CASE("adapters that are not all merged are not", "[merging]") {
  check_merged(Adapters{}, false);
  check_merged(Adapters{{Part{krona()}, Part{LowRank{.rank = 2}, "second"}}}, false);
  check_merged(Adapters{{Part{krona()}, Part{ScaleBias{}, "second"}}}, false);
  check_merged(Adapters{{Part{krona(), "few", 3, 4}}}, false);
  check_merged(Adapters{{Part{krona(), "few", 3, 4}, Part{krona(), "again", 3, 4}}}, false);
}

TEST_CASE("merged and beside the weight the map is the same", "[merging]") {
  LinearFixture<Adapters> merged(shape, many, krona());
  LinearFixture<Adapters> beside(shape, few, krona());
  auto const a = merged.forward();
  auto const b = beside.forward();
  double largest = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    largest = std::fmax(largest, std::fabs(a[i] - b[i]));
  }
  CHECK(largest < 1e-13);
  CHECK(largest > 0);  // by other roundings
}

TEST_CASE("a merged map takes its activation into the product", "[merging]") {
  LinearFixture<Kronecker> map(shape, many, krona());
  auto const expected = LinearFixture<Kronecker>(shape, many, krona()).forward();
  using Rows = Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace>;
  Rows const pre("pre", many, 12), y("y", many, 12), again("again", many, 12);
  map.map.forward_activated<GeluAfterLinear>(map.ctx, map.x, map.batch, pre, y, map.saved());
  map.map.forward_activated<GeluAfterLinear>(map.ctx, map.x, map.batch, {}, again, map.saved());
  map.ctx.fence();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(std::fabs(pre.data()[i] - expected[i]) < 1e-13);
    CHECK(std::fabs(y.data()[i] - kernels::GeluTanh::value(expected[i])) < 1e-13);
    CHECK(std::fabs(again.data()[i] - y.data()[i]) < 1e-13);
  }
}

TEST_CASE("a merged map follows its parameters", "[merging]") {
  LinearFixture<Kronecker> map(shape, many, krona());
  auto const before = map.forward();
  std::vector<double> const zeros(static_cast<std::size_t>(map.parameter("lokr_w2").size()));
  map.parameter("lokr_w2").write(std::span<double const>(zeros));
  CHECK(map.forward() != before);
  CHECK(map.forward() == LinearFixture<Dense>(shape, many).forward());
}

}  // namespace merging_test

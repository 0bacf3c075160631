// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/one_of.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/shared_svd.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <linear_fixture.hpp>

namespace adapters_test {

namespace {

using namespace dashi;
using Catch::Matchers::ContainsSubstring;
using test::LinearFixture;
using Additive = OneOf<LowRank, Kronecker, ScaleBias>;
using Replacing = OneOf<GatedSvd, SharedSvd>;

static_assert(require_adapter<Kronecker, precision::Bf16Mixed>());
static_assert(require_adapter<ScaleBias, precision::Bf16Mixed>());
static_assert(require_adapter<GatedSvd, precision::Bf16Mixed>());
static_assert(require_adapter<SharedSvd, precision::Bf16Mixed>());
static_assert(require_adapter<Additive>());
static_assert(require_adapter<Replacing>());
static_assert(Additive::Layer<precision::Float32, Kokkos::DefaultExecutionSpace>::traits
                  .replaces_weight == false);
static_assert(
    Replacing::Layer<precision::Float32, Kokkos::DefaultExecutionSpace>::traits.conditional);

constexpr LinearShape shape{12, 10};
constexpr Index rows = 36;

/// Gradients, materialised weight and count on a batch of nine samples, classes and none.
template <class A>
void check_adapter(A const& options, Index base_parameters) {
  LinearFixture<A> map(shape, rows, options);
  Kokkos::View<std::int64_t*, Kokkos::HostSpace> const labels("labels", 9);
  for (std::size_t i = 0; i < 9; ++i) {
    labels(i) = static_cast<std::int64_t>(i * 2 % 4);
  }
  map.batch.rows_per_sample = 4;
  map.batch.labels = labels;
  map.batch.classes = 3;
  map.check_materialised();
  map.check_gradients();
  Index counted = 0;
  for (auto const& entry : map.list) {
    bool const own = entry.kind != ParameterKind::buffer && entry.kind != ParameterKind::shared;
    counted += own ? entry.parameter.size() : 0;
  }
  CHECK(options.count(shape) == counted - base_parameters);
}

constexpr Index with_base = 12 * 10 + 12;
constexpr Index bias_only = 12;

GatedSvd gated() {
  return {.learngene = 2, .tailors = 6, .groups = 3, .classes = 3, .group_of_class = {2, 0, 2}};
}

}  // namespace

TEST_CASE("Kronecker with both factors full or low-rank on either side", "[kronecker]") {
  Kronecker options{.a_rows = 3, .a_cols = 2, .rank = 2, .alpha = 3};
  for (bool const a : {false, true}) {
    for (bool const b : {false, true}) {
      options.a_low_rank = a;
      options.b_low_rank = b;
      INFO("A low-rank " << a << ", B low-rank " << b);
      check_adapter(options, with_base);
    }
  }
  check_adapter(Kronecker{.a_rows = 2, .a_cols = 10}, with_base);
  check_adapter(Kronecker{.a_rows = 12, .a_cols = 1}, with_base);
}

TEST_CASE("Kronecker takes the largest divisors that its rule allows", "[kronecker]") {
  using kernels::KroneckerShape;
  Kronecker const best;
  CHECK(best.shape({1152, 1152}) == KroneckerShape{4, 64, 288, 18});
  CHECK(best.shape({320, 768}) == KroneckerShape{4, 64, 80, 12});
  CHECK(best.shape({7, 13}) == KroneckerShape{1, 13, 7, 1});
  CHECK(Kronecker::lokr(4).shape({360, 128}) == KroneckerShape{4, 4, 90, 32});
  CHECK(Kronecker::lokr(16).shape({128, 250}) == KroneckerShape{8, 10, 16, 25});
  CHECK(Kronecker::lokr(-1).shape({127, 1024}) == KroneckerShape{1, 32, 127, 32});
  CHECK(Kronecker::lokr(-1).shape({360, 512}) == KroneckerShape{18, 16, 20, 32});
}

TEST_CASE("Kronecker has the parameter counts of DiffuseKronA", "[kronecker]") {
  // SDXL: 10 attention blocks of width 640, 60 of 1280, in each six square matrices and two of
  // 2048 columns. SD 1.4: 5, 5 and 6 blocks of 320, 640, 1280 with 768 columns; 48 of 768 in the
  // text encoder. Table 6 of arXiv 2402.17412; the counts hold for each of A's shapes.
  auto const unet = [](auto const& adapter, std::vector<std::pair<Index, Index>> const& blocks,
                       Index context) {
    Index total = 0;
    for (auto const& [width, number] : blocks) {
      total += number * (6 * adapter.count({width, width}) + 2 * adapter.count({width, context}));
    }
    return total;
  };
  std::vector<std::pair<Index, Index>> const sdxl{{640, 10}, {1280, 60}};
  std::vector<std::pair<Index, Index>> const sd14{{320, 5}, {640, 5}, {1280, 6}};
  auto const krona = [](Index a1, Index a2) { return Kronecker{.a_rows = a1, .a_cols = a2}; };
  std::pair<Kronecker, Index> const expected[] = {
      {krona(2, 2), 238799040},  {krona(2, 4), 119402880}, {krona(4, 4), 59708160},
      {krona(4, 8), 29867520},   {krona(8, 8), 14960640},  {krona(2, 64), 7534080},
      {krona(4, 64), 3874560},   {krona(8, 64), 2152320},  {krona(16, 64), 1506240},
      {krona(32, 64), 1613280},  {krona(64, 64), 2526960}, {krona(128, 64), 4704120},
      {krona(128, 128), 9233340}};
  for (auto const& [adapter, count] : expected) {
    INFO(adapter.a_rows << " x " << adapter.a_cols);
    CHECK(unet(adapter, sdxl, 2048) == count);
  }
  CHECK(unet(Kronecker::lokr(8), sdxl, 2048) == 14960640);
  CHECK(unet(LowRank{.rank = 4}, sdxl, 2048) == 5806080);
  auto const with_text = [&](auto const& adapter) {
    return unet(adapter, sd14, 768) + 48 * adapter.count({768, 768});
  };
  CHECK(with_text(krona(4, 64)) == 520928);
  CHECK(with_text(krona(8, 64)) == 328048);
  CHECK(with_text(LowRank{.rank = 4}) == 1092096);
}

TEST_CASE("Kronecker scales by alpha over the rank of low-rank factors", "[kronecker]") {
  CHECK(Kronecker{}.scale() == 1);
  CHECK(Kronecker{.rank = 4, .alpha = 2}.scale() == 2);
  CHECK(Kronecker{.rank = 4, .a_low_rank = true, .alpha = 2}.scale() == 0.5);
  CHECK_THROWS_WITH(LinearFixture<Kronecker>(shape, 1, Kronecker{.b_low_rank = true}),
                    ContainsSubstring("the rank of Kronecker's low-rank factors is 0"));
  CHECK_THROWS_WITH(LinearFixture<Kronecker>(shape, 1, Kronecker{.a_rows = 0}),
                    ContainsSubstring("the first factor of Kronecker is 0 x 64"));
}

TEST_CASE("ScaleBias with and without the scale", "[scale_bias]") {
  check_adapter(ScaleBias{}, with_base);
  check_adapter(ScaleBias{.scale = false}, with_base);
}

TEST_CASE("ScaleBias trains scale and bias alone", "[scale_bias]") {
  LinearFixture<ScaleBias> map(shape, 2);
  train_default(map.list);
  CHECK_FALSE(map.parameter("weight").trained());
  CHECK(map.parameter("bias").trained());
  CHECK(map.parameter("gamma").trained());
  CHECK(map.list.find("gamma")->initial.a == 1);
  train_where(map.list, in_scale_bias_training);
  CHECK(map.list.count(true) == 24);
}

TEST_CASE("ScaleBias has the parameter counts of DiffFit", "[scale_bias]") {
  // DiT-XL/2: biases, a class table of 102 rows, the affine norms that the paper adds, and six
  // vectors in each of 14 blocks: scales of qkv (3), of the projection and of both branches.
  Index const width = 1152;
  Index const biases = 3 * width + 28 * 15 * width + 32 + 2 * width;
  CHECK(biases == 489632);
  CHECK(biases + 102 * width == 607136);
  Index const norms = 57 * 2 * width;
  Index const scales =
      14 * (ScaleBias{}.count({3 * width, width}) + 3 * ScaleBias{}.count({width, width}));
  CHECK(biases + 102 * width + norms + scales == 835232);
}

TEST_CASE("GatedSvd with gates of classes, and with none", "[gated_svd]") {
  check_adapter(gated(), bias_only);
  auto options = gated();
  options.group_of_class.clear();
  check_adapter(options, bias_only);
  options.learngene = 0;
  check_adapter(options, bias_only);
  options.learngene = 3;
  options.tailors = 0;
  check_adapter(options, bias_only);
  check_adapter(GatedSvd{.groups = 1, .classes = 3}, bias_only);
}

TEST_CASE("tailors of other classes take no part", "[gated_svd]") {
  LinearFixture<GatedSvd> map(shape, 4, gated());
  Kokkos::View<std::int64_t*, Kokkos::HostSpace> const labels("labels", 2);
  map.batch.rows_per_sample = 2;
  map.batch.labels = labels;
  map.batch.classes = 3;
  labels(0) = 1;  // group 0
  labels(1) = 3;  // no class
  (void)map.forward();
  map.backward();
  auto const gradient = map.parameter("tailors.u").gradient();
  for (std::size_t j = 0; j < 6; ++j) {
    bool any = false;
    for (std::size_t i = 0; i < 12; ++i) {
      any = any || gradient(j, i) != 0;
    }
    CHECK(any == (j < 2));
  }
  // The gates of a batch stand in for those of its classes.
  auto const by_class = map.forward();
  Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace> const gates("gates", 2, 6);
  gates(0, 0) = gates(0, 1) = 1;
  map.batch.labels = {};
  map.batch.gates = gates;
  CHECK(map.forward() == by_class);
  gates(1, 5) = 0.25;
  CHECK(map.forward() != by_class);
}

TEST_CASE("the gates of classes are a table that is saved and never trained", "[gated_svd]") {
  LinearFixture<GatedSvd> const map(shape, 1, gated());
  std::vector<double> table(24);
  map.parameter("gates").read(std::span<double>(table));
  CHECK(table == std::vector<double>{0, 0, 0, 0, 1, 1,  //
                                     1, 1, 0, 0, 0, 0,  //
                                     0, 0, 0, 0, 1, 1,  //
                                     0, 0, 0, 0, 0, 0});
  CHECK(map.list.find("gates")->kind == ParameterKind::buffer);
  CHECK_FALSE(map.parameter("gates").trained());
}

TEST_CASE("GatedSvd's counts follow from the ranks", "[gated_svd]") {
  // DiT-L/2 with r = D: per rank and token 16 D numbers in fused qkv, o, in, out of a block, 18 D
  // with q, k and v apart; arXiv 2408.07337 on 256 tokens: 0.100663 and 0.113246 GMAC.
  Index const d = 1024;
  GatedSvd const one{.learngene = 1, .tailors = 0, .groups = 1};
  auto const vectors = [&](LinearShape s) { return one.count(s) - 1; };
  Index const fused = 24 * (vectors({3 * d, d}) + vectors({d, d}) + 2 * vectors({4 * d, d}));
  Index const apart = 24 * (4 * vectors({d, d}) + 2 * vectors({4 * d, d}));
  CHECK(fused == 393216);
  CHECK(apart == 442368);
  CHECK(fused * 256 == 100663296);
  CHECK(apart * 256 == 113246208);
  // By default half of the smaller side each: as many components as a dense weight has.
  CHECK(GatedSvd{}.learngene_of({4 * d, d}) == 512);
  CHECK(GatedSvd{}.tailors_of({4 * d, d}) == 512);
}

TEST_CASE("GatedSvd refuses what does not fit", "[gated_svd]") {
  auto const refused = [](auto const& change) {
    auto options = gated();
    change(options);
    return LinearFixture<GatedSvd>(shape, 1, options).list.size();
  };
  CHECK_THROWS_WITH(refused([](GatedSvd& o) { o.tailors = 7; }),
                    ContainsSubstring("7 tailors cannot be 3 equal groups"));
  CHECK_THROWS_WITH(refused([](GatedSvd& o) { o.learngene = o.tailors = 0; }),
                    ContainsSubstring("GatedSvd needs at least one component"));
  CHECK_THROWS_WITH(refused([](GatedSvd& o) { o.groups = 0; }),
                    ContainsSubstring("GatedSvd has 0 groups"));
  CHECK_THROWS_WITH(refused([](GatedSvd& o) {
                      o.group_of_class = {0, 3, 0};
                    }),
                    ContainsSubstring("a class is in tailor group 3, expected 0 to 2"));
  CHECK_THROWS_WITH(refused([](GatedSvd& o) { o.group_of_class = {0}; }),
                    ContainsSubstring("the table of groups has 1 classes, expected 3"));
  LinearFixture<GatedSvd> map(shape, 1, gated());
  CHECK_THROWS_WITH(map.forward(), ContainsSubstring("GatedSvd has gates for 3 classes"));
}

TEST_CASE("a weight for some classes has the tailors of them all", "[gated_svd]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using P = precision::Float64;
  Context<Exec> ctx;
  GatedSvd::Layer<P, Exec>::Shared shared;
  GatedSvd::Layer<P, Exec> const layer(ctx, shape, gated(), shared);
  ParameterList<P, Exec> list;
  layer.parameters(list);
  test::fill_with_noise(list);
  Arena measured;
  (void)layer.scratch(measured, 1);
  ctx.reserve_scratch(measured.peak());
  auto const weight = [&](auto const& fill) {
    Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace> const w("w", 12, 10);
    fill(w);
    ctx.fence();
    return std::vector<double>(w.data(), w.data() + w.size());
  };
  auto const of_class = [&](std::optional<std::int64_t> label) {
    return weight([&](auto const& w) { layer.materialise(ctx, {label}, w, {}); });
  };
  auto const of_classes = [&](std::vector<Index> const& classes) {
    return weight(
        [&](auto const& w) { layer.materialise_classes(ctx, std::span<Index const>(classes), w); });
  };
  CHECK(of_classes({1}) == of_class(1));
  CHECK(of_class(0) == of_class(2));
  auto const both = of_classes({0, 1, 2});
  auto const none = of_class(std::nullopt);
  auto const zero = of_class(0);
  auto const one = of_class(1);
  for (std::size_t i = 0; i < both.size(); ++i) {
    REQUIRE(std::fabs(both[i] - (zero[i] + one[i] - none[i])) < 1e-13);
  }
  CHECK_THROWS_WITH(of_class(3), ContainsSubstring("class 3 of 3"));
}

TEST_CASE("SharedSvd of full and lower rank", "[shared_svd]") {
  check_adapter(SharedSvd{}, bias_only);
  check_adapter(SharedSvd{.rank = 3}, bias_only);
}

TEST_CASE("layers of one site share the vectors of SharedSvd", "[shared_svd]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using P = precision::Float64;
  using Map = Linear<P, Exec, SharedSvd>;
  Context<Exec> ctx;
  Map::Shared shared;
  Map const first(ctx, "first", shape, {}, shared);
  Map const second(ctx, "second", shape, {}, shared);
  ParameterList<P, Exec> list;
  first.parameters(list);
  second.parameters(list);
  shared.parameters(list);
  Index const bias = 12;
  CHECK(list.count() == 2 * (bias + SharedSvd{}.count(shape)) + SharedSvd{}.shared_count(shape));
  CHECK_THROWS_WITH(Map(ctx, "third", shape, SharedSvd{.rank = 2}, shared),
                    ContainsSubstring("layers of one site must have the same rank and extents"));
  CHECK_THROWS_WITH(LinearFixture<SharedSvd>(shape, 1, SharedSvd{.rank = 0}),
                    ContainsSubstring("the rank of SharedSvd is 0"));
  // FINE with r = D: U and V of qkv, o, in, out and adaLN are 23 D^2 numbers, sigma 5 D a block.
  Index const d = 768;
  LinearShape const sites[] = {{3 * d, d}, {d, d}, {4 * d, d}, {d, 4 * d}, {6 * d, d}};
  Index vectors = 0;
  Index sigma = 0;
  for (LinearShape const site : sites) {
    vectors += SharedSvd{}.shared_count(site);
    sigma += SharedSvd{}.count(site);
  }
  CHECK(vectors == 23 * d * d);
  CHECK(12 * sigma == 46080);
}

TEST_CASE("a replaced weight begins as large as the weight would", "[gated_svd][shared_svd]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using P = precision::Float64;
  auto const deviation = []<class A>(A const& options, Initial initial) {
    LinearFixture<A> map({90, 70}, 1, options);
    ParameterList<P, Exec> list;
    map.map.parameters(list, initial);
    typename Linear<P, Exec, A>::Shared const& shared = map.shared();
    shared.parameters(list);
    initialise(map.ctx, list, 3);
    Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace> const w("w", 90, 70);
    Kokkos::View<double*, Kokkos::HostSpace> const b("b", 90);
    map.map.materialise(map.ctx, {0}, w, b);
    map.ctx.fence();
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      sum += w.data()[i] * w.data()[i];
    }
    return std::sqrt(sum / static_cast<double>(w.size()));
  };
  auto const initial = Initial::uniform(0.2);
  CHECK(std::fabs(deviation(GatedSvd{.classes = 3}, initial) / initial.deviation() - 1) < 0.1);
  CHECK(std::fabs(deviation(SharedSvd{}, initial) / initial.deviation() - 1) < 0.25);
  CHECK(deviation(GatedSvd{.classes = 3}, Initial::zero()) == 0);
  CHECK(deviation(SharedSvd{}, Initial::zero()) == 0);
}

TEST_CASE("adapters in bf16 stay within its rounding of double", "[bf16]") {
  auto const check = []<class A>(A const& options) {
    Kokkos::View<std::int64_t*, Kokkos::HostSpace> const labels("labels", 9);
    labels(3) = 2;
    LinearFixture<A, precision::Bf16Mixed> narrow(shape, rows, options);
    LinearFixture<A> wide(shape, rows, options);
    narrow.batch = {4, labels, 3, {}};
    wide.batch = {4, labels, 3, {}};
    for (std::size_t i = 0; i < wide.x.size(); ++i) {
      wide.x.data()[i] = convert<double>(narrow.x.data()[i]);
    }
    for (std::size_t k = 0; k < wide.list.size(); ++k) {
      auto const value = narrow.list[k].parameter.vector();
      std::vector<double> values;
      for (std::size_t i = 0; i < value.size(); ++i) {
        values.push_back(convert<double>(value(i)));
      }
      wide.list[k].parameter.write(std::span<double const>(values));
    }
    auto const close = [](auto const& a, auto const& b, std::size_t size) {
      double difference = 0;
      double largest = 0;
      for (std::size_t i = 0; i < size; ++i) {
        auto const expected = static_cast<double>(b[i]);
        difference = std::fmax(difference, std::fabs(convert<double>(a[i]) - expected));
        largest = std::fmax(largest, std::fabs(expected));
      }
      // At most eight roundings to 2^-9 lie on the way through a stack of two products.
      CHECK(difference < 8.0 / 512 * largest);
    };
    auto const a = narrow.forward();
    auto const b = wide.forward();
    close(a, b, b.size());
    narrow.backward();
    wide.backward();
    close(narrow.dx.data(), wide.dx.data(), wide.dx.size());
    for (std::size_t k = 0; k < wide.list.size(); ++k) {
      INFO(wide.list[k].name);
      if (wide.list[k].kind == ParameterKind::buffer) {
        continue;
      }
      close(narrow.list[k].parameter.gradient().data(), wide.list[k].parameter.gradient().data(),
            wide.list[k].parameter.gradient().size());
    }
  };
  check(LowRank{.rank = 3});
  check(Kronecker{.a_rows = 3, .a_cols = 2, .rank = 2, .a_low_rank = true, .b_low_rank = true});
  check(ScaleBias{});
  check(gated());
  check(SharedSvd{});
}

TEST_CASE("OneOf is the adapter that is chosen", "[one_of]") {
  check_adapter(Additive(LowRank{.rank = 3}), with_base);
  check_adapter(Additive(Kronecker{.a_rows = 3, .a_cols = 5}), with_base);
  check_adapter(Additive(ScaleBias{}), with_base);
  check_adapter(Replacing(gated()), bias_only);
  check_adapter(Replacing(SharedSvd{}), bias_only);
  Kronecker const options{.a_rows = 3, .a_cols = 5};
  LinearFixture<Additive> chosen(shape, 5, options);
  LinearFixture<Kronecker> plain(shape, 5, options);
  CHECK(chosen.forward() == plain.forward());
  CHECK(chosen.scratch_bytes == plain.scratch_bytes);
  CHECK(chosen.list.find("lokr_w2") != nullptr);
  CHECK(LinearFixture<Additive>(shape, 1, LowRank{.rank = 0}).list.size() == 2);
}

TEST_CASE("stacks of all adapters", "[stack]") {
  GatedSvd const svd = gated();
  LowRank const low{.rank = 2};
  Kronecker const krona{.a_rows = 3, .a_cols = 5};
  auto const sum = [](auto const&... options) { return (options.count(shape) + ...); };
  auto const check = [&]<class... A>(Index base, A const&... options) {
    LinearFixture<Stack<A...>> map(shape, rows, {options...});
    Kokkos::View<std::int64_t*, Kokkos::HostSpace> const labels("labels", 9);
    labels(1) = labels(4) = 2;
    labels(2) = 3;
    map.batch.rows_per_sample = 4;
    map.batch.labels = labels;
    map.batch.classes = 3;
    map.check_materialised();
    map.check_gradients();
    Index buffers = 0;
    for (auto const& entry : map.list) {
      bool const other = entry.kind == ParameterKind::buffer || entry.kind == ParameterKind::shared;
      buffers += other ? entry.parameter.size() : 0;
    }
    CHECK(map.list.count() == base + buffers + sum(options...));
  };
  check(bias_only, svd, low, ScaleBias{});
  check(bias_only, SharedSvd{}, ScaleBias{}, krona);
  check(with_base, ScaleBias{}, krona, Additive(low), ScaleBias{});
}

}  // namespace adapters_test

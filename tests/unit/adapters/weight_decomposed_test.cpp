// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/several.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <vector>

#include <linear_fixture.hpp>

namespace weight_decomposed_test {

namespace {

using namespace dashi;
using Catch::Matchers::ContainsSubstring;
using test::LinearFixture;
using Additive = Several<LowRank, Kronecker, ScaleBias>;

constexpr LinearShape shape{13, 7};
constexpr Index rows = 9;
constexpr LowRank dora{.rank = 3, .alpha = 6, .weight_decomposed = true};
constexpr LowRank columns{.rank = 3, .alpha = 6, .weight_decomposed = true, .per_input = true};

/// Trains what DoRA does: not the bias of its map.
template <class Map>
void freeze_base(Map& map) {
  for (auto const& entry : map.list) {
    entry.parameter.train(entry.kind == ParameterKind::adapter);
  }
}

/// W + scale B A, [out, in].
template <class Map>
std::vector<double> changed_weight(Map& map) {
  auto const w = map.parameter("weight").matrix();
  auto const a = map.parameter("lora_A.weight").matrix();
  auto const b = map.parameter("lora_B.weight").matrix();
  std::vector<double> out;
  for (Index i = 0; i < shape.out; ++i) {
    for (Index j = 0; j < shape.in; ++j) {
      double sum = w(i, j);
      for (Index k = 0; k < dora.rank; ++k) {
        sum += dora.scale() * b(i, k) * a(k, j);
      }
      out.push_back(sum);
    }
  }
  return out;
}

/// The scale of every output, or of every input, as the paper defines it.
template <class Map>
std::vector<double> scales(Map& map, bool per_input = false) {
  auto const w = map.parameter("weight").matrix();
  auto const d = map.parameter("lora_magnitude_change").vector();
  auto const changed = changed_weight(map);
  auto const norm = [&](double const* weight, Index k) {
    double sum = 0;
    for (Index i = 0; i < shape.out; ++i) {
      for (Index j = 0; j < shape.in; ++j) {
        double const x = weight[i * shape.in + j];
        sum += (per_input ? j : i) == k ? x * x : 0;
      }
    }
    return std::sqrt(sum);
  };
  std::vector<double> out;
  for (Index k = 0; k < (per_input ? shape.in : shape.out); ++k) {
    out.push_back((norm(w.data(), k) + d(k)) / norm(changed.data(), k));
  }
  return out;
}

/// Those of magnitudes and inputs against differences of the loss itself.
template <class Map>
void check_magnitude_and_input_gradients(Map& map) {
  auto const difference = [&](double* at) {
    double const before = *at;
    *at = before + 1e-5;
    double const up = map.loss();
    *at = before - 1e-5;
    double const down = map.loss();
    *at = before;
    return (up - down) / 2e-5;
  };
  auto const d = map.parameter("lora_magnitude_change");
  for (Index i = 0; i < d.size(); ++i) {
    double const expected = difference(&d.vector()(i));
    CHECK(std::fabs(expected) > 1e-4);
    CHECK(std::fabs(expected - d.gradient_vector()(i)) < 1e-8);
  }
  for (Index t = 0; t < rows; ++t) {
    for (Index j = 0; j < shape.in; ++j) {
      CHECK(std::fabs(difference(&map.x(t, j)) - map.dx(t, j)) < 1e-8);
    }
  }
}

/// Gradients of the factors where the norms are constants: of B A, the loss' weights times x, each
/// row or column of it scaled.
template <class Map>
void check_factor_gradients(Map& map, bool per_input) {
  auto const factor = scales(map, per_input);
  auto const loss_weight = test::noise(static_cast<std::size_t>(rows * shape.out), 2);
  auto const a = map.parameter("lora_A.weight").matrix();
  auto const b = map.parameter("lora_B.weight").matrix();
  auto const change = [&](Index i, Index j) {
    double sum = 0;
    for (Index t = 0; t < rows; ++t) {
      sum += loss_weight[static_cast<std::size_t>(t * shape.out + i)] * map.x(t, j);
    }
    return dora.scale() * factor[static_cast<std::size_t>(per_input ? j : i)] * sum;
  };
  auto const db = map.parameter("lora_B.weight").gradient();
  auto const da = map.parameter("lora_A.weight").gradient();
  for (Index k = 0; k < dora.rank; ++k) {
    for (Index i = 0; i < shape.out; ++i) {
      double sum = 0;
      for (Index j = 0; j < shape.in; ++j) {
        sum += change(i, j) * a(k, j);
      }
      CHECK(std::fabs(db(i, k) - sum) < 1e-11);
    }
    for (Index j = 0; j < shape.in; ++j) {
      double sum = 0;
      for (Index i = 0; i < shape.out; ++i) {
        sum += change(i, j) * b(i, k);
      }
      CHECK(std::fabs(da(k, j) - sum) < 1e-11);
    }
  }
}

}  // namespace

TEST_CASE("DoRA scales the rows of the changed weight to its magnitudes", "[low_rank]") {
  LinearFixture<LowRank> map(shape, rows, dora);
  map.check_materialised();
  LinearFixture<LowRank> plain(shape, rows, LowRank{.rank = 3, .alpha = 6});
  for (auto const& entry : plain.list) {
    map.parameter(entry.name)
        .write(std::span<double const>(entry.parameter.vector().data(),
                                       static_cast<std::size_t>(entry.parameter.size())));
  }
  auto const factor = scales(map);
  auto const bias = map.parameter("bias").vector();
  auto const with = map.forward();
  auto const without = plain.forward();
  for (std::size_t i = 0; i < with.size(); ++i) {
    auto const at = static_cast<Index>(i) % shape.out;
    double const f = factor[static_cast<std::size_t>(at)];
    CHECK(std::fabs(with[i] - (f * (without[i] - bias(at)) + bias(at))) < 1e-12);
  }
}

TEST_CASE("DoRA over columns scales those of the changed weight", "[low_rank]") {
  LinearFixture<LowRank> map(shape, rows, columns);
  map.check_materialised();
  auto const factor = scales(map, true);
  auto const changed = changed_weight(map);
  auto const bias = map.parameter("bias").vector();
  auto const y = map.forward();
  for (Index t = 0; t < rows; ++t) {
    for (Index i = 0; i < shape.out; ++i) {
      double sum = bias(i);
      for (Index j = 0; j < shape.in; ++j) {
        auto const at = static_cast<std::size_t>(j);
        sum += changed[static_cast<std::size_t>(i * shape.in) + at] * factor[at] * map.x(t, j);
      }
      CHECK(std::fabs(y[static_cast<std::size_t>(t * shape.out + i)] - sum) < 1e-12);
    }
  }
  CHECK(columns.count(shape) == 3 * (13 + 7) + 7);
}

TEST_CASE("DoRA begins as its base", "[low_rank]") {
  LowRank const options = GENERATE(dora, columns);
  LinearFixture<LowRank> map(shape, rows, options);
  LinearFixture<Dense> base(shape, rows);
  for (auto const& entry : map.list) {
    if (entry.kind == ParameterKind::adapter && entry.name != "lora_A.weight") {
      Kokkos::deep_copy(entry.parameter.vector(), 0);
    }
  }
  for (auto const& entry : base.list) {
    entry.parameter.write(
        std::span<double const>(map.parameter(entry.name).vector().data(),
                                static_cast<std::size_t>(entry.parameter.size())));
  }
  auto const with = map.forward();
  auto const without = base.forward();
  for (std::size_t i = 0; i < with.size(); ++i) {
    CHECK(std::fabs(with[i] - without[i]) < (options.per_input ? 1e-300 : 1e-14));
  }
}

TEST_CASE("DoRA's gradients take the norms as constants", "[low_rank]") {
  LowRank const options = GENERATE(dora, columns);
  LinearFixture<LowRank> map(shape, rows, options);
  freeze_base(map);
  (void)map.forward();
  map.backward();
  check_factor_gradients(map, options.per_input);
  check_magnitude_and_input_gradients(map);
}

TEST_CASE("DoRA trains its factors where neither inputs nor magnitudes want a gradient",
          "[low_rank]") {
  LowRank const options = GENERATE(dora, columns);
  LinearFixture<LowRank> map(shape, rows, options);
  freeze_base(map);
  map.parameter("lora_magnitude_change").train(false);
  (void)map.forward();
  map.backward(false);
  check_factor_gradients(map, options.per_input);
}

TEST_CASE("DoRA adds to the gradient of inputs that others have begun", "[low_rank]") {
  LowRank const options = GENERATE(dora, columns);
  LinearFixture<LowRank> map(shape, rows, options);
  freeze_base(map);
  (void)map.forward();
  map.backward();
  std::vector<double> const once(map.dx.data(), map.dx.data() + map.dx.size());
  (void)map.forward();
  map.backward(true, true);
  for (std::size_t i = 0; i < once.size(); ++i) {
    CHECK(std::fabs(map.dx.data()[i] - 2 * once[i]) < 1e-12);
  }
}

TEST_CASE("DoRA on some outputs of a map leaves the others", "[low_rank][several]") {
  Additive const options{std::vector<Additive::Part>{{dora, "second", 4, 5}}};
  LinearFixture<Additive> map(shape, rows, options);
  map.check_materialised();
  CHECK(options.count(shape) == 3 * (5 + 7) + 5);
  LinearFixture<Additive> both(
      shape, rows, std::vector<Additive::Part>{{dora, "first", 0, 4}, {columns, "second", 4, 5}});
  both.check_materialised();
}

TEST_CASE("DoRA asks for the base's weight and a frozen bias", "[low_rank]") {
  LinearFixture<LowRank> map(shape, rows, dora);  // which trains everything
  (void)map.forward();
  CHECK_THROWS_WITH(map.backward(), ContainsSubstring("cannot train its weight and its bias"));
  CHECK_THROWS_WITH((LinearFixture<Stack<LowRank, LowRank>>(shape, rows, {LowRank{}, dora})),
                    ContainsSubstring("must be the first adapter of its map"));
  CHECK_THROWS_WITH(
      LinearFixture<Additive>(shape, rows, std::vector<Additive::Part>{{LowRank{}}, {dora}}),
      ContainsSubstring("must be the first adapter of its outputs"));
  CHECK_NOTHROW(LinearFixture<Additive>(
      shape, rows, std::vector<Additive::Part>{{LowRank{}, "one", 0, 5}, {dora, "two", 5, 8}}));
}

TEST_CASE("DoRA in bf16 stays within its rounding of double", "[low_rank][bf16]") {
  LowRank const options = GENERATE(dora, columns);
  LinearFixture<LowRank> exact(shape, rows, options);
  LinearFixture<LowRank, precision::Bf16Mixed> rounded(shape, rows, options);
  for (auto const& entry : exact.list) {  // numbers that both have
    std::vector<double> values(static_cast<std::size_t>(entry.parameter.size()));
    rounded.parameter(entry.name).read(std::span<double>(values));
    for (double& value : values) {
      value = convert<double>(convert<BFloat16>(value));
    }
    entry.parameter.write(std::span<double const>(values));
    rounded.parameter(entry.name).write(std::span<double const>(values));
  }
  for (std::size_t i = 0; i < exact.x.size(); ++i) {
    exact.x.data()[i] = convert<double>(rounded.x.data()[i]);
  }
  auto const a = exact.forward();
  auto const b = rounded.forward();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::fmax(largest, std::fabs(a[i] - b[i]));
  }
  CHECK(largest > 0);
  CHECK(largest < 0.1);
}

}  // namespace weight_decomposed_test

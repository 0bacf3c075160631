// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/linear.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/random_purpose.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace dashi::test {

/// Numbers of (-1, 1).
inline std::vector<double> noise(std::size_t size, std::uint64_t seed) {
  Philox const random(seed, {random_purpose::initialisation, 0, 0});
  std::vector<double> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    values[i] = 2 * random.uniform<double>(i) - 1;
  }
  return values;
}

/// Fills every parameter but the buffers with numbers of (-1, 1) times `amplitude`, about `centre`
/// for scales.
template <class List>
void fill_with_noise(List const& list, double amplitude = 1, double centre = 1) {
  std::uint64_t seed = 100;
  for (auto const& entry : list) {
    ++seed;
    if (entry.kind == ParameterKind::buffer) {
      continue;
    }
    auto values = noise(static_cast<std::size_t>(entry.parameter.size()), seed);
    for (double& value : values) {
      value = amplitude * value + (entry.kind == ParameterKind::scale ? centre : 0);
    }
    entry.parameter.write(std::span<double const>(values));
  }
}

/// One linear map with the adapter A, with exactly the memory that it measures, between buffers of
/// the host.
template <class A, class P = precision::Float64>
class LinearFixture {
public:
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using Real = typename P::storage;
  using Map = Linear<P, Exec, A>;

  /// The outputs are columns of rows that are `gap` longer.
  LinearFixture(LinearShape shape, Index rows, A const& options = {}, Index gap = 3)
      : map(ctx, "map", shape, options, shared_),
        x("x", size(rows), size(shape.in)),
        dx("dx", size(rows), size(shape.in)),
        y_("y", size(rows), size(shape.out + gap)),
        rows_(rows),
        gap_(gap) {
    map.parameters(list);
    shared_.parameters(list);
    for (auto const& entry : list) {
      entry.parameter.train(entry.kind != ParameterKind::buffer);
    }
    fill_with_noise(list, 0.5);
    auto const values = noise(x.size(), 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      x.data()[i] = convert<Real>(values[i]);
    }
    loss_weight_ = noise(static_cast<std::size_t>(rows * shape.out), 2);
    Arena measured;
    (void)map.saved(measured, rows);
    saved_memory_ = Memory("saved", measured.peak() + Arena::alignment);
    Arena arena(aligned(saved_memory_), measured.peak());
    saved_ = map.saved(arena, rows);
    CHECK(arena.used() == measured.peak());
    Arena scratch;
    map.scratch(scratch, rows);
    CHECK(scratch.used() == 0);
    ctx.reserve_scratch(scratch.peak());
    scratch_bytes = scratch.peak();
  }

  /// Whether the map is one product with a copy of its weight.
  bool merged() const { return saved_.merged.extent(0) > 0; }
  typename Map::Saved const& saved() const { return saved_; }

  StridedMatrix<P, Exec> y() const { return columns_of<P, Exec>(y_, gap_, map.shape().out); }
  std::vector<double> forward() {
    Kokkos::deep_copy(y_, other);
    map.forward(ctx, x, batch, y(), saved_);
    ctx.fence();
    std::vector<double> values;
    bool between_untouched = true;  // it belongs to others
    for (Index t = 0; t < rows_; ++t) {
      for (Index i = 0; i < map.shape().out; ++i) {
        values.push_back(convert<double>(y()(t, i)));
      }
      for (Index i = 0; i < gap_; ++i) {
        between_untouched = between_untouched && convert<double>(y_(t, i)) == 99;
      }
    }
    REQUIRE(between_untouched);
    return values;
  }
  double loss() {
    double sum = 0;
    auto const out = forward();
    for (std::size_t i = 0; i < out.size(); ++i) {
      sum += out[i] * loss_weight_[i];
    }
    return sum;
  }
  /// Gradients of the loss; dx is added to what it holds where `accumulate`.
  void backward(bool want_dx = true, bool accumulate = false) {
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        Kokkos::deep_copy(entry.parameter.gradient(), 0);
      }
    }
    for (Index t = 0, k = 0; t < rows_; ++t) {
      for (Index i = 0; i < map.shape().out; ++i, ++k) {
        y()(t, i) = convert<Real>(loss_weight_[static_cast<std::size_t>(k)]);
      }
    }
    GradientSink<P, Exec> sink;
    if (want_dx) {
      sink = GradientSink<P, Exec>(dx, accumulate);
    }
    map.backward(ctx, x, batch, y(), sink, saved_);
    ctx.fence();
  }

  /// dx and dparameters, about fifty elements of each, against central differences of the loss.
  void check_gradients(double tolerance = 1e-8) {
    (void)forward();
    Kokkos::deep_copy(dx, NAN);  // the first writer must not read it
    backward();
    for (std::size_t i = 0; i < x.size(); i += stride(x.size())) {
      REQUIRE(std::fabs(difference(x.data() + i) - dx.data()[i]) < tolerance);
    }
    for (auto const& entry : list) {
      if (!entry.parameter.trained()) {
        continue;
      }
      INFO(entry.name);
      double largest = 0;
      auto const elements = size(entry.parameter.size());
      for (std::size_t i = 0; i < elements; i += stride(elements)) {
        double const expected = difference(entry.parameter.vector().data() + i);
        REQUIRE(std::fabs(expected - entry.parameter.gradient().data()[i]) < tolerance);
        largest = std::max(largest, std::fabs(expected));
      }
      CHECK(largest > 1e-3);  // else the comparison says nothing
    }
    check_accumulation(tolerance);
  }

  /// Each row of y against the weight and bias of its sample.
  void check_materialised(double tolerance = 1e-12) {
    auto const out = forward();
    LinearShape const s = map.shape();
    double largest = 0;
    Kokkos::View<Real**, Kokkos::LayoutRight, Kokkos::HostSpace> const w("w", size(s.out),
                                                                         size(s.in));
    Kokkos::View<Real*, Kokkos::HostSpace> const b("b", size(s.out));
    for (Index t = 0; t < rows_; ++t) {
      Condition condition;
      if (batch.labels.extent(0) > 0) {
        auto const label = batch.labels(size(t / batch.rows_per_sample));
        if (label < batch.classes) {
          condition.label = label;
        }
      }
      Kokkos::deep_copy(w, NAN);
      map.materialise(ctx, condition, w, b);
      ctx.fence();
      for (Index i = 0; i < s.out; ++i) {
        double sum = b(i);
        for (Index j = 0; j < s.in; ++j) {
          sum += w(i, j) * x(t, j);
        }
        largest = std::fmax(largest, std::fabs(sum - out[size(t * s.out + i)]));
        REQUIRE_FALSE(std::isnan(sum));
      }
    }
    CHECK(largest < tolerance);
  }

  typename Map::Shared const& shared() const { return shared_; }
  Parameter<P, Exec> parameter(std::string const& name) const {
    auto const* const entry = list.find(name);
    REQUIRE(entry != nullptr);
    return entry->parameter;
  }

private:
  using Memory = Kokkos::View<std::byte*, Kokkos::HostSpace>;
  using Rows = Kokkos::View<Real**, Kokkos::LayoutRight, Kokkos::HostSpace>;
  static inline Real const other = convert<Real>(99.0);
  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }
  static std::byte* aligned(Memory const& memory) {
    auto const off = reinterpret_cast<std::uintptr_t>(memory.data()) % Arena::alignment;
    return memory.data() + (Arena::alignment - off) % Arena::alignment;
  }
  static std::size_t stride(std::size_t elements) {
    return std::max<std::size_t>(1, elements / 50);
  }
  double difference(double* at) {
    constexpr double h = 1e-5;
    double const before = *at;
    *at = before + h;
    double const up = loss();
    *at = before - h;
    double const down = loss();
    *at = before;
    return (up - down) / (2 * h);
  }
  /// A second backward adds to parameters' gradients and, where asked, to dx.
  void check_accumulation(double tolerance) {
    (void)forward();
    backward();
    auto const once = Kokkos::create_mirror(dx);
    Kokkos::deep_copy(once, dx);
    backward(true, true);
    double largest = 0;
    for (std::size_t i = 0; i < dx.size(); ++i) {
      largest = std::fmax(largest, std::fabs(dx.data()[i] - 2 * once.data()[i]));
    }
    CHECK(largest < tolerance);
    std::vector<double> gradients;
    largest = 0;
    for (auto const& entry : list) {
      for (Index i = 0; entry.parameter.trained() && i < entry.parameter.size(); ++i) {
        gradients.push_back(entry.parameter.gradient().data()[i]);
      }
    }
    (void)forward();
    backward(false);
    std::size_t k = 0;
    for (auto const& entry : list) {
      for (Index i = 0; entry.parameter.trained() && i < entry.parameter.size(); ++i, ++k) {
        double const change = entry.parameter.gradient().data()[i] - gradients[k];
        largest = std::fmax(largest, std::fabs(change));
      }
    }
    CHECK(largest < tolerance);
  }

  typename Map::Shared shared_;

public:
  Context<Exec> ctx;
  Map map;
  ParameterList<P, Exec> list;
  Batch<P, Exec> batch;
  Rows x, dx;
  std::size_t scratch_bytes = 0;

private:
  Rows y_;
  Index rows_;
  Index gap_;
  Memory saved_memory_;
  typename Map::Saved saved_;
  std::vector<double> loss_weight_;
};

}  // namespace dashi::test

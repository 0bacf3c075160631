// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/float_convert.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/linalg/batched_gemm.hpp>
#include <dashi/linalg/describe.hpp>
#include <dashi/linalg/gemm.hpp>

#include <support/device_copy.hpp>
#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace gemm_test {

namespace {

using namespace dashi;
using linalg::Activation;
using linalg::Op;
using linalg::Scale;

using Exec = Kokkos::DefaultExecutionSpace;

/// A batch of row-major matrices on the host, rows `ld` apart.
template <class T>
struct Batch {
  Index count, rows, cols, ld;
  std::vector<T> memory;

  Batch(Index count_, Index rows_, Index cols_, Index gap, std::uint64_t seed)
      : count(count_), rows(rows_), cols(cols_), ld(cols_ + gap) {
    memory.resize(static_cast<std::size_t>(count * rows * ld));
    Philox const random(seed, {});
    for (std::size_t i = 0; i < memory.size(); ++i) {
      memory[i] = convert<T>(random.template normal<double>(i));
    }
  }
  double at(Index b, Index i, Index j) const {
    return convert<double>(memory[static_cast<std::size_t>((b * rows + i) * ld + j)]);
  }
};

/// A batch in the device's memory.
template <class T>
struct DeviceBatch {
  Kokkos::View<T*, typename Exec::memory_space> memory;
  Kokkos::View<T***, Kokkos::LayoutStride, typename Exec::memory_space, Kokkos::MemoryUnmanaged>
      batch;
  Kokkos::View<T**, Kokkos::LayoutStride, typename Exec::memory_space, Kokkos::MemoryUnmanaged>
      first;

  explicit DeviceBatch(Batch<T> const& host) : memory(test::device_copy<Exec>(host.memory)) {
    auto const n = [](Index x) { return static_cast<std::size_t>(x); };
    batch = decltype(batch)(
        memory.data(), Kokkos::LayoutStride(n(host.count), n(host.rows * host.ld), n(host.rows),
                                            n(host.ld), n(host.cols), 1));
    first = decltype(first)(memory.data(),
                            Kokkos::LayoutStride(n(host.rows), n(host.ld), n(host.cols), 1));
  }
};

struct Product {
  Index m, n, k;
  Index batch = 1;
  Index gap = 0;
  Scale scale{};
  Op op_a = Op::none;
  Op op_b = Op::none;
  bool bias = false;
  bool keep_argument = false;
  Activation activation = Activation::none;
};

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::none: break;
  }
  return x;
}

template <class Provider, class In, class Out>
void check_product(Product const& p) {
  auto const shaped = [&](Op op, Index rows, Index cols, Index count, Index gap, std::uint64_t s) {
    return op == Op::none ? Batch<In>(count, rows, cols, gap, s)
                          : Batch<In>(count, cols, rows, gap, s);
  };
  Batch<In> const a = shaped(p.op_a, p.m, p.k, p.batch, p.gap, 1);
  Batch<In> const b = shaped(p.op_b, p.k, p.n, 1, 2 * p.gap, 2);
  Batch<Out> c(p.batch, p.m, p.n, 3 * p.gap, 3);
  Batch<Out> const before = c;
  Batch<Out> const bias(1, 1, p.n, 0, 4);
  Batch<Out> argument(1, p.m, p.n, 0, 5);
  {
    Context<Exec, Provider> ctx;
    DeviceBatch<In> const on_a(a);
    DeviceBatch<In> const on_b(b);
    DeviceBatch<Out> const on_c(c);
    DeviceBatch<Out> const on_bias(bias);
    DeviceBatch<Out> const on_argument(argument);
    if (p.batch > 1) {
      linalg::batched_gemm(ctx, p.op_a, on_a.batch, p.op_b, on_b.batch, on_c.batch, p.scale);
    } else {
      linalg::Epilogue<Out, Exec> epilogue;
      epilogue.activation = p.activation;
      if (p.bias) {
        epilogue.bias = on_bias.memory;
      }
      if (p.keep_argument) {
        epilogue.pre_activation = matrix_over<Out, Exec>(on_argument.memory.data(), p.m, p.n);
      }
      linalg::gemm(ctx, p.op_a, on_a.first, p.op_b, on_b.first, on_c.first, p.scale, epilogue);
    }
    ctx.fence();
    c.memory = test::host_copy(on_c.memory);
    argument.memory = test::host_copy(on_argument.memory);
  }
  constexpr double accumulate = dashi::detail::unit_roundoff<linalg::AccumulateOf<In>>();
  constexpr double store = dashi::detail::unit_roundoff<Out>();
  double worst = 0;
  for (Index batch = 0; batch < p.batch; ++batch) {
    for (Index i = 0; i < p.m; ++i) {
      for (Index j = 0; j < p.n; ++j) {
        double sum = 0;
        double magnitude = 0;
        for (Index q = 0; q < p.k; ++q) {
          double const product = (p.op_a == Op::none ? a.at(batch, i, q) : a.at(batch, q, i)) *
                                 (p.op_b == Op::none ? b.at(0, q, j) : b.at(0, j, q));
          sum += product;
          magnitude += std::abs(product);
        }
        double const added = (p.scale.beta != 0 ? p.scale.beta * before.at(batch, i, j) : 0.0) +
                             (p.bias ? bias.at(0, 0, j) : 0.0);
        double const expected = p.scale.alpha * sum + added;
        // A sum in any order is off by k roundoffs of the sum of magnitudes. What is written may
        // be rounded before the bias and before the activation, whose slope is below 1.13.
        double const bound = 1.2 * (static_cast<double>(p.k + 8) * accumulate *
                                        (std::abs(p.scale.alpha) * magnitude + std::abs(added)) +
                                    4 * store * (std::abs(expected) + std::abs(added)));
        double const result = activated(p.activation, expected);
        worst = std::max(worst, std::abs(c.at(batch, i, j) - result) / (bound + 1e-30));
        if (p.keep_argument) {
          worst = std::max(worst, std::abs(argument.at(0, i, j) - expected) / (bound + 1e-30));
        }
      }
    }
  }
  INFO(p.m << " x " << p.n << " x " << p.k << " batch " << p.batch << " gap " << p.gap
           << " activation " << static_cast<int>(p.activation));
  CHECK(worst <= 1);
}

template <class Provider, class In, class Out>
void check_products() {
  for (Op const op_a : {Op::none, Op::transpose}) {
    for (Op const op_b : {Op::none, Op::transpose}) {
      for (Product p : {Product{1, 1, 1}, Product{7, 5, 3}, Product{33, 1, 40},
                        Product{67, 49, 129}, Product{128, 96, 256}}) {
        p.op_a = op_a;
        p.op_b = op_b;
        check_product<Provider, In, Out>(p);
        p.gap = 3;
        p.scale = {-0.5, 2};
        check_product<Provider, In, Out>(p);
        p.batch = 3;
        check_product<Provider, In, Out>(p);
      }
    }
  }
  check_product<Provider, In, Out>({.m = 5, .n = 9, .k = 0, .scale = {1, 2}, .bias = true});
  for (Index const n : {40, 41}) {  // with rows that fused epilogues take, and others
    for (auto const activation : {Activation::none, Activation::gelu_tanh, Activation::silu}) {
      for (bool const keep : {false, true}) {
        check_product<Provider, In, Out>({.m = 50,
                                          .n = n,
                                          .k = 64,
                                          .scale = {0.25, 1},
                                          .bias = true,
                                          .keep_argument = keep,
                                          .activation = activation});
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the device's products agree with sums in double", "[device][linalg]",
                   DASHI_TEST_SCALARS(BFloat16, Float16, float, double)) {
  check_products<DefaultProviderOf<Exec>, TestType, TestType>();
}

TEMPLATE_TEST_CASE("portable products on the device agree with sums in double", "[device][linalg]",
                   DASHI_TEST_SCALARS(BFloat16, Float16, float, double)) {
  check_products<provider::Portable, TestType, TestType>();
}

TEST_CASE("the device's libraries are named", "[device][linalg]") {
  Context<Exec> ctx;
  CHECK_FALSE(linalg::describe(ctx).empty());
}

#if !defined(DASHI_TEST_ONE_SCALAR)
TEMPLATE_TEST_CASE("the device's products of 16-bit numbers are kept in float", "[device][linalg]",
                   BFloat16, Float16) {
  check_products<DefaultProviderOf<Exec>, TestType, float>();
}
#endif

}  // namespace gemm_test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cli {

/// The ceiling that a case's operations are measured against.
enum class Arithmetic : unsigned char { none, f32, bf16 };

/// Something to time, and what it must move and compute at least.
struct BenchCase {
  std::string name;
  std::string shape;
  double bytes = 0;
  double flop = 0;
  Arithmetic arithmetic = Arithmetic::none;
  bool ceiling = false;
  /// Makes the arrays and returns one run, fenced. Called only for cases that are timed.
  std::function<std::function<void()>()> make{};
};

/// Something that several cases share, made when the first of them wants it.
template <class T>
class Shared {
public:
  explicit Shared(std::function<T()> make) : state_(std::make_shared<State>()) {
    state_->make = std::move(make);
  }
  T const& get() const {
    if (!state_->value) {
      state_->value = std::make_unique<T>(state_->make());
    }
    return *state_->value;
  }

private:
  struct State {
    std::function<T()> make;
    std::unique_ptr<T> value;
  };
  std::shared_ptr<State> state_;
};

using BenchExec = Kokkos::DefaultExecutionSpace;
using BenchContext = dashi::Context<BenchExec>;
template <class T>
using BenchMatrix = Kokkos::View<T**, Kokkos::LayoutRight, typename BenchExec::memory_space>;
template <class T>
using BenchVector = Kokkos::View<T*, typename BenchExec::memory_space>;

/// Normal(0, 0.02), as weights are: a pattern of 2^16 numbers, repeated from another place for each
/// seed.
template <class T>
void fill_normal(BenchContext const& ctx, T* data, std::int64_t count, std::uint64_t seed) {
  constexpr std::int64_t period = 65536;
  BenchVector<T> const pattern("dashi::bench", period);
  dashi::Philox const generator(1, {});
  using Policy = Kokkos::RangePolicy<BenchExec, Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for(
      "dashi::bench", Policy(ctx.exec(), 0, period), KOKKOS_LAMBDA(std::int64_t i) {
        pattern(i) =
            dashi::convert<T>(0.02F * generator.normal<float>(static_cast<std::uint64_t>(i)));
      });
  auto const first = static_cast<std::int64_t>(seed * 7777 % period);
  Kokkos::parallel_for(
      "dashi::bench", Policy(ctx.exec(), 0, count),
      KOKKOS_LAMBDA(std::int64_t i) { data[i] = pattern((i + first) % period); });
  ctx.fence();
}

template <class T>
BenchMatrix<T> random_matrix(BenchContext const& ctx, dashi::Index rows, dashi::Index cols,
                             std::uint64_t seed) {
  BenchMatrix<T> const m(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::bench"),
                         static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
  fill_normal(ctx, m.data(), rows * cols, seed);
  return m;
}

template <class T>
BenchVector<T> random_vector(BenchContext const& ctx, dashi::Index size, std::uint64_t seed) {
  BenchVector<T> const v(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::bench"),
                         static_cast<std::size_t>(size));
  fill_normal(ctx, v.data(), size, seed);
  return v;
}

/// Ceilings of memory and of products, and the kernels that they bound: sums over checkpoints and
/// the optimizer. `elements` of each array.
void add_memory_cases(std::vector<BenchCase>& cases, BenchContext& ctx, dashi::Index elements);
/// Products: the ceilings of arithmetic, and decompositions.
void add_product_cases(std::vector<BenchCase>& cases, BenchContext& ctx);
/// Adapters of a layer of 1152 x 1152 (DiT-XL/2).
void add_adapter_cases(std::vector<BenchCase>& cases, BenchContext& ctx);
/// The other parts of a transformer block of DiT-XL/2.
void add_block_cases(std::vector<BenchCase>& cases, BenchContext& ctx);

}  // namespace cli

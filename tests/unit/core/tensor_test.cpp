// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/concepts.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using dashi::checked_multiply;
using dashi::Index;
using Host = Kokkos::DefaultHostExecutionSpace;

namespace {

using dashi::precision::Bf16Mixed;
using Managed = Kokkos::View<float**, Kokkos::LayoutRight, Host>;

static_assert(dashi::ExecutionSpace<Host>);
static_assert(!dashi::ExecutionSpace<Kokkos::HostSpace>);
static_assert(!dashi::ExecutionSpace<int>);

static_assert(dashi::AccessibleFrom<Managed, Host>);
static_assert(dashi::HostAccessible<Managed>);
static_assert(!dashi::AccessibleFrom<Managed, Kokkos::HostSpace>);
static_assert(!dashi::AccessibleFrom<int*, Host>);
// An anonymous space is nowhere in particular: no execution space reaches it.
static_assert(
    !dashi::HostAccessible<Kokkos::View<float*, Kokkos::Device<Host, Kokkos::AnonymousSpace>>> ||
    bool(Kokkos::SpaceAccessibility<Host, Kokkos::AnonymousSpace>::accessible));

static_assert(dashi::MatrixView<Managed>);
static_assert(dashi::MatrixView<dashi::Matrix<Bf16Mixed, Host>>);
static_assert(!dashi::MatrixView<Kokkos::View<float**, Kokkos::LayoutLeft, Host>>);
static_assert(!dashi::MatrixView<dashi::Vector<Bf16Mixed, Host>>);
static_assert(!dashi::MatrixView<std::vector<float>>);
static_assert(dashi::VectorView<dashi::Vector<Bf16Mixed, Host>>);
static_assert(!dashi::VectorView<Managed>);
static_assert(!dashi::VectorView<Kokkos::View<float*, Kokkos::LayoutStride, Host>>);

// Managed views become the views of signatures by themselves, also as read-only ones.
static_assert(std::is_convertible_v<Managed, dashi::MatrixOf<float, Host>>);
static_assert(std::is_convertible_v<Managed, dashi::MatrixOf<float const, Host>>);
static_assert(sizeof(dashi::Vector<Bf16Mixed, Host>::value_type) == 2);

}  // namespace

TEST_CASE("checked_multiply gives products that fit and refuses the others", "[tensor]") {
  Index const largest = std::numeric_limits<Index>::max();
  CHECK(checked_multiply(Index{3}, Index{5}, Index{7}) == 105);
  CHECK(checked_multiply(Index{0}, largest, largest) == 0);
  CHECK(checked_multiply(largest, Index{1}) == largest);
  CHECK(checked_multiply(Index{1} << 31, Index{1} << 31) == Index{1} << 62);
  CHECK_THROWS_AS(checked_multiply(Index{1} << 33, Index{1} << 33), dashi::PreconditionError);
  CHECK_THROWS_AS(checked_multiply(largest, Index{2}), dashi::PreconditionError);
  CHECK_THROWS_AS(checked_multiply(Index{-1}, Index{2}), dashi::PreconditionError);
  CHECK_THROWS_AS(checked_multiply(Index{2}, Index{-1}), dashi::PreconditionError);
  std::uint64_t const all = std::numeric_limits<std::uint64_t>::max();
  CHECK(checked_multiply(all, std::uint64_t{1}) == all);
  CHECK_THROWS_AS(checked_multiply(std::uint64_t{1} << 32, std::uint64_t{1} << 32),
                  dashi::PreconditionError);
}

TEST_CASE("views over memory have the extents asked for", "[tensor]") {
  std::vector<float> memory(12);
  auto const matrix = dashi::matrix_over<float, Host>(memory.data(), 3, 4);
  CHECK(matrix.extent(0) == 3);
  CHECK(&matrix(2, 1) == &memory[9]);
  auto const vector = dashi::vector_over<float const, Host>(memory.data(), 12);
  CHECK(vector.size() == 12);
  CHECK_THROWS_AS((dashi::matrix_over<float, Host>(nullptr, Index{1} << 31, Index{1} << 31)),
                  dashi::PreconditionError);
  CHECK_THROWS_AS((dashi::vector_over<float, Host>(nullptr, -1)), dashi::PreconditionError);
}

TEST_CASE("parts of rows and columns of a row-major matrix stay matrices", "[tensor]") {
  Managed const matrix("matrix", 5, 7);
  auto const part = Kokkos::subview(matrix, std::pair(1, 3), std::pair(2, 6));
  static_assert(dashi::MatrixView<decltype(part)>);
  CHECK(part.stride(0) == 7);
  static_assert(dashi::VectorView<decltype(Kokkos::subview(matrix, 1, Kokkos::ALL))>);
  static_assert(!dashi::VectorView<decltype(Kokkos::subview(matrix, Kokkos::ALL, 1))>);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows more than 2^31 elements apart: memory that is reserved but, except for its ends, not there.
#include "kronecker_reference.hpp"

#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/scale_bias.hpp>

#include <catch2/catch_test_macros.hpp>

#include <sys/mman.h>

namespace far_rows_test {

using namespace dashi;
using namespace dashi::test;

namespace {

using HostExec = Kokkos::DefaultHostExecutionSpace;

constexpr Index rows = 3;
constexpr Index stride = (Index{1} << 31) + 17;

/// `rows` rows of floats, `stride` apart.
class FarRows {
public:
  explicit FarRows(Index cols) : cols_(cols) {
    void* const memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    data_ = memory == MAP_FAILED ? nullptr : static_cast<float*>(memory);
  }
  ~FarRows() {
    if (data_ != nullptr) {
      ::munmap(data_, bytes());
    }
  }
  FarRows(FarRows const&) = delete;
  FarRows& operator=(FarRows const&) = delete;

  bool there() const { return data_ != nullptr; }
  auto view() const {
    return Kokkos::View<float**, Kokkos::LayoutStride, Kokkos::HostSpace,
                        Kokkos::MemoryTraits<Kokkos::Unmanaged>>(
        data_, Kokkos::LayoutStride(std::size_t{rows}, std::size_t{stride},
                                    static_cast<std::size_t>(cols_), 1));
  }
  void set(HostMatrix const& m) const {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols_; ++j) {
        data_[i * stride + j] = static_cast<float>(m(i, j));
      }
    }
  }
  HostMatrix get() const {
    HostMatrix m(rows, cols_);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols_; ++j) {
        m(i, j) = static_cast<double>(data_[i * stride + j]);
      }
    }
    return m;
  }

private:
  static constexpr std::size_t bytes() {
    return static_cast<std::size_t>((rows - 1) * stride + 4096) * sizeof(float);
  }
  Index cols_;
  float* data_;
};

}  // namespace

TEST_CASE("adapter kernels reach rows beyond 2^31 elements", "[adapters]") {
  kernels::KroneckerShape const s{2, 3, 5, 7};
  FarRows const x(s.in()), y(s.out());
  if (!x.there() || !y.there()) {
    SKIP("the system reserves no 17 GB of addresses twice");
  }
  Context<HostExec, provider::Portable> ctx;
  HostMatrix const a = random_matrix<float>(s.m1, s.n1, 1), b = random_matrix<float>(s.m2, s.n2, 2);
  HostMatrix const in = random_matrix<float>(rows, s.in(), 3);
  HostMatrix const out = random_matrix<float>(rows, s.out(), 4);
  SpaceMatrix<float, HostExec> const sa(a), sb(b);
  x.set(in);
  HostMatrix const expected = sum(out, 0.5, product(in, transposed(kronecker_reference(a, b))));
  for (auto const path : {kernels::KroneckerPath::materialised, kernels::KroneckerPath::a_first,
                          kernels::KroneckerPath::b_first}) {
    CAPTURE(name_of(path));
    y.set(out);
    ctx.reserve_scratch(kernels::kronecker_apply_scratch<float, HostExec>(s, path, rows));
    kernels::kronecker_apply(ctx, path, 0.5, sa.view(), sb.view(), x.view(), y.view());
    ctx.fence();
    CHECK(distance(y.get(), expected) <= bound<float>(s.in() + s.n1 + s.n2));
  }
  HostMatrix const gamma = random_matrix<float>(1, s.out(), 5);
  y.set(out);
  kernels::scale_bias<float>(ctx, space_vector<float, HostExec>(gamma), {}, y.view());
  ctx.fence();
  HostMatrix scaled = out;
  for (Index t = 0; t < rows; ++t) {
    for (Index j = 0; j < s.out(); ++j) {
      scaled(t, j) *= gamma(0, j);
    }
  }
  CHECK(distance(y.get(), scaled) <= bound<float>(1));
}

}  // namespace far_rows_test

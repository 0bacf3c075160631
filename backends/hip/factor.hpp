// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/factor_call.hpp>

#include "../portable/column_major.hpp"
#include "../portable/svd.hpp"
#include "handles.hpp"

#include <algorithm>
#include <limits>

namespace dashi::backends::hip {

/// hipSOLVER as portable::svd_by_columns and qr_by_columns want it.
template <class T>
class Solver {
public:
  Solver(Kokkos::HIP const& exec, Handles& handles)
      : exec_(exec), handles_(handles), info_(portable::work_memory<int, Kokkos::HIP>(1)) {}

  void gesvd(Index rows, Index cols, T* a, T* s, T* left, Index ld_left, T* right,
             Index ld_right) const {
    signed char const job = left == nullptr ? 'N' : 'S';
    int const m = static_cast<int>(rows);
    int const n = static_cast<int>(cols);
    int elements = 0;
    auto const call = [&](auto size_of, auto compute) {
      check(size_of(handles_.solver(), job, job, m, n, &elements), "hipsolverGesvd_bufferSize");
      auto const work = portable::work_memory<T, Kokkos::HIP>(elements);
      auto const superdiagonal = portable::work_memory<T, Kokkos::HIP>(cols);
      check(compute(handles_.solver(), job, job, m, n, a, m, s, left, static_cast<int>(ld_left),
                    right, static_cast<int>(ld_right), work.data(), elements, superdiagonal.data(),
                    info_.data()),
            "hipsolverGesvd");
      finish("hipsolverGesvd");
    };
    if constexpr (std::is_same_v<T, double>) {
      call(hipsolverDgesvd_bufferSize, hipsolverDgesvd);
    } else {
      call(hipsolverSgesvd_bufferSize, hipsolverSgesvd);
    }
  }

  void geqrf(Index rows, Index cols, T* a, T* tau) const {
    int const m = static_cast<int>(rows);
    int const n = static_cast<int>(cols);
    int elements = 0;
    auto const call = [&](auto size_of, auto compute) {
      check(size_of(handles_.solver(), m, n, a, m, &elements), "hipsolverGeqrf_bufferSize");
      auto const work = portable::work_memory<T, Kokkos::HIP>(elements);
      check(compute(handles_.solver(), m, n, a, m, tau, work.data(), elements, info_.data()),
            "hipsolverGeqrf");
      finish("hipsolverGeqrf");
    };
    if constexpr (std::is_same_v<T, double>) {
      call(hipsolverDgeqrf_bufferSize, hipsolverDgeqrf);
    } else {
      call(hipsolverSgeqrf_bufferSize, hipsolverSgeqrf);
    }
  }

  void orgqr(Index rows, Index cols, T* a, T* tau) const {
    int const m = static_cast<int>(rows);
    int const k = static_cast<int>(cols);
    int elements = 0;
    auto const call = [&](auto size_of, auto compute) {
      check(size_of(handles_.solver(), m, k, k, a, m, tau, &elements), "hipsolverOrgqr_bufferSize");
      auto const work = portable::work_memory<T, Kokkos::HIP>(elements);
      check(compute(handles_.solver(), m, k, k, a, m, tau, work.data(), elements, info_.data()),
            "hipsolverOrgqr");
      finish("hipsolverOrgqr");
    };
    if constexpr (std::is_same_v<T, double>) {
      call(hipsolverDorgqr_bufferSize, hipsolverDorgqr);
    } else {
      call(hipsolverSorgqr_bufferSize, hipsolverSorgqr);
    }
  }

private:
  void finish(char const* call) const { portable::expect_success(exec_, info_, call); }

  Kokkos::HIP exec_;
  Handles& handles_;
  portable::WorkVector<int, Kokkos::HIP> info_;
};

/// The library's integers have 32 bits; larger matrices go to the portable code.
template <class T>
void svd(Kokkos::HIP const& exec, Handles& handles, linalg::SvdCall<T> const& call) {
  if (std::max({call.m, call.n, call.ldu, call.ldvt}) > std::numeric_limits<int>::max()) {
    portable::svd(exec, call);
  } else {
    portable::svd_by_columns(exec, call, Solver<T>(exec, handles));
  }
}

template <class T>
void qr(Kokkos::HIP const& exec, Handles& handles, linalg::QrCall<T> const& call) {
  if (std::max(call.m, call.n) > std::numeric_limits<int>::max()) {
    portable::qr(exec, call);
  } else {
    portable::qr_by_columns(exec, call, Solver<T>(exec, handles));
  }
}

}  // namespace dashi::backends::hip

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/factor_call.hpp>

#include "../portable/column_major.hpp"
#include "element.hpp"
#include "handles.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace dashi::backends::cuda {

/// cuSOLVER as portable::svd_by_columns and qr_by_columns want it.
template <class T>
class Solver {
  using Bytes = Kokkos::View<std::byte*, Kokkos::CudaSpace>;

public:
  Solver(Kokkos::Cuda const& exec, Handles& handles)
      : exec_(exec), handles_(handles), info_(portable::work_memory<int, Kokkos::Cuda>(1)) {
    check(cusolverDnCreateParams(&params_), "cusolverDnCreateParams");
  }
  ~Solver() { cusolverDnDestroyParams(params_); }
  Solver(Solver const&) = delete;
  Solver& operator=(Solver const&) = delete;

  void gesvd(Index rows, Index cols, T* a, T* s, T* left, Index ld_left, T* right,
             Index ld_right) const {
    constexpr auto type = data_type<T>;
    signed char const job = left == nullptr ? 'N' : 'S';
    std::size_t on_device = 0;
    std::size_t on_host = 0;
    check(cusolverDnXgesvd_bufferSize(handles_.solver(), params_, job, job, rows, cols, type, a,
                                      rows, type, s, type, left, ld_left, type, right, ld_right,
                                      type, &on_device, &on_host),
          "cusolverDnXgesvd_bufferSize");
    Bytes const device = memory(on_device);
    std::vector<std::byte> host(on_host);
    check(cusolverDnXgesvd(handles_.solver(), params_, job, job, rows, cols, type, a, rows, type, s,
                           type, left, ld_left, type, right, ld_right, type, device.data(),
                           on_device, host.data(), on_host, info_.data()),
          "cusolverDnXgesvd");
    finish("cusolverDnXgesvd");
  }

  void geqrf(Index rows, Index cols, T* a, T* tau) const {
    constexpr auto type = data_type<T>;
    std::size_t on_device = 0;
    std::size_t on_host = 0;
    check(cusolverDnXgeqrf_bufferSize(handles_.solver(), params_, rows, cols, type, a, rows, type,
                                      tau, type, &on_device, &on_host),
          "cusolverDnXgeqrf_bufferSize");
    Bytes const device = memory(on_device);
    std::vector<std::byte> host(on_host);
    check(cusolverDnXgeqrf(handles_.solver(), params_, rows, cols, type, a, rows, type, tau, type,
                           device.data(), on_device, host.data(), on_host, info_.data()),
          "cusolverDnXgeqrf");
    finish("cusolverDnXgeqrf");
  }

  void orgqr(Index rows, Index cols, T* a, T* tau) const {
    int const m = static_cast<int>(rows);
    int const k = static_cast<int>(cols);
    int elements = 0;
    auto const call = [&](auto size_of, auto compute) {
      check(size_of(handles_.solver(), m, k, k, a, m, tau, &elements), "orgqr_bufferSize");
      auto const work = portable::work_memory<T, Kokkos::Cuda>(elements);
      check(compute(handles_.solver(), m, k, k, a, m, tau, work.data(), elements, info_.data()),
            "orgqr");
      finish("orgqr");
    };
    if constexpr (std::is_same_v<T, double>) {
      call(cusolverDnDorgqr_bufferSize, cusolverDnDorgqr);
    } else {
      call(cusolverDnSorgqr_bufferSize, cusolverDnSorgqr);
    }
  }

private:
  static Bytes memory(std::size_t bytes) {
    return Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::cuda::solver"),
                 std::max<std::size_t>(bytes, 1));
  }

  void finish(char const* call) const { portable::expect_success(exec_, info_, call); }

  Kokkos::Cuda exec_;
  Handles& handles_;
  portable::WorkVector<int, Kokkos::Cuda> info_;
  cusolverDnParams_t params_ = nullptr;
};

template <class T>
void svd(Kokkos::Cuda const& exec, Handles& handles, linalg::SvdCall<T> const& call) {
  portable::svd_by_columns(exec, call, Solver<T>(exec, handles));
}

/// Extents above 2^31, which one of the library's functions does not take, go to the portable code.
template <class T>
void qr(Kokkos::Cuda const& exec, Handles& handles, linalg::QrCall<T> const& call) {
  if (std::max(call.m, call.n) > std::numeric_limits<int>::max()) {
    portable::qr(exec, call);
  } else {
    portable::qr_by_columns(exec, call, Solver<T>(exec, handles));
  }
}

}  // namespace dashi::backends::cuda

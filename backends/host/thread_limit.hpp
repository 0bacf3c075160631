// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_OPENBLAS)
#include <cblas.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace dashi::backends::host {

/// Threads that library calls of the calling thread use while it lives. Both libraries ask OpenMP
/// how many there are, and take one inside a parallel region; an OpenBLAS with threads of its own
/// is told as well.
class ThreadLimit {
public:
  explicit ThreadLimit([[maybe_unused]] int threads) {
#if defined(_OPENMP)
    omp_set_num_threads(threads);
#endif
#if defined(DASHI_HOST_OPENBLAS)
    if (own_threads()) {
      openblas_set_num_threads(threads);
    }
#endif
  }
  ~ThreadLimit() {
#if defined(_OPENMP)
    omp_set_num_threads(openmp_before_);
#endif
#if defined(DASHI_HOST_OPENBLAS)
    if (own_threads()) {
      openblas_set_num_threads(openblas_before_);
    }
#endif
  }
  ThreadLimit(ThreadLimit const&) = delete;
  ThreadLimit& operator=(ThreadLimit const&) = delete;

private:
#if defined(_OPENMP)
  int const openmp_before_ = omp_get_max_threads();
#endif
#if defined(DASHI_HOST_OPENBLAS)
  static bool own_threads() {
    constexpr int pthreads = 1;  // what openblas_get_parallel says
    return openblas_get_parallel() == pthreads;
  }
  int const openblas_before_ = openblas_get_num_threads();
#endif
};

}  // namespace dashi::backends::host

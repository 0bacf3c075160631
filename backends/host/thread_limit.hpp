// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_OPENBLAS)
#include <cblas.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <mutex>

namespace dashi::backends::host {

/// Of an OpenBLAS with threads of its own: how many limits live, and what held before the first.
struct OpenblasLimits {
  std::mutex mutex;
  int limits = 0;
  int threads_before = 1;
};

/// Threads that library calls of the calling thread use while it lives. Both libraries ask OpenMP
/// how many there are, and take one inside a parallel region.
///
/// An OpenBLAS with threads of its own is told as well. It has one number for the whole process: of
/// limits that live at the same time the latest holds, and the last to end restores what was before
/// the first.
class ThreadLimit {
public:
  explicit ThreadLimit([[maybe_unused]] int threads) {
#if defined(_OPENMP)
    omp_set_num_threads(threads);
#endif
#if defined(DASHI_HOST_OPENBLAS)
    if (has_own_threads()) {
      std::lock_guard const lock(openblas_.mutex);
      if (openblas_.limits++ == 0) {
        openblas_.threads_before = openblas_get_num_threads();
      }
      openblas_set_num_threads(threads);
    }
#endif
  }
  ~ThreadLimit() {
#if defined(_OPENMP)
    omp_set_num_threads(openmp_before_);
#endif
#if defined(DASHI_HOST_OPENBLAS)
    if (has_own_threads()) {
      std::lock_guard const lock(openblas_.mutex);
      if (--openblas_.limits == 0) {
        openblas_set_num_threads(openblas_.threads_before);
      }
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
  static bool has_own_threads() {
    constexpr int pthreads = 1;  // what openblas_get_parallel says
    return openblas_get_parallel() == pthreads;
  }
  static inline OpenblasLimits openblas_;
#endif
};

}  // namespace dashi::backends::host

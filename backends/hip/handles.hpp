// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "status.hpp"

#include <Kokkos_Core.hpp>

namespace dashi::backends::hip {

/// Handles of a context (Context::attachments), bound to its stream.
class Handles {
public:
  explicit Handles(Kokkos::HIP const& exec) {
    check(hipSetDevice(exec.hip_device()), "hipSetDevice");
    check(hipblasCreate(&blas_), "hipblasCreate");
    try {
      check(hipblasSetStream(blas_, exec.hip_stream()), "hipblasSetStream");
      check(hipsolverCreate(&solver_), "hipsolverCreate");
      check(hipsolverSetStream(solver_, exec.hip_stream()), "hipsolverSetStream");
    } catch (...) {
      release();
      throw;
    }
  }
  ~Handles() { release(); }
  Handles(Handles const&) = delete;
  Handles& operator=(Handles const&) = delete;

  hipblasHandle_t blas() const { return blas_; }
  hipsolverHandle_t solver() const { return solver_; }

private:
  void release() {
    if (solver_ != nullptr) {
      static_cast<void>(hipsolverDestroy(solver_));
    }
    if (blas_ != nullptr) {
      static_cast<void>(hipblasDestroy(blas_));
    }
  }

  hipblasHandle_t blas_ = nullptr;
  hipsolverHandle_t solver_ = nullptr;
};

}  // namespace dashi::backends::hip

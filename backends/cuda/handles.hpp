// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "status.hpp"

#include <Kokkos_Core.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace dashi::backends::cuda {

/// Handles of a context (Context::attachments), bound to its stream.
class Handles {
public:
  explicit Handles(Kokkos::Cuda const& exec)
      : exec_(exec),
        workspace_(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::cuda::workspace"),
                   workspace_bytes) {
    check(cudaSetDevice(exec.cuda_device()), "cudaSetDevice");
    check(cublasLtCreate(&blas_), "cublasLtCreate");
    try {
      check(cusolverDnCreate(&solver_), "cusolverDnCreate");
      check(cusolverDnSetStream(solver_, exec.cuda_stream()), "cusolverDnSetStream");
    } catch (...) {
      release();
      throw;
    }
  }
  ~Handles() { release(); }
  Handles(Handles const&) = delete;
  Handles& operator=(Handles const&) = delete;

  cublasLtHandle_t blas() const { return blas_; }
  cusolverDnHandle_t solver() const { return solver_; }
  cudaStream_t stream() const { return exec_.cuda_stream(); }

  /// Memory for one product at a time; the products of a stream follow each other.
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
  void* workspace() const { return workspace_.data(); }

  /// The algorithm of a product, asked for once: the library's own choice costs microseconds, and
  /// a product keeps its bits only while it keeps its algorithm. Nothing: not supported.
  using ProductKey = std::array<std::int64_t, 19>;
  std::map<ProductKey, std::optional<cublasLtMatmulAlgo_t>>& algorithms() { return algorithms_; }

private:
  void release() {
    if (solver_ != nullptr) {
      cusolverDnDestroy(solver_);
    }
    if (blas_ != nullptr) {
      cublasLtDestroy(blas_);
    }
  }

  Kokkos::Cuda exec_;
  Kokkos::View<std::byte*, Kokkos::CudaSpace> workspace_;
  cublasLtHandle_t blas_ = nullptr;
  cusolverDnHandle_t solver_ = nullptr;
  std::map<ProductKey, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace dashi::backends::cuda

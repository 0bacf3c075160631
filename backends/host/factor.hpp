// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/decompose_numbered.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "../portable/backend.hpp"
#if defined(DASHI_HOST_OPENBLAS)
#include "lapack_svd.hpp"
#endif

#include <algorithm>
#include <span>
#include <vector>

namespace dashi::backends::host {

/// By LAPACK where it is there and its integers suffice, else by the portable code.
template <class Exec, class T>
void svd(Exec const& exec, std::span<linalg::SvdCall<T> const> calls) {
#if defined(DASHI_HOST_OPENBLAS)
  std::vector<linalg::SvdCall<T>> taken;
  for (linalg::SvdCall<T> const& call : calls) {
    if (LapackFactor<T>::takes(call.m, call.n, std::max(call.ldu, call.ldvt))) {
      taken.push_back(call);
    } else {
      linalg::decompose_numbered(call, [&] { portable::svd(exec, call); });
    }
  }
  lapack_svd_all(exec, std::span<linalg::SvdCall<T> const>(taken));
#else
  for (linalg::SvdCall<T> const& call : calls) {
    linalg::decompose_numbered(call, [&] { portable::svd(exec, call); });
  }
#endif
}

template <class Exec, class T>
void qr(Exec const& exec, linalg::QrCall<T> const& call) {
#if defined(DASHI_HOST_OPENBLAS)
  if (LapackFactor<T>::takes(call.m, call.n, call.ldq)) {
    ThreadLimit const limit(worthwhile_lapack_threads(call.m, call.n, exec.concurrency()));
    LapackFactor<T>().qr(call);
    return;
  }
#endif
  portable::qr(exec, call);
}

}  // namespace dashi::backends::host

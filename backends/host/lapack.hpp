// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_OPENBLAS)

#include <dashi/core/error.hpp>

#include <cblas.h>

#include <string>

// The Fortran entry points of OpenBLAS, which ships no header for them.
extern "C" {
#define DASHI_LAPACK(T, p)                                                                         \
  void p##gesdd_(char const*, blasint const*, blasint const*, T*, blasint const*, T*, T*,          \
                 blasint const*, T*, blasint const*, T*, blasint const*, blasint*, blasint*);      \
  void p##geqrf_(blasint const*, blasint const*, T*, blasint const*, T*, T*, blasint const*,       \
                 blasint*);                                                                        \
  void p##gelqf_(blasint const*, blasint const*, T*, blasint const*, T*, T*, blasint const*,       \
                 blasint*);                                                                        \
  void p##orgqr_(blasint const*, blasint const*, blasint const*, T*, blasint const*, T const*, T*, \
                 blasint const*, blasint*);                                                        \
  void p##ormqr_(char const*, char const*, blasint const*, blasint const*, blasint const*,         \
                 T const*, blasint const*, T const*, T*, blasint const*, T*, blasint const*,       \
                 blasint*);                                                                        \
  void p##ormlq_(char const*, char const*, blasint const*, blasint const*, blasint const*,         \
                 T const*, blasint const*, T const*, T*, blasint const*, T*, blasint const*,       \
                 blasint*);
DASHI_LAPACK(float, s)
DASHI_LAPACK(double, d)
#undef DASHI_LAPACK
}

namespace dashi::backends::host {

/// LAPACK's routines by element type.
template <class T>
struct Lapack;
#define DASHI_LAPACK(T, p)                    \
  template <>                                 \
  struct Lapack<T> {                          \
    static constexpr auto gesdd = &p##gesdd_; \
    static constexpr auto geqrf = &p##geqrf_; \
    static constexpr auto gelqf = &p##gelqf_; \
    static constexpr auto orgqr = &p##orgqr_; \
    static constexpr auto ormqr = &p##ormqr_; \
    static constexpr auto ormlq = &p##ormlq_; \
  };
DASHI_LAPACK(float, s)
DASHI_LAPACK(double, d)
#undef DASHI_LAPACK

/// Throws for an info that is not 0: positive means no convergence, negative a refused argument.
inline void check_lapack(blasint info, char const* routine) {
  if (info > 0) {
    throw ConvergenceError(
        {.code = "no-convergence",
         .file = {},
         .place = routine,
         .found = "LAPACK's iteration did not converge (info " + std::to_string(info) + ")",
         .expected = {},
         .advice = "decompose the matrix in double, or with -DDASHI_BACKEND=portable"});
  }
  if (info < 0) {
    throw VendorError({.code = "lapack",
                       .file = {},
                       .place = routine,
                       .found = "LAPACK says that argument " + std::to_string(-info) +
                                " is illegal (info " + std::to_string(info) + ")",
                       .expected = {},
                       .advice =
                           "check that the matrix holds finite numbers, else report this with "
                           "its shape and the library's version"});
  }
}

}  // namespace dashi::backends::host

#endif

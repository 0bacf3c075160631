// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

namespace dashi::test {

/// Calls body.template operator()<T>() for each scalar type (nvcc refuses such a body without a
/// capture list: write [&]); for the first only where CMake's DASHI_TEST_SCALARS is `one`, and the
/// others are then not compiled either.
template <class First, class... Rest, class Body>
void for_each_scalar(Body const& body) {
  body.template operator()<First>();
#if !defined(DASHI_TEST_ONE_SCALAR)
  (body.template operator()<Rest>(), ...);
#endif
}

}  // namespace dashi::test

/// Scalar types of a kernel's device test, for TEMPLATE_TEST_CASE: every one, or the first only
/// where CMake's DASHI_TEST_SCALARS is `one`, which keeps builds by device compilers short.
#if defined(DASHI_TEST_ONE_SCALAR)
#define DASHI_TEST_SCALARS(first, ...) first
#else
#define DASHI_TEST_SCALARS(...) __VA_ARGS__
#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

/// Scalar types of a kernel's device test, for TEMPLATE_TEST_CASE: every one, or the first only
/// where CMake's DASHI_TEST_SCALARS is `one`, which keeps builds by device compilers short.
#if defined(DASHI_TEST_ONE_SCALAR)
#define DASHI_TEST_SCALARS(first, ...) first
#else
#define DASHI_TEST_SCALARS(...) __VA_ARGS__
#endif

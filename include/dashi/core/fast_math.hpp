// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

// Included by every header whose results depend on IEEE arithmetic.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error \
    "dashi: compiled with -ffast-math or -ffinite-math-only; results would be wrong: NaN and infinity must be seen and sums must keep their order. Remove the option (also -Ofast)."
#endif

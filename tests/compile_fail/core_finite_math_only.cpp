// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi: compiled with -ffast-math or -ffinite-math-only
// flags: -ffinite-math-only
#include <dashi/core/philox.hpp>

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi: compiled with -ffast-math
// flags: -ffast-math
#include <dashi/core/float_types.hpp>

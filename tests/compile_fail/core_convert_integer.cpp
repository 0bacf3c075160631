// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::convert: both types must have a FloatFormat
#include <dashi/core/float_convert.hpp>

auto const half = dashi::convert<dashi::Float16>(1);

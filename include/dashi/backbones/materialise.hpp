// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

namespace dashi {

/// When weights of tailor groups are made dense.
enum class Materialise : unsigned char { when_it_pays, always, never };

}  // namespace dashi

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>

namespace dashi::io {

/// What a tensor of an adapter is to its module, whatever a dialect calls it.
enum class AdapterSlot : std::uint8_t {
  down,            ///< LoRA's A
  up,              ///< LoRA's B
  mid,             ///< Tucker core of a LoRA
  embedding_down,  ///< of a table's LoRA
  embedding_up,
  w1,  ///< LoKr's first factor, or its two halves
  w1_a,
  w1_b,
  w2,
  w2_a,
  w2_b,
  t2,          ///< Tucker core of the second factor
  krona_down,  ///< DiffuseKronA as published, [a2, a1]
  krona_up,    ///< [b1, b2]
  alpha,
  scale,      ///< the effective scale itself
  magnitude,  ///< DoRA
  bias,       ///< trained
  bias_difference,
  difference,   ///< of the whole weight
  gamma,        ///< DiffFit
  replacement,  ///< of the whole weight
};

}  // namespace dashi::io

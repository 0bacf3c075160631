// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/tensor.hpp>

namespace dashi::backends::portable {

/// Copies `count` vectors of length `depth` into panels of Width vectors, [panel][depth][Width],
/// the last one filled up with zeros. Element d of vector v is at x[v * vector_stride + d * step];
/// one of the two strides is 1.
template <int Width, class Acc, class In>
inline void pack_panels(In const* x, Index vector_stride, Index step, Index count, Index depth,
                        Acc* out) {
  for (Index v0 = 0; v0 < count; v0 += Width) {
    Index const width = count - v0 < Width ? count - v0 : Width;
    In const* const from = x + v0 * vector_stride;
    if (width < Width) {
      for (Index at = 0; at < depth * Width; ++at) {
        out[at] = Acc{};
      }
      for (Index v = 0; v < width; ++v) {
        for (Index d = 0; d < depth; ++d) {
          out[d * Width + v] = convert<Acc>(from[v * vector_stride + d * step]);
        }
      }
    } else if (vector_stride == 1) {
      for (Index d = 0; d < depth; ++d) {
        In const* const line = from + d * step;
        for (int v = 0; v < Width; ++v) {
          out[d * Width + v] = convert<Acc>(line[v]);
        }
      }
    } else {
      for (Index d = 0; d < depth; ++d) {
        for (int v = 0; v < Width; ++v) {
          out[d * Width + v] = convert<Acc>(from[v * vector_stride + d]);
        }
      }
    }
    out += depth * Width;
  }
}

}  // namespace dashi::backends::portable

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: VectorView: the view must have rank 1 and stride 1
#include <dashi/core/concepts.hpp>

using Strided = Kokkos::View<float*, Kokkos::LayoutStride, Kokkos::Serial>;
static_assert(dashi::require_vector_view<Strided>());

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MatrixView: the view must have rank 2 and be row-major
#include <dashi/core/concepts.hpp>

using Columns = Kokkos::View<float**, Kokkos::LayoutLeft, Kokkos::Serial>;
static_assert(dashi::require_matrix_view<Columns>());

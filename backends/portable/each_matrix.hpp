// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "row_team.hpp"

#include <Kokkos_Core.hpp>

namespace dashi::backends::portable {

/// A kernel on rows of one matrix, for all matrices of a batch: kernel.of(k) is that of matrix k.
/// Those that are done, if any can be, are left out.
template <class Kernel>
struct EachMatrix {
  Kernel kernel;
  Index rows;       ///< a matrix
  int const* done;  ///< [matrices]; null: none

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index at) const {
    Index const matrix = at / rows;
    if (done == nullptr || done[matrix] == 0) {
      kernel.of(matrix)(team, at % rows);
    }
  }
};

/// As for_each_row, on `rows` rows of each of `matrices` matrices.
template <class Exec, class Kernel>
void for_each_row_of_each(char const* label, Exec const& exec, Index matrices, Index rows,
                          Index work, Kernel const& kernel, int const* done = nullptr) {
  if (rows > 0) {
    for_each_row(label, exec, matrices * rows, work, EachMatrix<Kernel>{kernel, rows, done});
  }
}

}  // namespace dashi::backends::portable

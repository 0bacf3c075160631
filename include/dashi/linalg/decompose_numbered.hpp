// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/linalg/factor_call.hpp>

#include <string>

namespace dashi::linalg {

/// Calls decompose(); what it throws then says which matrix of a batch it was. For backends.
template <class T, class Decompose>
void decompose_numbered(SvdCall<T> const& call, Decompose const& decompose) {
  auto const numbered = [&](Diagnosis diagnosis) {
    if (call.number >= 0) {
      diagnosis.place += ", matrix " + std::to_string(call.number);
    }
    return diagnosis;
  };
  try {
    decompose();
  } catch (ConvergenceError const& error) {
    throw ConvergenceError(numbered(error.diagnosis()));
  } catch (VendorError const& error) {
    throw VendorError(numbered(error.diagnosis()));
  }
}

}  // namespace dashi::linalg

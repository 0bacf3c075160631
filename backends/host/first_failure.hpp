// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <exception>
#include <mutex>

namespace dashi::backends::host {

/// Carries an exception out of a parallel loop, which none may leave: that of the smallest index,
/// whatever thread met it first.
class FirstFailure {
public:
  template <class Body>
  void guard(Index index, Body const& body) noexcept {
    try {
      body();
    } catch (...) {
      std::lock_guard const lock(mutex_);
      if (!failure_ || index < index_) {
        failure_ = std::current_exception();
        index_ = index;
      }
    }
  }

  /// After the loop: throws what guard() kept, if anything.
  void rethrow() const {
    if (failure_) {
      std::rethrow_exception(failure_);
    }
  }

private:
  std::mutex mutex_;
  std::exception_ptr failure_;
  Index index_ = 0;
};

}  // namespace dashi::backends::host

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/floating_environment.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace dashi {

namespace detail {

/// Sets the floating-point control of every thread of the host's pool; returns what was found
/// there. With one index a thread and a static schedule, index i is always the same thread.
inline std::vector<FloatingControl> exchange_pool_control(std::vector<FloatingControl> wanted) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  FloatingControl* const control = wanted.data();
  Kokkos::parallel_for(
      "dashi::ScopeGuard",
      Kokkos::RangePolicy<Host, Kokkos::Schedule<Kokkos::Static>>(0, wanted.size()),
      [control](std::size_t i) {
        FloatingControl const found = read_floating_control();
        write_floating_control(control[i]);
        control[i] = found;
      });
  Host().fence("dashi::ScopeGuard");
  return wanted;
}

}  // namespace detail

/// Makes the process ready for dashi: initialises Kokkos, unless somebody has, and finalises it in
/// that case only; sets IEEE rounding and subnormals on this thread and the host's pool, and puts
/// back what it found. Guards may be nested. Make one in main, before any context or view.
class ScopeGuard {
public:
  /// Takes Kokkos' own options (--kokkos-...) out of argc and argv.
  ScopeGuard(int& argc, char* argv[]) : owns_(must_initialise()) {
    if (owns_) {
      Kokkos::initialize(argc, argv);
    }
    adopt_pool();
  }

  explicit ScopeGuard(
      Kokkos::InitializationSettings const& settings = Kokkos::InitializationSettings())
      : owns_(must_initialise()) {
    if (owns_) {
      Kokkos::initialize(settings);
    }
    adopt_pool();
  }

  ~ScopeGuard() {
    if (Kokkos::is_initialized()) {
      if (!pool_ieee_) {
        detail::exchange_pool_control(pool_);
      }
      if (owns_) {
        Kokkos::finalize();
      }
    }
  }

  ScopeGuard(ScopeGuard const&) = delete;
  ScopeGuard& operator=(ScopeGuard const&) = delete;

  bool initialised_kokkos() const noexcept { return owns_; }
  /// False when another library had switched rounding or subnormals.
  bool found_ieee() const noexcept { return environment_.found_ieee() && pool_ieee_; }

private:
  static bool must_initialise() {
    DASHI_EXPECTS(!Kokkos::is_finalized(),
                  "Kokkos was finalised and cannot start again in this process");
    return !Kokkos::is_initialized();
  }

  void adopt_pool() {
    auto const threads =
        static_cast<std::size_t>(Kokkos::DefaultHostExecutionSpace().concurrency());
    pool_ = detail::exchange_pool_control(
        std::vector<detail::FloatingControl>(threads, detail::ieee_floating_control));
    pool_ieee_ = std::all_of(pool_.begin(), pool_.end(), [](detail::FloatingControl control) {
      return control == detail::ieee_floating_control;
    });
  }

  FloatingEnvironment environment_;  // first: threads that Kokkos starts inherit it
  bool owns_;
  bool pool_ieee_ = true;
  std::vector<detail::FloatingControl> pool_;
};

}  // namespace dashi

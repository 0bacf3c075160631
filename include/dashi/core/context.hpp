// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/attachments.hpp>
#include <dashi/core/concepts.hpp>
#include <dashi/core/provider.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace dashi {

/// Where work runs: an execution-space instance, a scratch arena and what libraries keep for it.
/// First argument of everything that launches; passed by reference. Work on one context runs in
/// order, contexts with different instances are independent. One thread at a time may use a
/// context.
template <class Exec = Kokkos::DefaultExecutionSpace, class Provider = DefaultProviderOf<Exec>>
class Context {
  static_assert(
      ExecutionSpace<Exec>,
      "Context: the first argument must be a Kokkos execution space, such as "
      "Kokkos::DefaultExecutionSpace, Kokkos::OpenMP or Kokkos::Serial; a memory space or a "
      "Kokkos::Device is not one");

public:
  using execution_space = Exec;
  using memory_space = typename Exec::memory_space;
  using provider = Provider;

  /// On the default instance; Kokkos must be initialised (ScopeGuard).
  Context() : Context(default_instance()) {}
  explicit Context(Exec exec) : exec_(std::move(exec)) {}
  Context(Context&&) = default;
  Context& operator=(Context&&) = default;
  Context(Context const&) = delete;
  Context& operator=(Context const&) = delete;

  Exec const& exec() const noexcept { return exec_; }

  /// Temporary memory; take it within a Frame. Empty until reserve_scratch.
  Arena& scratch() noexcept { return scratch_; }

  /// Makes room for at least `bytes`; keeps a larger arena. Nothing may be taken from it at that
  /// time. Fences when it has to grow.
  void reserve_scratch(std::size_t bytes) {
    if (!scratch_.measuring() && bytes <= scratch_.capacity()) {
      return;
    }
    DASHI_EXPECTS(scratch_.used() == 0, "scratch memory cannot grow while some of it is in use");
    DASHI_EXPECTS(bytes <= SIZE_MAX - Arena::alignment, "scratch size overflows");
    fence("dashi::Context::reserve_scratch");
    memory_ = {};
    scratch_ = Arena(nothing_, 0);
    memory_ = Memory(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::scratch"),
                     bytes + Arena::alignment);
    auto const misaligned = reinterpret_cast<std::uintptr_t>(memory_.data()) % Arena::alignment;
    scratch_ = Arena(memory_.data() + (Arena::alignment - misaligned) % Arena::alignment, bytes);
  }

  /// What a provider keeps between calls on this context: handles bound to its instance, plans,
  /// work memory. Freed with the context.
  Attachments& attachments() noexcept { return attachments_; }

  /// Waits for all work given to this context.
  void fence(std::string const& label = "dashi::Context::fence") const { exec_.fence(label); }

private:
  using Memory = Kokkos::View<std::byte*, memory_space>;

  static Exec default_instance() {
    DASHI_EXPECTS(Kokkos::is_initialized(),
                  "Kokkos is not initialised: make a dashi::ScopeGuard first in main");
    return Exec();
  }

  Exec exec_;
  Memory memory_;
  // An arena over no memory: taking from it says how much is needed, where a measuring one would
  // hand out null views.
  alignas(Arena::alignment) static inline std::byte nothing_[1] = {};
  Arena scratch_{nothing_, 0};
  Attachments attachments_;
};

}  // namespace dashi

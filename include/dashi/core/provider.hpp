// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#if __has_include(<dashi/config.hpp>)
#include <dashi/config.hpp>  // generated: DASHI_BACKEND_NAME, DASHI_HOST_ENABLED, DefaultProvider
#endif

#include <Kokkos_Core.hpp>

#include <type_traits>

namespace dashi {

/// Who does dense linear algebra. Providers of vendors are declared beside their code.
namespace provider {

struct Portable {
  static constexpr char const* name = "portable";
};

struct Host {
  static constexpr char const* name = "host";
};

}  // namespace provider

#if !defined(DASHI_BACKEND_NAME)
#define DASHI_BACKEND_NAME "portable"
/// Provider of the default execution space, chosen when the build was configured.
using DefaultProvider = provider::Portable;
#endif

/// A host space beside a device as the default one has the host's provider, or the portable one in
/// builds that leave the host's out (-DDASHI_BACKEND=portable).
#if defined(DASHI_HOST_ENABLED)
using DefaultHostProvider = provider::Host;
#else
using DefaultHostProvider = provider::Portable;
#endif

/// Provider of a context that names none.
template <class Exec>
using DefaultProviderOf = std::conditional_t<
    std::is_same_v<Exec, Kokkos::DefaultExecutionSpace> ||
        std::is_same_v<Kokkos::DefaultExecutionSpace, Kokkos::DefaultHostExecutionSpace>,
    DefaultProvider, DefaultHostProvider>;

}  // namespace dashi

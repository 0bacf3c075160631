// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/name_key.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/random_purpose.hpp>

#include <Kokkos_Core.hpp>

namespace dashi {

namespace detail {

template <class T, class Exec>
void fill_random(Exec const& exec, VectorOf<T, Exec> to, Initial initial, Philox random) {
  Kokkos::parallel_for(
      "dashi::initialise",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0,
                                                          static_cast<Index>(to.extent(0))),
      KOKKOS_LAMBDA(Index i) {
        auto const at = static_cast<std::uint64_t>(i);
        double value = initial.a;
        if (initial.kind == Initial::Kind::uniform) {
          value *= 2.0 * random.uniform<double>(at) - 1.0;
        } else if (initial.kind == Initial::Kind::normal) {
          value *= random.normal<double>(at);
        }
        to(i) = convert<T>(value);
      });
}

}  // namespace detail

/// Draws every parameter of the list from its distribution; buffers keep what they hold. The
/// numbers depend on seed and name alone, in double, rounded once to the value and once to the
/// master. Asynchronous.
template <Precision P, class Exec, class Provider>
void initialise(Context<Exec, Provider>& ctx, ParameterList<P, Exec> const& list,
                std::uint64_t seed) {
  for (auto const& entry : list) {
    if (entry.kind == ParameterKind::buffer) {
      continue;
    }
    Philox const random(seed ^ name_key(entry.name), {random_purpose::initialisation, 0, 0});
    detail::fill_random<typename P::storage>(ctx.exec(), entry.parameter.vector(), entry.initial,
                                             random);
    if constexpr (Parameter<P, Exec>::has_own_master) {
      if (entry.parameter.trained()) {
        detail::fill_random<typename P::master>(ctx.exec(), entry.parameter.master(), entry.initial,
                                                random);
      }
    }
  }
}

}  // namespace dashi

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/tensor.hpp>

#include <concepts>
#include <cstdint>

namespace dashi::diffusion {

/// A network that predicts noise, as samplers and probes call it:
///
///     void operator()(Context<Exec, Provider>&, MatrixOf<T const, Exec> x,
///                     VectorOf<double const, Exec> t, VectorOf<std::int64_t const, Exec> labels,
///                     MatrixOf<T, Exec> out)
///
/// x [rows, size]; t [rows], steps of the process that it was trained with; labels [rows], rows of
/// its table of classes; out [rows, size or 2 size], dense. Launches on the context.
template <class D, class T, class Exec = Kokkos::DefaultExecutionSpace,
          class Provider = DefaultProviderOf<Exec>>
concept Denoiser = std::invocable < D&,
        Context<Exec, Provider>
&, MatrixOf<T const, Exec>, VectorOf<double const, Exec>, VectorOf<std::int64_t const, Exec>,
    MatrixOf < T, Exec >>
    ;

/// Says in a sentence what keeps D from being a Denoiser.
template <class D, class T, class Exec = Kokkos::DefaultExecutionSpace,
          class Provider = DefaultProviderOf<Exec>>
consteval bool require_denoiser() {
  static_assert(Denoiser<D, T, Exec, Provider>,
                "Denoiser: the network must be callable as void(dashi::Context<Exec, Provider>&, "
                "MatrixOf<T const, Exec> x, VectorOf<double const, Exec> t, "
                "VectorOf<std::int64_t const, Exec> labels, MatrixOf<T, Exec> out); wrap its "
                "forward function in a lambda of this form");
  return true;
}

}  // namespace dashi::diffusion

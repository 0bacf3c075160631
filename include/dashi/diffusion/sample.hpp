// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/diffusion/denoiser.hpp>
#include <dashi/diffusion/guidance.hpp>
#include <dashi/diffusion/philox_noise.hpp>
#include <dashi/diffusion/predict_x0.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/diffusion/sample_workspace.hpp>
#include <dashi/diffusion/sampler.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <string>

namespace dashi::diffusion {

/// What to sample.
template <class Exec>
struct SampleRequest {
  VectorOf<std::int64_t const, Exec> labels;  ///< [samples], the class of each
  std::int64_t null_label = 0;                ///< stands for no class; read with guidance on only
  Guidance guidance;
  std::uint64_t seed = 0;
  std::uint32_t first_sample = 0;  ///< number of sample 0: decides its noise
};

/// Watches nothing.
struct NoObserver {
  template <class Matrix>
  void operator()(Index, Matrix const&, Matrix const&) const {}
};

namespace detail {

template <class Real, class T>
struct FillInput {
  kernels::Rows<Real const> x;
  kernels::Rows<T> input;
  KOKKOS_FORCEINLINE_FUNCTION void element(Index n, Index i) const {
    input.row(n)[i] = convert<T>(x.row(n < x.rows ? n : n - x.rows)[i]);
  }
};

struct FillLabels {
  std::int64_t const* labels;
  std::int64_t null_label;
  Index samples;
  std::int64_t* out;
  KOKKOS_FORCEINLINE_FUNCTION void element(Index n, Index) const {
    out[n] = n < samples ? labels[n] : null_label;
  }
};

template <class T, class Exec, class Real>
void expect_consistent(SampleRequest<Exec> const& request, SampleWorkspace<T, Exec> const& w,
                       MatrixOf<Real, Exec> const& x) {
  DASHI_EXPECTS(w.shape.guided == request.guidance.on(),
                "sample: make the workspace with shape.guided = guidance.on()");
  kernels::detail::expect_size(request.labels.extent(0), "labels of sample", w.shape.samples);
  kernels::detail::expect_extents(kernels::RowsOf<Real, Exec>(x), "x of sample", w.shape.samples,
                                  w.shape.size());
}

}  // namespace detail

/// Samples images: x [samples, size] becomes x_0, from noise, through all steps of `process`
/// (process.respaced(sampler.spacing()), or another spacing of as many), the last one first. The
/// state is kept in float (double for networks in double) whatever the network's storage type T.
///
/// `noise` has initial(ctx, out) and at_step(ctx, step, out), as PhiloxNoise: give recorded noise
/// here. observer(step, x, predicted_x0) is called after each step with views of rank 2 that the
/// next step overwrites, before the work that fills them is done. Asynchronous where the denoiser
/// is; allocates nothing.
template <class T, class Exec, class Provider, class Net, class S, class Noise, class Observer>
void sample_with(Context<Exec, Provider>& ctx, Net&& denoiser, S const& sampler,
                 Process const& process, SampleRequest<Exec> const& request,
                 SampleWorkspace<T, Exec> const& workspace,
                 MatrixOf<typename SampleWorkspace<T, Exec>::Real, Exec> x, Noise const& noise,
                 Observer&& observer) {
  using Real = typename SampleWorkspace<T, Exec>::Real;
  static_assert(require_sampler<S, Real, Exec, Provider>());
  static_assert(require_denoiser<Net, T, Exec, Provider>());
  detail::expect_consistent(request, workspace, x);
  DASHI_EXPECTS(process.steps() == sampler.spacing().count(),
                "sample: the process has " + std::to_string(process.steps()) +
                    " steps, the sampler visits " + std::to_string(sampler.spacing().count()) +
                    "; pass process.respaced(sampler.spacing())");
  SampleShape const& shape = workspace.shape;
  detail::for_each_element("dashi::diffusion::sample", ctx.exec(), shape.rows(), Index{1},
                           detail::FillLabels{request.labels.data(), request.null_label,
                                              shape.samples, workspace.labels.data()});
  noise.initial(ctx, x);
  for (Index step = process.steps() - 1; step >= 0; --step) {
    detail::for_each_element("dashi::diffusion::sample", ctx.exec(), shape.rows(), shape.size(),
                             detail::FillInput<Real, T>{kernels::RowsOf<Real const, Exec>(x),
                                                        kernels::RowsOf<T, Exec>(workspace.input)});
    Kokkos::deep_copy(ctx.exec(), workspace.t, static_cast<double>(process.timestep(step)));
    denoiser(ctx, MatrixOf<T const, Exec>(workspace.input),
             VectorOf<double const, Exec>(workspace.t),
             VectorOf<std::int64_t const, Exec>(workspace.labels), workspace.output);
    guide(ctx, request.guidance, shape.channels, shape.pixels, workspace.output, workspace.guided);
    if (sampler.draws_noise() && step > 0) {
      noise.at_step(ctx, step, workspace.noise);
    }
    sampler.step(ctx, SamplerStep<Real, Exec>{process, step, workspace.guided, workspace.noise, x,
                                              workspace.predicted_x0});
    observer(step, MatrixOf<Real const, Exec>(x),
             MatrixOf<Real const, Exec>(workspace.predicted_x0));
  }
}

/// The same with the noise of request.seed: sample n is the same in any batch.
template <class T, class Exec, class Provider, class Net, class S, class Observer = NoObserver>
void sample(Context<Exec, Provider>& ctx, Net&& denoiser, S const& sampler, Process const& process,
            SampleRequest<Exec> const& request, SampleWorkspace<T, Exec> const& workspace,
            MatrixOf<typename SampleWorkspace<T, Exec>::Real, Exec> x, Observer&& observer = {}) {
  sample_with(ctx, denoiser, sampler, process, request, workspace, x,
              PhiloxNoise{request.seed, request.first_sample}, observer);
}

}  // namespace dashi::diffusion

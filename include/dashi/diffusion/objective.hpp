// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/diffusion/objective_rows.hpp>
#include <dashi/diffusion/objective_teams.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/enabled_backends.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace dashi::diffusion {

struct ObjectiveOptions {
  /// The output's second half is v, the place of log sigma^2 between log of the posterior variance
  /// (-1) and log beta (1); false: the output is the noise alone.
  bool learned_range = true;
  Weighting weighting;
};

/// A number for each sample. loss = weighting * mse + vb: mse is the mean squared error of the
/// predicted noise, without its weighting; vb the variational term in bits per dimension, 0 without
/// learned_range.
template <class Exec>
struct Losses {
  VectorOf<double, Exec> loss, mse, vb;  ///< [samples]
};

namespace detail {

/// What both objectives ask for; `who` is for messages.
template <class T, class X>
void expect_consistent(ObjectiveArguments<T, X> const& a, std::size_t losses, std::size_t weights,
                       std::string const& who) {
  Index const samples = a.output.rows;
  kernels::detail::expect_extents(a.output, ("model_output of " + who).c_str(), samples,
                                  a.learned_range ? 2 * a.target.cols : a.target.cols);
  kernels::detail::expect_extents(a.target, ("target of " + who).c_str(), samples, a.target.cols);
  kernels::detail::expect_size(losses, ("loss of " + who).c_str(), samples);
  if (a.wants_gradient()) {
    kernels::detail::expect_extents(a.d_output, ("d_output of " + who).c_str(), samples,
                                    a.output.cols);
    kernels::detail::expect_size(weights, ("sample_weight of " + who).c_str(), samples);
  }
}

template <class Exec, class T, class X>
void objective(Exec const& exec, ObjectiveArguments<T, X> const& a) {
  if constexpr (kernels::runs_on_host<Exec>) {
    objective_by_rows(exec, a);
  } else {
    objective_by_teams(exec, a);
  }
}

}  // namespace detail

/// DiT's loss of each sample and the gradient of sum_n sample_weight[n] loss[n].
///
/// mse = mean (noise - predicted noise)^2; with a learned range also the variational term: KL(q ||
/// p) of the step, at step 0 the likelihood of x_0 among 256 levels, with the predicted noise held
/// fixed in it, so that it moves v only (Nichol and Dhariwal, arXiv 2102.09672, section 3.1). x_t
/// is not asked for: it is q_sample of x0 and noise.
///
/// model_output, d_output [samples, 2 size] (or size without learned_range), of one type; d_output
/// empty (default-constructed) for no gradient. x0, noise [samples, size], of one type; t
/// [samples]: a step that the process lacks gives NaN. Reads each array once, sums in a fixed
/// order. Asynchronous; no scratch.
template <class Exec, class Provider, class Output, class X0, class Noise>
void denoising_loss(Context<Exec, Provider>& ctx, Process const& process,
                    ObjectiveOptions const& options, Output const& model_output, X0 const& x0,
                    Noise const& noise, VectorOf<std::int64_t const, Exec> t,
                    VectorOf<double const, Exec> sample_weight, Losses<Exec> const& losses,
                    kernels::RowsOf<typename Output::non_const_value_type, Exec> const& d_output) {
  using T = typename Output::non_const_value_type;
  using X = typename X0::non_const_value_type;
  static_assert(std::is_same_v<X, typename Noise::non_const_value_type>,
                "dashi::diffusion::denoising_loss: x0 and noise must have the same element type");
  kernels::RowsOf<T const, Exec> const output(model_output);
  kernels::RowsOf<X const, Exec> const image(x0);
  kernels::RowsOf<X const, Exec> const target(noise);
  Index const samples = output.rows;
  detail::ObjectiveArguments<T, X> const a{process.view<Exec>(),
                                           t.data(),
                                           options.weighting,
                                           options.learned_range,
                                           output,
                                           target,
                                           image,
                                           sample_weight.data(),
                                           losses.loss.data(),
                                           losses.mse.data(),
                                           losses.vb.data(),
                                           d_output};
  detail::expect_consistent(a, losses.loss.extent(0), sample_weight.extent(0), "denoising_loss");
  kernels::detail::expect_extents(image, "x0 of denoising_loss", samples, target.cols);
  kernels::detail::expect_size(t.extent(0), "t of denoising_loss", samples);
  kernels::detail::expect_size(losses.mse.extent(0), "mse of denoising_loss", samples);
  kernels::detail::expect_size(losses.vb.extent(0), "vb of denoising_loss", samples);
  detail::objective(ctx.exec(), a);
}

/// loss[n] = mean squared difference between the whole outputs of a model and of its frozen
/// teacher, and the gradient of sum_n sample_weight[n] loss[n]: Diff-Tuning's alternative for the
/// source half of a batch (arXiv 2406.00773), without variational term. model_output,
/// teacher_output, d_output (empty for none) [samples, any]; loss [samples]. Asynchronous.
template <class Exec, class Provider, class Output, class Teacher>
void distillation_loss(
    Context<Exec, Provider>& ctx, Output const& model_output, Teacher const& teacher_output,
    VectorOf<double const, Exec> sample_weight, VectorOf<double, Exec> loss,
    kernels::RowsOf<typename Output::non_const_value_type, Exec> const& d_output) {
  using T = typename Output::non_const_value_type;
  using X = typename Teacher::non_const_value_type;
  kernels::RowsOf<T const, Exec> const output(model_output);
  kernels::RowsOf<X const, Exec> const target(teacher_output);
  detail::ObjectiveArguments<T, X> const a{{},          nullptr, {},      false,
                                           output,      target,  {},      sample_weight.data(),
                                           loss.data(), nullptr, nullptr, d_output};
  detail::expect_consistent(a, loss.extent(0), sample_weight.extent(0), "distillation_loss");
  detail::objective(ctx.exec(), a);
}

}  // namespace dashi::diffusion

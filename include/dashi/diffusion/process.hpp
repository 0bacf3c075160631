// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/linear_schedule.hpp>
#include <dashi/diffusion/noise_schedule.hpp>
#include <dashi/diffusion/process_view.hpp>
#include <dashi/diffusion/spacing.hpp>

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace dashi::diffusion {

/// A Gaussian diffusion process: q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I) for steps t = 0
/// .. steps() - 1 (Ho et al., arXiv 2006.11239), its coefficients in double, on the host and in the
/// memory of the default execution space. Copies share the tables. Needs Kokkos initialised.
class Process {
public:
  Process() : Process(LinearSchedule{}) {}

  /// The schedule's betas must lie in (0, 1).
  template <class Schedule>
    requires(!std::is_same_v<Schedule, Process>)
  explicit Process(Schedule const& schedule, Index steps = 1000) {
    static_assert(require_noise_schedule<Schedule>());
    DASHI_EXPECTS(steps > 0, "a process needs at least one step");
    std::vector<double> const betas = schedule.betas(steps);
    DASHI_EXPECTS(static_cast<Index>(betas.size()) == steps,
                  "the schedule gave " + std::to_string(betas.size()) + " betas for " +
                      std::to_string(steps) + " steps");
    std::vector<double> timesteps(betas.size());
    for (std::size_t i = 0; i < timesteps.size(); ++i) {
      timesteps[i] = static_cast<double>(i);
    }
    fill(betas, timesteps);
  }

  /// The process that visits some of the steps only, with betas that keep abar at each of them
  /// (Nichol and Dhariwal, arXiv 2102.09672, section 4). Its timestep() stays that of training.
  Process respaced(Spacing const& spacing) const {
    std::vector<double> betas;
    std::vector<double> timesteps;
    double before = 1.0;
    for (Index const step : spacing.steps(steps())) {
      betas.push_back(1.0 - alpha_cumprod(step) / before);
      timesteps.push_back(at(Coefficient::timestep, step));
      before = alpha_cumprod(step);
    }
    return Process(betas, timesteps);
  }

  Index steps() const noexcept { return static_cast<Index>(host_.extent(1)); }

  /// 0 <= step < steps().
  double at(Coefficient which, Index step) const {
    DASHI_EXPECTS(
        step >= 0 && step < steps(),
        "step " + std::to_string(step) + " of a process of " + std::to_string(steps()) + " steps");
    return host_(static_cast<std::size_t>(which), static_cast<std::size_t>(step));
  }
  double beta(Index step) const { return at(Coefficient::beta, step); }
  double alpha_cumprod(Index step) const { return at(Coefficient::alpha_cumprod, step); }
  /// Signal-to-noise ratio, abar / (1 - abar).
  double snr(Index step) const { return alpha_cumprod(step) / (1.0 - alpha_cumprod(step)); }
  /// What the network is told at this step: the step's index before respacing.
  Index timestep(Index step) const { return static_cast<Index>(at(Coefficient::timestep, step)); }

  /// One coefficient of all steps, on the host.
  std::span<double const> table(Coefficient which) const {
    return {&host_(static_cast<std::size_t>(which), 0), host_.extent(1)};
  }

  /// For kernels on Exec; valid while a copy of this process lives.
  template <ExecutionSpace Exec>
  ProcessView view() const {
    if constexpr (AccessibleFrom<HostTable, Exec>) {
      return {host_.data(), steps()};
    } else {
      static_assert(AccessibleFrom<Table, Exec>,
                    "Process: kernels run on the host or on Kokkos' default execution space");
      return {device_.data(), steps()};
    }
  }

private:
  using Table =
      Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace::memory_space>;
  using HostTable = typename Table::HostMirror;

  Process(std::vector<double> const& betas, std::vector<double> const& timesteps) {
    fill(betas, timesteps);
  }

  void fill(std::vector<double> const& betas, std::vector<double> const& timesteps) {
    device_ =
        Table("dashi::diffusion::Process", static_cast<std::size_t>(coefficients), betas.size());
    host_ = Kokkos::create_mirror_view(device_);
    auto const set = [&](Coefficient which, std::size_t step, double value) {
      host_(static_cast<std::size_t>(which), step) = value;
    };
    double product = 1.0;
    for (std::size_t i = 0; i < betas.size(); ++i) {
      double const beta = betas[i];
      DASHI_EXPECTS(beta > 0.0 && beta < 1.0, "beta of step " + std::to_string(i) + " is " +
                                                  std::to_string(beta) + ", outside (0, 1)");
      double const before = product;
      product *= 1.0 - beta;
      double const variance = beta * (1.0 - before) / (1.0 - product);
      set(Coefficient::beta, i, beta);
      set(Coefficient::log_beta, i, std::log(beta));
      set(Coefficient::timestep, i, timesteps[i]);
      set(Coefficient::alpha_cumprod, i, product);
      set(Coefficient::alpha_cumprod_prev, i, before);
      set(Coefficient::alpha_cumprod_next, i, 0.0);
      if (i > 0) {
        set(Coefficient::alpha_cumprod_next, i - 1, product);
      }
      set(Coefficient::sqrt_alpha_cumprod, i, std::sqrt(product));
      set(Coefficient::sqrt_one_minus_alpha_cumprod, i, std::sqrt(1.0 - product));
      set(Coefficient::sqrt_recip_alpha_cumprod, i, std::sqrt(1.0 / product));
      set(Coefficient::sqrt_recipm1_alpha_cumprod, i, std::sqrt(1.0 / product - 1.0));
      set(Coefficient::posterior_variance, i, variance);
      set(Coefficient::posterior_log_variance_clipped, i,
          i > 0 ? std::log(variance) : std::log(beta));
      if (i == 1) {
        set(Coefficient::posterior_log_variance_clipped, 0, std::log(variance));
      }
      set(Coefficient::posterior_mean_x0, i, beta * std::sqrt(before) / (1.0 - product));
      set(Coefficient::posterior_mean_xt, i,
          (1.0 - before) * std::sqrt(1.0 - beta) / (1.0 - product));
    }
    Kokkos::deep_copy(device_, host_);
  }

  Table device_;
  HostTable host_;
};

}  // namespace dashi::diffusion

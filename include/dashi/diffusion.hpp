// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Diffusion processes, objectives, timestep policies and samplers; no backbone.
#include <dashi/diffusion/backbone_concept.hpp>
#include <dashi/diffusion/backbone_denoiser.hpp>
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/diffusion/cosine_schedule.hpp>
#include <dashi/diffusion/ddim.hpp>
#include <dashi/diffusion/ddpm.hpp>
#include <dashi/diffusion/denoiser.hpp>
#include <dashi/diffusion/guidance.hpp>
#include <dashi/diffusion/linear_schedule.hpp>
#include <dashi/diffusion/noise.hpp>
#include <dashi/diffusion/noise_schedule.hpp>
#include <dashi/diffusion/numbered_noise.hpp>
#include <dashi/diffusion/objective.hpp>
#include <dashi/diffusion/philox_noise.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/diffusion/process_view.hpp>
#include <dashi/diffusion/q_sample.hpp>
#include <dashi/diffusion/reconstruction_probe.hpp>
#include <dashi/diffusion/sample.hpp>
#include <dashi/diffusion/sample_workspace.hpp>
#include <dashi/diffusion/sampler.hpp>
#include <dashi/diffusion/spacing.hpp>
#include <dashi/diffusion/timestep_distribution.hpp>
#include <dashi/diffusion/timestep_policy.hpp>
#include <dashi/diffusion/uniform_steps.hpp>
#include <dashi/diffusion/weighting.hpp>

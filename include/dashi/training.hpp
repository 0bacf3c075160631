// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/training/data_order.hpp>
#include <dashi/training/data_set_concept.hpp>
#include <dashi/training/fit.hpp>
#include <dashi/training/image_sampler.hpp>
#include <dashi/training/metrics_log.hpp>
#include <dashi/training/state_folder.hpp>
#include <dashi/training/trainer.hpp>
#include <dashi/training/training_state.hpp>
#include <dashi/training/validation.hpp>

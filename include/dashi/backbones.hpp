// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/additive_dit.hpp>
#include <dashi/backbones/class_gated_dit.hpp>
#include <dashi/backbones/dit.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/factorised_dit.hpp>
#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/backbones/factorised_weights.hpp>
#include <dashi/backbones/linear.hpp>
#include <dashi/backbones/linear_root.hpp>

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/additive_dit.hpp>
#include <dashi/backbones/dit.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/linear.hpp>

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// The whole library. Each module also has a header of its own.
#include <dashi/adapters.hpp>
#include <dashi/backbones.hpp>
#include <dashi/core.hpp>
#include <dashi/diffusion.hpp>
#include <dashi/linalg.hpp>
#include <dashi/merging.hpp>
#include <dashi/training.hpp>

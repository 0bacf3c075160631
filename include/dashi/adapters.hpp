// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/kronecker_factor.hpp>
#include <dashi/adapters/linear_input.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/low_rank_magnitude.hpp>
#include <dashi/adapters/merging.hpp>
#include <dashi/adapters/one_of.hpp>
#include <dashi/adapters/placement.hpp>
#include <dashi/adapters/role.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/several.hpp>
#include <dashi/adapters/shared_svd.hpp>
#include <dashi/adapters/stack.hpp>
#include <dashi/adapters/svd_components.hpp>

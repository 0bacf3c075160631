// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/linear_input.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>
#include <dashi/adapters/role.hpp>
#include <dashi/adapters/stack.hpp>

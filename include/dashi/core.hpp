// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/attachments.hpp>
#include <dashi/core/checked_multiply.hpp>
#include <dashi/core/concepts.hpp>
#include <dashi/core/configuration.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/exit_status.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/core/instruction_sets.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/precision.hpp>
#include <dashi/core/provider.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/core/sincos_position.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/core/version.hpp>

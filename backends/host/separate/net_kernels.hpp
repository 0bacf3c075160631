// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

// Every kernel that backends/host/separate_net_kernels.hpp lists.
#include <dashi/kernels/activation_functions.hpp>
#include <dashi/kernels/activation_kernels.hpp>
#include <dashi/kernels/adamw_kernel.hpp>
#include <dashi/kernels/add_rows.hpp>
#include <dashi/kernels/attention_adjoint_tiles.hpp>
#include <dashi/kernels/attention_tiles.hpp>
#include <dashi/kernels/column_scale.hpp>
#include <dashi/kernels/embedding.hpp>
#include <dashi/kernels/kronecker_dot.hpp>
#include <dashi/kernels/kronecker_dots_and_mix.hpp>
#include <dashi/kernels/kronecker_fuse.hpp>
#include <dashi/kernels/kronecker_mix.hpp>
#include <dashi/kernels/layer_norm_modulate_adjoint_rows.hpp>
#include <dashi/kernels/layer_norm_modulate_rows.hpp>
#include <dashi/kernels/patchify.hpp>
#include <dashi/kernels/reduce_sums.hpp>
#include <dashi/kernels/scale_rows.hpp>

#include "../separate_rows.hpp"

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Work on whole checkpoints, streaming within a memory budget: compare, convert, rename, cut anew.
#include <dashi/checkpoints/convert_dit.hpp>
#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/checkpoints/convert_plan.hpp>
#include <dashi/checkpoints/difference.hpp>
#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/dit_conversion.hpp>
#include <dashi/checkpoints/dit_embedders.hpp>
#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/dit_positions.hpp>
#include <dashi/checkpoints/dit_record.hpp>
#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/read_numbers.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/save_dit.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/checkpoints/svd_factorise.hpp>
#include <dashi/checkpoints/svd_factors.hpp>
#include <dashi/checkpoints/svd_load.hpp>
#include <dashi/checkpoints/svd_model.hpp>
#include <dashi/checkpoints/svd_plan.hpp>
#include <dashi/checkpoints/svd_ranks.hpp>
#include <dashi/checkpoints/svd_read.hpp>
#include <dashi/checkpoints/svd_recombine.hpp>
#include <dashi/checkpoints/svd_shared_fit.hpp>
#include <dashi/checkpoints/svd_source.hpp>
#include <dashi/checkpoints/svd_transfer.hpp>
#include <dashi/checkpoints/svd_write.hpp>

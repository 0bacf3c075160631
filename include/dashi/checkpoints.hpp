// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Work on whole checkpoints, streaming within a memory budget: compare, convert, rename, cut anew.
#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/adapter_delta.hpp>
#include <dashi/checkpoints/adapter_digest.hpp>
#include <dashi/checkpoints/adapter_matrix.hpp>
#include <dashi/checkpoints/adapter_product.hpp>
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
#include <dashi/checkpoints/fuse.hpp>
#include <dashi/checkpoints/fuse_bits.hpp>
#include <dashi/checkpoints/fuse_metadata.hpp>
#include <dashi/checkpoints/fuse_pass.hpp>
#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_round.hpp>
#include <dashi/checkpoints/fuse_tensor.hpp>
#include <dashi/checkpoints/fuse_tensors.hpp>
#include <dashi/checkpoints/fuse_undo_file.hpp>
#include <dashi/checkpoints/fuse_undo_record.hpp>
#include <dashi/checkpoints/fuse_undo_writer.hpp>
#include <dashi/checkpoints/fuse_verify.hpp>
#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/save_dit.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/checkpoints/unfuse.hpp>
#include <dashi/checkpoints/unfuse_files.hpp>

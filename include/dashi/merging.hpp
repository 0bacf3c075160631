// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Merging checkpoints: strategies, exact means and soups with a ledger, streaming within a memory
/// budget.
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/concept.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/greedy.hpp>
#include <dashi/merging/key_map.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/mean_stream.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/merge.hpp>
#include <dashi/merging/merge_input.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/ordered_digest.hpp>
#include <dashi/merging/provenance.hpp>
#include <dashi/merging/soup.hpp>
#include <dashi/merging/soup_types.hpp>
#include <dashi/merging/uniform.hpp>
#include <dashi/merging/weighted.hpp>

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/progress.hpp>
#include <dashi/merging/combine_mean.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/publish_plan.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

using MeanPlan = MergePlan;
using MeanResult = MergeResult;

/// Plans the exact weighted mean Σ w_i θ_i / Σ w_i. Throws UsageError and FormatError; reads no
/// tensor data, opens no output. `base`: for OnMissing::keep_base and no other.
inline MeanPlan plan_mean(std::vector<MergeMember> members, MergeOptions const& options = {},
                          std::string method = "linear", std::optional<MergeMember> base = {}) {
  MeanPlan plan =
      plan_merge(std::move(method), std::move(members), std::move(base),
                 options.on_missing == OnMissing::keep_base ? BaseUse::stands_in : BaseUse::none,
                 options, false, false);
  CombineMean{plan};
  return plan;
}

/// Computes the mean of a plan into `sink` and checks the members' digests; see stream_tensors().
inline MeanResult stream_mean(MeanPlan const& plan, TensorSink& sink,
                              io::Progress& progress = io::no_progress()) {
  MeanResult result = stream_tensors(plan, CombineMean(plan), sink, progress);
  expect_sources_unchanged(plan, result.digests);
  return result;
}

/// Writes the mean of a plan: exact, rounded once, the same bytes whatever the order of the
/// members, the workers and the memory budget. One member gives exactly its tensors. Nothing
/// appears under `output` unless everything succeeded.
inline MeanResult publish_mean(MeanPlan const& plan, std::filesystem::path const& output,
                               PublishOptions options = {},
                               io::Progress& progress = io::no_progress()) {
  return publish_plan(plan, CombineMean(plan), output, std::move(options), progress);
}

}  // namespace dashi::merging

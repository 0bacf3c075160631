// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/combine_values.hpp>
#include <dashi/merging/concept.hpp>
#include <dashi/merging/mean_stream.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

namespace detail {

/// What a strategy wants a base for.
inline BaseUse base_use(bool needed, MergeOptions const& options) {
  return needed                                       ? BaseUse::by_strategy
         : options.on_missing == OnMissing::keep_base ? BaseUse::stands_in
                                                      : BaseUse::none;
}

inline void expect_no_rules(std::string_view method, std::span<MergeMember const> members) {
  for (MergeMember const& member : members) {
    if (!member.rules.empty()) {
      throw UsageError({.code = "weight-rules",
                        .file = member.checkpoint->path().string(),
                        .place = "method " + std::string(method),
                        .found = "weights by tensor",
                        .expected = "none with this method",
                        .advice = "merge with the method linear"});
    }
  }
}

/// The members with the weights that a linear strategy gives them.
template <MergeStrategy Strategy>
std::vector<MergeMember> weighed(Strategy const& strategy, std::vector<MergeMember> members) {
  if (!Strategy::traits.by_tensor) {
    expect_no_rules(Strategy::name, members);
  }
  std::vector<DecimalWeight> const weights = strategy.weights(members);
  DASHI_EXPECTS(weights.size() == members.size(), "a linear strategy gives one weight a member");
  for (std::size_t m = 0; m < members.size(); ++m) {
    members[m].weight = weights[m];
  }
  if (Strategy::traits.selects) {
    std::erase_if(members, [](MergeMember const& member) { return member.weight.digits == 0; });
  }
  return members;
}

}  // namespace detail

/// What merge() would do: names, shapes and dtypes matched, work cut, sizes known. A linear
/// strategy is asked for its weights. Reads no tensor data itself.
template <class Strategy>
MergePlan plan_strategy(Strategy const& strategy, std::vector<MergeMember> members,
                        MergeOptions const& options = {}, std::optional<MergeMember> base = {}) {
  static_assert(require_merge_strategy<Strategy>());
  if constexpr (Strategy::traits.form == MergeForm::linear) {
    return plan_mean(detail::weighed(strategy, std::move(members)), options,
                     std::string(Strategy::name), std::move(base));
  } else {
    return plan_merge(std::string(Strategy::name), std::move(members), std::move(base),
                      detail::base_use(Strategy::traits.needs_base, options), options,
                      Strategy::traits.form == MergeForm::tensor, true);
  }
}

/// Makes one checkpoint out of several by `strategy`, streaming: memory stays within the options'
/// budget whatever the sizes, and nothing appears under `output` unless everything succeeded.
///
/// Linear strategies are exact. Others compute in double, from values that double holds exactly,
/// and are rounded once to the output dtype. Tensors of integer and other dtypes are copied when
/// they are equal in all members. Throws UsageError, FormatError and IoError.
template <class Strategy>
MergeResult merge(Strategy const& strategy, std::vector<MergeMember> members,
                  std::filesystem::path const& output, MergeOptions const& options = {},
                  PublishOptions publish = {}, std::optional<MergeMember> base = {},
                  io::Progress& progress = io::no_progress()) {
  MergePlan const plan = plan_strategy(strategy, std::move(members), options, std::move(base));
  if constexpr (Strategy::traits.form == MergeForm::linear) {
    return publish_mean(plan, output, std::move(publish), progress);
  } else {
    return publish_plan(plan, CombineValues<Strategy>(strategy, plan), output, std::move(publish),
                        progress);
  }
}

}  // namespace dashi::merging

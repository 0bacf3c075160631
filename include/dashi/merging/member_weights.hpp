// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/planned_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

namespace dashi::merging {

/// One a member: its weight in some tensors. Nothing: it takes no part in them.
using MemberWeights = std::vector<std::optional<DecimalWeight>>;

/// The first rule whose text the name contains, or as many as there are.
inline std::size_t rule_for(MergeMember const& member, std::string_view tensor) {
  auto const at =
      std::find_if(member.rules.begin(), member.rules.end(),
                   [&](WeightRule const& rule) { return tensor.find(rule.filter) != tensor.npos; });
  return static_cast<std::size_t>(at - member.rules.begin());
}

/// A member's weight in a tensor of this name (in the merged checkpoint): that of the first rule
/// whose text the name contains, else the member's own.
inline DecimalWeight weight_in(MergeMember const& member, std::string_view tensor) {
  std::size_t const rule = rule_for(member, tensor);
  return rule == member.rules.size() ? member.weight : member.rules[rule].weight;
}

/// How many of these tensors take a rule of a member, in the order of its rules.
inline std::vector<std::size_t> uses_of_rules(MergeMember const& member,
                                              std::span<PlannedTensor const> tensors) {
  std::vector<std::size_t> out(member.rules.size());
  for (PlannedTensor const& tensor : tensors) {
    if (std::size_t const rule = rule_for(member, tensor.name); rule < out.size()) {
      ++out[rule];
    }
  }
  return out;
}

/// The different sets of weights that the tensors have, and sets PlannedTensor::weights. A member
/// takes no part in a tensor that it lacks when `absent_skipped`. At least one set.
inline std::vector<MemberWeights> assign_weights(std::span<MergeMember const> members,
                                                 std::span<PlannedTensor> tensors,
                                                 bool absent_skipped) {
  using Key = std::vector<std::tuple<bool, std::int64_t, int>>;
  std::map<Key, std::size_t> known;
  std::vector<MemberWeights> out;
  MemberWeights weights(members.size());
  Key key(members.size());
  for (PlannedTensor& tensor : tensors) {
    for (std::size_t m = 0; m < members.size(); ++m) {
      bool const absent = absent_skipped && tensor.sources[m] == nullptr;
      weights[m] = absent ? std::nullopt : std::optional(weight_in(members[m], tensor.name));
      DecimalWeight const w = weights[m].value_or(DecimalWeight{});
      key[m] = {absent, w.digits, w.places};
    }
    auto const [at, fresh] = known.emplace(key, out.size());
    if (fresh) {
      out.push_back(weights);
    }
    tensor.weights = at->second;
  }
  if (out.empty()) {
    for (std::size_t m = 0; m < members.size(); ++m) {
      weights[m] = members[m].weight;
    }
    out.push_back(weights);
  }
  return out;
}

}  // namespace dashi::merging

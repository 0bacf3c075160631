// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/version.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/weight_rule.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dashi::merging {

/// A member as provenance tells it.
struct RecipeMember {
  std::string name;
  DecimalWeight weight{};
  std::string digest{};             ///< io::member_digest by either hash, or empty
  std::vector<WeightRule> rules{};  ///< before `weight`
};

/// What a published checkpoint was made of.
struct Recipe {
  std::string method;
  std::vector<RecipeMember> members{};
  std::optional<RecipeMember> base{};
  std::optional<io::Dtype> dtype{};         ///< nothing: that of the members
  OnMissing on_missing = OnMissing::error;  ///< error: no member lacked a tensor
};

namespace detail {

inline std::string rules_text(RecipeMember const& member) {
  std::string out;
  for (std::size_t r = 0; r < member.rules.size(); ++r) {
    out += r == 0 ? ",\"weights\":[{\"filter\":" : ",{\"filter\":";
    io::append_quoted(out, member.rules[r].filter);
    out += ",\"weight\":";
    io::append_quoted(out, text(member.rules[r].weight));
    out += r + 1 == member.rules.size() ? "}]" : "}";
  }
  return out;
}

inline void append_member(std::string& out, RecipeMember const& member, bool weighted) {
  out += "{";
  if (!member.digest.empty()) {
    out += "\"digest\":";
    io::append_quoted(out, member.digest);
    out += ",";
  }
  out += "\"name\":";
  io::append_quoted(out, member.name);
  if (weighted) {
    out += ",\"weight\":";
    io::append_quoted(out, text(member.weight));
    out += rules_text(member);
  }
  out += "}";
}

}  // namespace detail

/// Canonical JSON of a recipe: no white space, keys in order, members ordered by digest, name and
/// weight, so that it depends on the set of members alone. `digest` is left out where unknown,
/// `weights` where a member has no rules, `on_missing` where no member lacks a tensor.
///
///     {"dtype":"same","members":[{"digest":"…","name":"a.safetensors","weight":"0.3"}],"method":"linear"}
inline std::string recipe_json(Recipe recipe) {
  std::sort(recipe.members.begin(), recipe.members.end(), [](auto const& a, auto const& b) {
    return std::tuple(std::string_view(a.digest), std::string_view(a.name), text(a.weight),
                      detail::rules_text(a)) < std::tuple(std::string_view(b.digest),
                                                          std::string_view(b.name), text(b.weight),
                                                          detail::rules_text(b));
  });
  std::string out = "{";
  if (recipe.base) {
    out += "\"base\":";
    detail::append_member(out, *recipe.base, false);
    out += ",";
  }
  out += "\"dtype\":";
  io::append_quoted(out, recipe.dtype ? io::name(*recipe.dtype) : "same");
  out += ",\"members\":[";
  for (std::size_t m = 0; m < recipe.members.size(); ++m) {
    out += m == 0 ? "" : ",";
    detail::append_member(out, recipe.members[m], true);
  }
  out += "],\"method\":";
  io::append_quoted(out, recipe.method);
  if (recipe.on_missing != OnMissing::error) {
    out += ",\"on_missing\":";
    io::append_quoted(out, name(recipe.on_missing));
  }
  return out + "}";
}

/// Metadata of a published checkpoint: the pairs its members have in common, `dashi.recipe` and
/// `dashi.version`. No dates, no history.
inline std::map<std::string, std::string> published_metadata(
    std::map<std::string, std::string> common, Recipe const& recipe) {
  common.insert_or_assign("dashi.recipe", recipe_json(recipe));
  common.insert_or_assign("dashi.version", DASHI_VERSION);
  return common;
}

}  // namespace dashi::merging

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/merge_input.hpp>

#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dashi::merging {

/// What a merge strategy computes with.
enum class MergeForm {
  linear,   ///< a weighted mean: it only says the weights; the mean is exact
  element,  ///< each element of the result from that element of the members: any part of a tensor
            ///< will do
  tensor,   ///< a tensor of the result from that tensor of the members: it is given whole
};

/// What a strategy needs from members. One mandatory constant, so that a misspelt trait is an
/// error.
struct MergeTraits {
  MergeForm form = MergeForm::linear;
  bool needs_base = false;  ///< wants the checkpoint that the members were tuned from (not linear)
  bool by_tensor = false;   ///< linear: MergeMember::rules count; for others they are an error
  bool selects = false;     ///< linear: members of weight 0 are left out of the result's provenance
};

/// The parts of MergeStrategy; require_merge_strategy() says which one a type lacks.
template <class S>
concept HasMergeTraits = requires {
  requires std::same_as<decltype(S::traits), MergeTraits const>;
  requires(S::traits.form == MergeForm::linear || !S::traits.selects);
  requires(S::traits.form != MergeForm::linear || !S::traits.needs_base);
};

template <class S>
concept NamesMergeMethod = requires {
  { S::name } -> std::convertible_to<std::string_view>;
  typename std::bool_constant<(std::string_view(S::name).size() > 0)>;
};

template <class S>
concept WeighsMembers = requires(S const& strategy, std::span<MergeMember const> members) {
  { strategy.weights(members) } -> std::same_as<std::vector<DecimalWeight>>;
};

template <class S>
concept MergesValues = requires(S const& strategy, MergeInput const& in, std::span<double> out) {
  { strategy.merge(in, out) } -> std::same_as<void>;
};

namespace detail {
template <class S>
consteval bool has_form(MergeForm form) {
  return S::traits.form == form;
}
}  // namespace detail

/// A way to make one checkpoint out of several. A strategy is a type with
///
///     static constexpr MergeTraits traits{...};                 what it needs from members
///     static constexpr std::string_view name = "...";           for provenance
///
/// and one of these, called from many threads at once, therefore const:
///
///     std::vector<DecimalWeight> weights(std::span<MergeMember const>) const;   form linear
///     void merge(MergeInput const&, std::span<double> out) const;               other forms
///
/// examples/02_custom_merge_strategy has one of each kind. Shipped: Uniform, Weighted, Greedy.
template <class S>
concept MergeStrategy = HasMergeTraits<S> && NamesMergeMethod<S> &&
    ((detail::has_form<S>(MergeForm::linear) && WeighsMembers<S>) ||
     (!detail::has_form<S>(MergeForm::linear) && MergesValues<S>));

/// Says in a sentence what keeps S from being a MergeStrategy.
template <class S>
consteval bool require_merge_strategy() {
  if constexpr (!requires { S::traits; }) {
    static_assert(
        HasMergeTraits<S>,
        "MergeStrategy: declare static constexpr dashi::merging::MergeTraits traits{.form = "
        "dashi::merging::MergeForm::element} (or linear, or tensor) in the strategy");
  } else if constexpr (!std::same_as<decltype(S::traits), MergeTraits const>) {
    static_assert(HasMergeTraits<S>,
                  "MergeStrategy: traits must be static constexpr and of type "
                  "dashi::merging::MergeTraits");
  } else if constexpr (!HasMergeTraits<S>) {
    static_assert(
        HasMergeTraits<S>,
        "MergeStrategy: a linear strategy has no base, and only a linear strategy selects; "
        "change form, needs_base or selects in traits");
  } else if constexpr (S::traits.form == MergeForm::linear) {
    static_assert(WeighsMembers<S>,
                  "MergeStrategy: a linear strategy must declare std::vector<dashi::merging::"
                  "DecimalWeight> weights(std::span<dashi::merging::MergeMember const>) const");
  } else {
    static_assert(MergesValues<S>,
                  "MergeStrategy: a strategy of form element or tensor must declare void "
                  "merge(dashi::merging::MergeInput const&, std::span<double> out) const");
  }
  static_assert(
      NamesMergeMethod<S>,
      "MergeStrategy: declare static constexpr std::string_view name with a text that is not "
      "empty; the provenance of a merged file says it");
  return true;
}

}  // namespace dashi::merging

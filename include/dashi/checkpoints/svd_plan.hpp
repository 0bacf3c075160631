// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/svd_source.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/tensor_spec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// How a dense DiT becomes a factorised one. KIND does not publish its sizes: without others half
/// of a weight's components are tailors, two groups of them, and the learngene has the rest.
struct FactoriseOptions {
  SvdMethod method = SvdMethod::kind;
  std::optional<Index> learngene{};     ///< KIND: components; default: what tailors leave
  std::optional<Index> tailors{};       ///< KIND: default half, rounded down to whole groups
  Index groups = 2;                     ///< KIND: of tailors
  std::vector<Index> group_of_class{};  ///< KIND: empty: neighbouring classes share a group
  std::optional<Index> rank{};          ///< FINE: default the smaller side of the weight
  Index sweeps = 10;                    ///< FINE: see SharedSvdFit
  std::optional<io::Dtype> dtype{};     ///< of factors; default F32, F64 for weights of F64
};

/// What a factorisation will write; made from headers.
struct FactorisePlan {
  io::Checkpoint const* checkpoint = nullptr;  ///< both must outlive the plan
  io::DitModel const* dense = nullptr;
  FactorisedModel model{};
  std::vector<FactorisedTensor> tensors;
  std::vector<io::TensorSpec> specs;  ///< of tensors
  Index sweeps = 0;

  std::uint64_t bytes() const {
    std::uint64_t total = 0;
    for (io::TensorSpec const& spec : specs) {
      total += io::tensor_bytes(spec, checkpoint->path().string());
    }
    return total;
  }
};

namespace detail {

[[noreturn]] inline void refuse_factorise(std::string found, std::string expected,
                                          std::string advice = {}) {
  throw UsageError({.code = "bad-factorisation",
                    .file = {},
                    .place = {},
                    .found = std::move(found),
                    .expected = std::move(expected),
                    .advice = std::move(advice)});
}

inline FactorisedLayout::Ranks factorise_ranks(FactoriseOptions const& options, LinearShape shape) {
  auto const text = [](Index number) { return std::to_string(number); };
  Index const most = std::min(shape.out, shape.in);
  std::string const weight = "a weight of " + text(shape.out) + " x " + text(shape.in);
  if (options.method == SvdMethod::fine) {
    Index const rank = options.rank.value_or(most);
    if (rank < 1 || rank > most) {
      refuse_factorise("a rank of " + text(rank), "1 to " + text(most) + " for " + weight);
    }
    return {rank, 0};
  }
  Index const left = most - options.learngene.value_or(0);
  Index const tailors = options.tailors.value_or(std::max<Index>(0, std::min(most / 2, left)) /
                                                 options.groups * options.groups);
  Index const learngene = options.learngene.value_or(most - tailors);
  if (tailors % options.groups != 0) {
    refuse_factorise(text(tailors) + " tailors",
                     "a multiple of the " + text(options.groups) + " groups");
  }
  if (learngene < 0 || tailors < 0 || learngene + tailors < 1 || learngene + tailors > most) {
    refuse_factorise("a learngene of " + text(learngene) + " and " + text(tailors) + " tailors",
                     "1 to " + text(most) + " components together for " + weight);
  }
  return {learngene, tailors};
}

inline void take_groups(FactoriseOptions const& options, Index classes, FactorisedLayout& layout) {
  auto const text = [](Index number) { return std::to_string(number); };
  if (options.groups < 1 || options.groups > (1 << 24)) {
    refuse_factorise(text(options.groups) + " groups of tailors", "1 or more");
  }
  layout.groups = options.groups;
  layout.group_of_class = options.group_of_class.empty()
                              ? neighbouring_classes(classes, options.groups)
                              : options.group_of_class;
  if (static_cast<Index>(layout.group_of_class.size()) != classes) {
    refuse_factorise(
        "groups of " + text(static_cast<Index>(layout.group_of_class.size())) + " classes",
        "those of the " + text(classes) + " classes of the model");
  }
  for (Index const group : layout.group_of_class) {
    if (group < 0 || group >= options.groups) {
      refuse_factorise("a class in tailor group " + text(group),
                       "groups from 0 to " + text(options.groups - 1));
    }
  }
}

}  // namespace detail

/// Components and groups of a factorised model of that configuration. Throws UsageError for sizes
/// that do not fit.
inline FactorisedLayout factorised_layout(FactoriseOptions const& options,
                                          io::DitConfiguration const& c) {
  FactorisedLayout layout;
  layout.method = options.method;
  if (options.method == SvdMethod::kind) {
    detail::take_groups(options, c.classes, layout);
  }
  for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
    layout.ranks[s] =
        detail::factorise_ranks(options, factorised_sites[s].shape(c.width, c.mlp_width));
  }
  return layout;
}

/// `dense` is what read_dit_model() says of the checkpoint. Throws UsageError for sizes that do not
/// fit, FormatError for a ledger and for factors of dtypes that are not numbers.
inline FactorisePlan plan_factorise(io::Checkpoint const& checkpoint, io::DitModel const& dense,
                                    FactoriseOptions const& options) {
  expect_no_ledger(checkpoint);
  if (options.dtype && !io::is_convertible(*options.dtype)) {
    detail::refuse_factorise("factors of " + std::string(io::name(*options.dtype)),
                             "one of " + io::convertible_names());
  }
  FactorisePlan plan;
  plan.checkpoint = &checkpoint;
  plan.dense = &dense;
  plan.sweeps = options.sweeps;
  plan.model.configuration = dense.configuration;
  plan.model.variant = dense.variant;
  plan.model.layout = factorised_layout(options, dense.configuration);
  FactoriseSource const source(checkpoint, dense);
  plan.tensors = factorised_tensors(plan.model);
  for (FactorisedTensor const& tensor : plan.tensors) {
    bool const factor = tensor.site < factorised_sites.size();
    plan.specs.push_back({tensor.name,
                          factor ? options.dtype.value_or(source.factor_dtype(tensor.site))
                                 : source.dense_dtype(tensor),
                          tensor.shape});
  }
  return plan;
}

}  // namespace dashi::checkpoints

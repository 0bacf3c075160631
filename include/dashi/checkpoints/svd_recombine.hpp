// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_write.hpp>
#include <dashi/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Which model is taken out of a factorised one.
struct RecombineOptions {
  std::vector<Index> classes{};  ///< in the order of the new labels; empty: all
  bool dense = false;            ///< a plain DiT; the same weights for all classes
  /// Still in factors, the kept tailors for every class, as a dense one has them.
  bool unite = false;
  bool keep_labels = false;          ///< the whole label table; else the chosen rows alone
  std::optional<io::Dtype> dtype{};  ///< of what is made of factors; default theirs
};

/// A recombination from headers: the new model, and which parts of the old one it has.
struct RecombinePlan {
  FactorisedModel from;
  FactorisedModel model;       ///< of the result; dense ones have no layout
  std::vector<Index> classes;  ///< old labels, in the order of the new ones
  std::vector<Index> groups;   ///< of tailors that are kept, ascending
  bool dense = false;
  bool keep_labels = false;
  std::optional<io::Dtype> dtype{};
};

namespace detail {

[[noreturn]] inline void refuse_recombine(std::string found, std::string expected,
                                          std::string advice = {}) {
  throw UsageError({.code = "bad-classes",
                    .file = {},
                    .place = {},
                    .found = std::move(found),
                    .expected = std::move(expected),
                    .advice = std::move(advice)});
}

inline void check_classes(std::vector<Index> const& classes, Index count) {
  std::set<Index> seen;
  for (Index const label : classes) {
    if (label < 0 || label >= count) {
      refuse_recombine("class " + std::to_string(label),
                       "0 to " + std::to_string(count - 1) + ", the classes of the model");
    }
    if (!seen.insert(label).second) {
      refuse_recombine("class " + std::to_string(label) + " twice", "each class once");
    }
  }
}

/// The groups of the result, and where each of its classes belongs.
inline void take_kept_groups(RecombinePlan& plan, bool unite) {
  FactorisedLayout const& old = plan.from.layout;
  FactorisedLayout& layout = plan.model.layout;
  std::set<Index> kept;
  for (Index const label : plan.classes) {
    kept.insert(old.group_of_class[static_cast<std::size_t>(label)]);
  }
  plan.groups.assign(kept.begin(), kept.end());
  for (auto& ranks : layout.ranks) {
    ranks.tailors = ranks.tailors / old.groups * static_cast<Index>(kept.size());
  }
  layout.groups = unite ? 1 : static_cast<Index>(kept.size());
  layout.group_of_class.clear();
  Index const labels =
      plan.keep_labels ? plan.from.configuration.classes : static_cast<Index>(plan.classes.size());
  for (Index k = 0; k < labels; ++k) {
    Index const label = plan.keep_labels ? k : plan.classes[static_cast<std::size_t>(k)];
    Index const group = old.group_of_class[static_cast<std::size_t>(label)];
    auto const at = std::find(plan.groups.begin(), plan.groups.end(), group);
    if (!unite && at == plan.groups.end()) {
      refuse_recombine("class " + std::to_string(label) + " with its label and without its tailors",
                       "labels of classes that keep their tailors",
                       "drop its label, or give --unite or --dense");
    }
    layout.group_of_class.push_back(unite ? 0 : at - plan.groups.begin());
  }
}

}  // namespace detail

/// KIND's recombination (arXiv 2408.07337): the learngene with the tailors of the classes' groups,
/// dense, W = U diag(g ⊙ sigma) V' with g the union of their gates, or still in factors. In factors
/// each class keeps its own gate unless options.unite, so that the result computes what the gated
/// model does; in a dense one samples without a class have the tailors too. The label table keeps
/// the rows of the classes, in their order, and the last one, of no class. Throws UsageError.
inline RecombinePlan plan_recombine(FactorisedModel const& from, RecombineOptions const& options) {
  RecombinePlan plan;
  plan.from = from;
  plan.model = from;
  plan.dense = options.dense;
  plan.keep_labels = options.keep_labels;
  plan.dtype = options.dtype;
  if (options.dtype && !io::is_convertible(*options.dtype)) {
    detail::refuse_recombine("numbers of " + std::string(io::name(*options.dtype)),
                             "one of " + io::convertible_names());
  }
  Index const count = from.configuration.classes;
  detail::check_classes(options.classes, count);
  plan.classes = options.classes;
  if (plan.classes.empty()) {
    for (Index c = 0; c < count; ++c) {
      plan.classes.push_back(c);
    }
  }
  if (!plan.keep_labels) {
    plan.model.configuration.classes = static_cast<Index>(plan.classes.size());
  }
  if (from.layout.method == SvdMethod::kind) {
    detail::take_kept_groups(plan, options.unite || options.dense);
  }
  return plan;
}

namespace detail {

/// Rows of the label table: the chosen classes', then that of no class.
inline std::vector<double> recombined_labels(RecombinePlan const& plan,
                                             std::vector<double> const& table) {
  if (plan.keep_labels) {
    return table;
  }
  auto const width = static_cast<std::ptrdiff_t>(plan.from.configuration.width);
  std::vector<double> out;
  auto const append = [&](Index row) {
    auto const begin = table.begin() + row * width;
    out.insert(out.end(), begin, begin + width);
  };
  for (Index const label : plan.classes) {
    append(label);
  }
  if (plan.from.configuration.null_class) {
    append(plan.from.configuration.classes);
  }
  return out;
}

/// The rows of tailors that belong to kept groups.
inline std::vector<double> kept_tailors(RecombinePlan const& plan, std::size_t site,
                                        std::vector<double> const& all) {
  Index const tailors = plan.from.layout.ranks[site].tailors;
  auto const row = static_cast<std::ptrdiff_t>(all.size()) / tailors;
  Index const each = tailors / plan.from.layout.groups;
  std::vector<double> out;
  for (Index const group : plan.groups) {
    auto const begin = all.begin() + group * each * row;
    out.insert(out.end(), begin, begin + each * row);
  }
  return out;
}

inline bool is_label_table(std::string_view name) {
  return name.ends_with("y_embedder.embedding_table.weight");
}

}  // namespace detail

/// Writes the result of the plan, tensor by tensor, with `metadata` and what the form wants: a
/// factorised DiT, or a dense one under original names, diffusers names where every block has an
/// embedder. Throws FormatError for numbers that are not finite, IoError.
inline SvdResult recombine(Context<Kokkos::DefaultHostExecutionSpace>& ctx,
                           io::Checkpoint const& checkpoint, RecombinePlan const& plan,
                           std::map<std::string, std::string> metadata,
                           std::filesystem::path const& path, io::CheckpointOutput output,
                           io::Progress& progress = io::no_progress()) {
  FactorReader const reader(checkpoint, plan.from);
  SvdOutput out;
  auto const own = [&](std::string const& name) { return reader.find(name)->info.dtype; };
  if (plan.dense) {
    return write_dense_svd(
        ctx, checkpoint, reader, plan.model, plan.groups, plan.dtype,
        [&](std::string const& name) {
          auto values = reader.read(name);
          return detail::is_label_table(name) ? detail::recombined_labels(plan, values) : values;
        },
        std::move(metadata), path, std::move(output), progress);
  }
  out.model = plan.model;
  out.dtype = [&](FactorisedTensor const& tensor) {
    bool const factor = tensor.site < factorised_sites.size();
    return factor ? plan.dtype.value_or(own(tensor.name)) : own(tensor.name);
  };
  out.values = [&](FactorisedTensor const& tensor) {
    auto values = reader.read(tensor.name);
    if (detail::is_label_table(tensor.name)) {
      return detail::recombined_labels(plan, values);
    }
    if (tensor.name.find(".tailors.") != std::string::npos) {
      return detail::kept_tailors(plan, tensor.site, values);
    }
    return values;
  };
  return write_factorised(checkpoint, out, std::move(metadata), path, std::move(output), progress);
}

}  // namespace dashi::checkpoints

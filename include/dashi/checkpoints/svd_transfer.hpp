// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_recombine.hpp>
#include <dashi/checkpoints/svd_write.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/name_key.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/random_purpose.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Classes of a model and the tailor group of each.
struct ClassGroups {
  Index classes = 0;
  Index groups = 1;
  std::vector<Index> group_of_class{};  ///< [classes]
};

/// How a factorised model begins on other data, or at another depth.
struct TransferOptions {
  std::optional<ClassGroups> classes{};  ///< nothing: the classes stay, FINE only
  std::optional<Index> tailors{};        ///< KIND: of each map; default as many as there were
  double tailor_scale = 1;               ///< KIND: of new singular values
  std::optional<Index> depth{};          ///< FINE
  bool random_sigma = false;             ///< FINE: else between those of neighbouring blocks
  std::uint64_t seed = 1;
};

/// A transfer from headers.
struct TransferPlan {
  FactorisedModel from;
  FactorisedModel model;
  TransferOptions options;
};

namespace detail {

[[noreturn]] inline void refuse_transfer(std::string found, std::string expected,
                                         std::string advice = {}) {
  throw UsageError({.code = "bad-transfer",
                    .file = {},
                    .place = {},
                    .found = std::move(found),
                    .expected = std::move(expected),
                    .advice = std::move(advice)});
}

inline void take_new_tailors(TransferPlan& plan) {
  FactorisedLayout& layout = plan.model.layout;
  ClassGroups const& classes = *plan.options.classes;
  layout.groups = classes.groups;
  layout.group_of_class = classes.group_of_class;
  for (std::size_t s = 0; s < layout.ranks.size(); ++s) {
    Index const before = layout.ranks[s].tailors;
    Index const tailors = plan.options.tailors.value_or(before / classes.groups * classes.groups);
    std::string const map = "map '" + std::string(factorised_sites[s].name) + "'";
    if (tailors < 0 || tailors % classes.groups != 0) {
      refuse_transfer(std::to_string(tailors) + " tailors",
                      "a multiple of the " + std::to_string(classes.groups) + " groups");
    }
    if (tailors + layout.ranks[s].learngene == 0 || (tailors == 0 && !plan.options.tailors)) {
      refuse_transfer("no new tailors on " + map + ", which has " + std::to_string(before),
                      "some for " + std::to_string(classes.groups) + " groups", "give --tailors");
    }
    layout.ranks[s].tailors = tailors;
  }
}

/// Numbers of the model that a transfer makes.
class TransferValues {
public:
  TransferValues(FactorReader const& reader, TransferPlan const& plan)
      : reader_(reader), plan_(plan) {}

  io::Dtype dtype(FactorisedTensor const& tensor) const {
    std::string name = source(tensor.name, nearest(tensor.name));
    if (reader_.find(name) == nullptr) {  // tailors where there were none
      name.replace(name.find(".tailors."), 9, ".learngene.");
    }
    return reader_.find(name)->info.dtype;
  }

  std::vector<double> values(FactorisedTensor const& tensor) const {
    std::string const& name = tensor.name;
    if (name.find(".tailors.") != std::string::npos) {
      return tailors(tensor);
    }
    if (plan_.options.classes && is_label_table(name)) {
      return labels(tensor);
    }
    if (plan_.model.layout.method == SvdMethod::fine && tensor.site < factorised_sites.size() &&
        name.ends_with(".sigma")) {
      return sigma(tensor);
    }
    return reader_.read(source(name, nearest(name)));
  }

private:
  /// Block of a name, or -1.
  static std::int64_t block(std::string_view name) {
    constexpr std::string_view blocks = "blocks.";
    return name.starts_with(blocks) ? std::stoll(std::string(name.substr(blocks.size()))) : -1;
  }
  std::int64_t nearest(std::string_view name) const {
    std::int64_t const b = block(name);
    return b < 0 ? b
                 : (2 * b + 1) * plan_.from.configuration.depth /
                       (2 * plan_.model.configuration.depth);
  }
  static std::string source(std::string const& name, std::int64_t block) {
    return block < 0 ? name : "blocks." + std::to_string(block) + name.substr(name.find('.', 7));
  }

  std::vector<double> normal(std::string_view name, std::size_t count, double deviation) const {
    Philox const random(plan_.options.seed ^ name_key(name),
                        {random_purpose::initialisation, 0, 0});
    std::vector<double> out(count);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = deviation * random.normal<double>(i);
    }
    return out;
  }

  static double root_mean_square(std::vector<double> const& values) {
    double sum = 0;
    for (double const value : values) {
      sum += value * value;
    }
    return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(1, values.size())));
  }

  /// Vectors with expected norms of one; sigma: the mean size of those that went.
  std::vector<double> tailors(FactorisedTensor const& tensor) const {
    auto const rank = static_cast<std::size_t>(tensor.shape[0]);
    if (tensor.shape.size() == 2) {
      auto const columns = static_cast<std::size_t>(tensor.shape[1]);
      return normal(tensor.name, rank * columns, 1 / std::sqrt(static_cast<double>(columns)));
    }
    std::vector<double> before = reader_.read(tensor.name);
    if (before.empty()) {
      std::string name = tensor.name;
      name.replace(name.find(".tailors."), 9, ".learngene.");
      before = reader_.read(name);
    }
    return std::vector<double>(rank, plan_.options.tailor_scale * root_mean_square(before));
  }

  /// New classes are drawn as a new model's; the row of no class stays.
  std::vector<double> labels(FactorisedTensor const& tensor) const {
    std::vector<double> const before = reader_.read(source(tensor.name, nearest(tensor.name)));
    auto const rows = static_cast<std::size_t>(tensor.shape[0]);
    auto const width = static_cast<std::size_t>(tensor.shape[1]);
    std::vector<double> out = normal(tensor.name, rows * width, 0.02);
    if (plan_.model.configuration.null_class) {
      std::copy(before.end() - static_cast<std::ptrdiff_t>(width), before.end(),
                out.end() - static_cast<std::ptrdiff_t>(width));
    }
    return out;
  }

  /// FINE: sigma of a block from those at the same height of the old model.
  std::vector<double> sigma(FactorisedTensor const& tensor) const {
    Index const depth = plan_.from.configuration.depth;
    if (plan_.options.random_sigma) {
      std::vector<double> all;
      for (std::int64_t b = 0; b < depth; ++b) {
        auto const one = reader_.read(source(tensor.name, b));
        all.insert(all.end(), one.begin(), one.end());
      }
      return normal(tensor.name, static_cast<std::size_t>(tensor.shape[0]), root_mean_square(all));
    }
    double const height =
        std::clamp((static_cast<double>(block(tensor.name)) + 0.5) * static_cast<double>(depth) /
                           static_cast<double>(plan_.model.configuration.depth) -
                       0.5,
                   0.0, static_cast<double>(depth - 1));
    auto const below = static_cast<std::int64_t>(height);
    auto const above = std::min<std::int64_t>(below + 1, depth - 1);
    double const share = height - static_cast<double>(below);
    auto out = reader_.read(source(tensor.name, below));
    auto const upper = reader_.read(source(tensor.name, above));
    for (std::size_t j = 0; j < out.size(); ++j) {
      out[j] += share * (upper[j] - out[j]);
    }
    return out;
  }

  FactorReader const& reader_;
  TransferPlan const& plan_;
};

}  // namespace detail

/// KIND (arXiv 2408.07337): learngenes stay, tailors are drawn anew, the label table is that of the
/// new classes. FINE (arXiv 2409.19289): the shared vectors stay; at another depth each block's
/// sigma is between those of the old blocks at its height, or drawn, to be trained alone first, and
/// what is dense comes from the nearest old block. Throws UsageError for what does not fit.
inline TransferPlan plan_transfer(FactorisedModel const& from, TransferOptions const& options) {
  TransferPlan plan{from, from, options};
  bool const kind = from.layout.method == SvdMethod::kind;
  if (!options.classes && (kind || !options.depth)) {
    detail::refuse_transfer("no new classes" + std::string(kind ? "" : " and no new depth"),
                            "what the model is for", "give --classes-config");
  }
  if (kind && options.depth) {
    detail::refuse_transfer("another depth for a model whose blocks share nothing",
                            "a FINE model, or the depth that it has");
  }
  if (!kind && options.tailors) {
    detail::refuse_transfer("tailors for a FINE model, which has none", "a KIND model");
  }
  if (options.depth) {
    if (*options.depth < 1 || *options.depth > 4096) {
      detail::refuse_transfer("a depth of " + std::to_string(*options.depth), "1 to 4096");
    }
    plan.model.configuration.depth = *options.depth;
  }
  if (options.classes) {
    plan.model.configuration.classes = options.classes->classes;
  }
  if (kind) {
    detail::take_new_tailors(plan);
  }
  return plan;
}

/// Writes the model of the plan. Throws FormatError for numbers that are not finite, IoError.
inline SvdResult transfer(io::Checkpoint const& checkpoint, TransferPlan const& plan,
                          std::map<std::string, std::string> metadata,
                          std::filesystem::path const& path, io::CheckpointOutput output,
                          io::Progress& progress = io::no_progress()) {
  FactorReader const reader(checkpoint, plan.from);
  detail::TransferValues const values(reader, plan);
  SvdOutput const out{plan.model,
                      [&](FactorisedTensor const& tensor) { return values.dtype(tensor); },
                      [&](FactorisedTensor const& tensor) { return values.values(tensor); }};
  return write_factorised(checkpoint, out, std::move(metadata), path, std::move(output), progress);
}

}  // namespace dashi::checkpoints

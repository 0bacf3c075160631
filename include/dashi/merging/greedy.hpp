// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/merging/concept.hpp>
#include <dashi/merging/mean_stream.hpp>
#include <dashi/merging/private_folder.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// One decision of a greedy soup.
struct GreedyStep {
  std::size_t member = 0;  ///< index into the members as given
  double own_score = 0;    ///< of the member alone
  double soup_score = 0;   ///< of the mean of the soup so far with this member
  bool kept = false;
};

/// Greedy soup: the members in order of falling held-out score, each kept when the uniform mean
/// with it scores at least as high as without. Model soups, arXiv 2203.05482, recipe 1.
///
/// Equal scores keep the given order. All kept members have weight 1, so weights other than 1 are a
/// UsageError. A candidate has the tensors that its members have. A score that is NaN or infinite
/// is a FormatError. Candidate soups are written to a private folder inside `scratch`, one at a
/// time, and removed after they are scored.
struct Greedy {
  static constexpr MergeTraits traits{.form = MergeForm::linear, .selects = true};
  static constexpr std::string_view name = "greedy";

  /// Higher is better. Gets the path of a checkpoint: a member's own, or a candidate soup.
  std::function<double(std::filesystem::path const&)> score;
  std::filesystem::path scratch;      ///< an existing folder with room for one checkpoint
  MergeOptions options{};             ///< of the candidates; zeros for missing tensors are refused
  std::optional<MergeMember> base{};  ///< for OnMissing::keep_base
  std::function<void(GreedyStep const&)> report{};  ///< told every decision, in order; may be empty

  std::vector<DecimalWeight> weights(std::span<MergeMember const> members) const {
    DASHI_EXPECTS(score != nullptr, "Greedy needs a score function");
    if (options.on_missing == OnMissing::zero) {
      throw UsageError({.code = "on-missing",
                        .file = {},
                        .place = "method greedy",
                        .found = "zeros for missing tensors",
                        .expected = "skip or keep-base: zeros would be scored as part of a model",
                        .advice = {}});
    }
    for (MergeMember const& member : members) {
      if (member.weight != DecimalWeight{}) {
        throw UsageError({.code = "bad-weight",
                          .file = member.checkpoint->path().string(),
                          .place = "weight '" + text(member.weight) + "'",
                          .found = "a weight for a greedy soup",
                          .expected = "none: every member that is kept has weight 1",
                          .advice = {}});
      }
    }
    PrivateFolder const folder(scratch);
    std::vector<double> own(members.size());
    for (std::size_t m = 0; m < members.size(); ++m) {
      // A member that is stored under other names, will be rounded, or has tensors of the base is
      // scored as the soup of itself.
      bool const as_it_is = members[m].keys.empty() && !options.dtype && !base;
      own[m] = as_it_is ? checked_score(members[m].checkpoint->path())
                        : candidate_score({members[m]}, folder.path());
    }
    std::vector<std::size_t> order(members.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return own[a] > own[b]; });

    std::vector<DecimalWeight> chosen(members.size(), DecimalWeight{0, 0});
    std::vector<MergeMember> soup;
    double best = 0;
    for (std::size_t const m : order) {
      soup.push_back(members[m]);
      double const now = soup.size() == 1 ? own[m] : candidate_score(soup, folder.path());
      bool const kept = soup.size() == 1 || now >= best;
      if (kept) {
        chosen[m] = DecimalWeight{};
        best = now;
      } else {
        soup.pop_back();
      }
      if (report) {
        report({.member = m, .own_score = own[m], .soup_score = now, .kept = kept});
      }
    }
    return chosen;
  }

private:
  double checked_score(std::filesystem::path const& path) const {
    double const value = score(path);
    if (!std::isfinite(value)) {
      throw FormatError({.code = "bad-score",
                         .file = path.string(),
                         .place = "score",
                         .found = std::isnan(value) ? "NaN"
                                  : value > 0       ? "infinity"
                                                    : "-infinity",
                         .expected = "a finite number, higher for a better checkpoint",
                         .advice = "correct what computes the score"});
    }
    return value;
  }

  double candidate_score(std::vector<MergeMember> const& soup,
                         std::filesystem::path const& folder) const {
    std::filesystem::path const path = folder / "candidate.safetensors";
    MergeOptions unnamed = options;
    unnamed.digests = false;  // nobody keeps a candidate
    publish_mean(plan_mean(soup, unnamed, std::string(name), base), path, {.force = true});
    return checked_score(path);
  }
};
static_assert(MergeStrategy<Greedy>);

}  // namespace dashi::merging

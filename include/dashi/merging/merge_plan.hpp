// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/merging/chunk_layout.hpp>
#include <dashi/merging/match_members.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/member.hpp>
#include <dashi/merging/member_weights.hpp>
#include <dashi/merging/provenance.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Everything about a merge that is known before any tensor is read. To be printed, or published.
struct MergePlan {
  std::string method;
  std::vector<MergeMember> sources;  ///< the members, then the base if there is one
  std::size_t members = 0;
  BaseUse base = BaseUse::none;
  MergeOptions options{};
  std::vector<PlannedTensor> tensors;  ///< in the order in which they lie in the output
  std::size_t incomplete = 0;          ///< tensors that some member lacks
  std::vector<MemberWeights> weights;  ///< the sets of weights that tensors have
  ChunkLayout layout;
  std::uint64_t bytes_to_read = 0;
  std::uint64_t bytes_to_write = 0;  ///< tensor data; the header comes on top
  std::uint64_t peak_memory = 0;     ///< bytes of buffers

  /// How the pass hashes a source. All sources alike, so that copies are noticed: SHA-256 as soon
  /// as one has an expected digest.
  io::DigestKind digest_kind(std::size_t source) const {
    bool const unused = source == members && base == BaseUse::stands_in && incomplete == 0;
    if ((!options.digests && !sources[source].digest) || unused) {
      return io::DigestKind::none;
    }
    bool const expected = std::any_of(sources.begin(), sources.end(),
                                      [](MergeMember const& s) { return s.digest.has_value(); });
    return expected ? io::DigestKind::sha256 : io::DigestKind::xxh3;
  }

  /// The output's metadata. `digests`: one a source, empty where unknown.
  std::map<std::string, std::string> metadata(std::span<std::string const> digests) const {
    Recipe recipe{.method = method, .members = {}, .base = {}, .dtype = options.dtype};
    recipe.on_missing = incomplete > 0 ? options.on_missing : OnMissing::error;
    for (std::size_t s = 0; s < sources.size(); ++s) {
      RecipeMember member{sources[s].name, sources[s].weight, digests[s], sources[s].rules};
      if (s < members) {
        recipe.members.push_back(std::move(member));
      } else if (base == BaseUse::by_strategy || incomplete > 0) {
        recipe.base = std::move(member);
      }
    }
    return published_metadata(common_metadata(std::span(sources).first(members)), recipe);
  }
};

namespace detail {

inline void refuse_duplicate(MergeMember const& a, MergeMember const& b) {
  throw FormatError({.code = "duplicate-member",
                     .file = b.checkpoint->path().string(),
                     .place = {},
                     .found = "the same content as " + a.checkpoint->path().string(),
                     .expected = "each checkpoint once",
                     .advice = "give it once with the sum of the weights, or --allow-duplicate"});
}

/// B10 as far as it shows without reading: the same file, or the same expected digest.
inline void expect_distinct(std::span<MergeMember const> members) {
  std::map<std::string, MergeMember const*> seen;
  for (MergeMember const& member : members) {
    std::vector<std::string> marks;
    if (member.digest) {
      marks.push_back(*member.digest);
    }
    io::FileIdentity const& identity = member.checkpoint->files().front().file().identity();
    marks.push_back(std::to_string(identity.dev) + ":" + std::to_string(identity.inode));
    for (std::string const& mark : marks) {
      auto const [at, fresh] = seen.emplace(mark, &member);
      if (!fresh) {
        refuse_duplicate(*at->second, member);
      }
    }
  }
}

}  // namespace detail

/// Matches names, shapes and dtypes of the members (and the base) and cuts the work into chunks.
/// Throws UsageError and FormatError; reads no tensor data.
inline MergePlan plan_merge(std::string method, std::vector<MergeMember> members,
                            std::optional<MergeMember> base, BaseUse base_use,
                            MergeOptions const& options, bool whole_tensors, bool as_double) {
  if (base.has_value() != (base_use != BaseUse::none)) {
    throw UsageError({.code = "base",
                      .file = {},
                      .place = "method " + method,
                      .found = base ? "a base that nothing is taken from" : "no base checkpoint",
                      .expected = base ? "none"
                                  : base_use == BaseUse::by_strategy
                                      ? "the checkpoint that the members were tuned from"
                                      : "the checkpoint whose tensors stand for missing ones",
                      .advice = {}});
  }
  MergePlan plan{.method = std::move(method),
                 .sources = std::move(members),
                 .members = 0,
                 .base = base_use,
                 .options = options,
                 .tensors = {},
                 .incomplete = 0,
                 .weights = {},
                 .layout = {}};
  plan.members = plan.sources.size();
  if (!options.allow_duplicate) {
    detail::expect_distinct(plan.sources);
  }
  if (base && plan.members > 0) {  // match_members() refuses a merge of nothing
    plan.sources.push_back(std::move(*base));
  }
  plan.tensors = match_members(plan.sources, options, base_use);
  std::stable_sort(plan.tensors.begin(), plan.tensors.end(), [](auto const& a, auto const& b) {
    return io::bits(a.dtype) > io::bits(b.dtype);  // as the writer lays them out
  });
  plan.weights = assign_weights(std::span(plan.sources).first(plan.members), plan.tensors,
                                options.on_missing == OnMissing::skip);
  plan.layout =
      lay_out_chunks(plan.tensors, plan.sources.size(), options, whole_tensors, as_double);
  for (PlannedTensor const& tensor : plan.tensors) {
    for (io::TensorRef const* ref : tensor.sources) {
      plan.bytes_to_read += ref == nullptr ? 0 : ref->info.bytes();
    }
    plan.incomplete += detail::first_lacking(tensor, plan.members) < plan.members ? 1U : 0U;
    plan.bytes_to_write += units(tensor) * unit_bytes(tensor.averaged, tensor.dtype);
  }
  plan.peak_memory = plan.layout.worker_bytes * static_cast<std::uint64_t>(plan.layout.workers);
  return plan;
}

}  // namespace dashi::merging

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/alpha_scalar.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/match_members.hpp>
#include <dashi/merging/member.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// A member to be taken out: which one of the manifest, and the file whose values are subtracted.
struct RemovedMember {
  std::size_t index = 0;
  MergeMember member;
};

/// A change of an accumulating soup, checked against headers only: what it was and what it will be.
struct LedgerChange {
  Manifest before;
  std::vector<RemovedMember> removed;
  std::vector<MergeMember> added;
  Manifest after;  ///< kept members, then added ones with a digest of zeros
  std::size_t kept = 0;
  std::vector<std::vector<io::TensorRef const*>> removed_refs;  ///< [member][tensor]
  std::vector<std::vector<io::TensorRef const*>> added_refs;
};

namespace detail {

[[noreturn]] inline void refuse_member(MergeMember const& member, std::string const& tensor,
                                       std::string code, std::string found, std::string expected,
                                       std::string advice) {
  throw FormatError({.code = std::move(code),
                     .file = member.checkpoint->path().string(),
                     .place = "tensor " + io::in_quotes(tensor),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

/// The member's tensors in the order of the table; FormatError when names or shapes differ from it.
inline std::vector<io::TensorRef const*> refs_for(MergeMember const& member,
                                                  std::vector<LedgerTensor> const& table) {
  NamedTensors const named = named_tensors(member);
  std::vector<io::TensorRef const*> refs;
  std::vector<std::string> missing;
  std::set<std::string_view> known;
  for (LedgerTensor const& tensor : table) {
    auto const at = named.find(tensor.name);
    known.insert(tensor.name);
    if (at == named.end()) {
      missing.push_back(io::in_quotes(tensor.name));
      continue;
    }
    if (at->second->info.shape != tensor.shape &&
        !(is_alpha_scalar(tensor.name, tensor.shape) &&
          is_alpha_scalar(tensor.name, at->second->info.shape))) {
      refuse_member(member, tensor.name, "shape-mismatch",
                    "has shape " + io::shape_text(at->second->info.shape),
                    io::shape_text(tensor.shape) + " as in the soup",
                    "shapes must be equal, nothing is broadcast or transposed");
    }
    refs.push_back(at->second);
  }
  std::vector<std::string> surplus;
  for (auto const& [name, ref] : named) {
    if (!known.contains(name)) {
      surplus.push_back(io::in_quotes(name));
    }
  }
  if (!missing.empty() || !surplus.empty()) {
    throw FormatError({.code = "missing-tensor",
                       .file = member.checkpoint->path().string(),
                       .place = {},
                       .found = !missing.empty()
                                    ? "without " + std::to_string(missing.size()) +
                                          " tensors of the soup: " + io::listing(missing)
                                    : "with " + std::to_string(surplus.size()) +
                                          " tensors that the soup lacks: " + io::listing(surplus),
                       .expected = "the same tensors in all members",
                       .advice = "merge checkpoints of one architecture, or map the names"});
  }
  return refs;
}

inline void check_dtypes(MergeMember const& member, std::vector<io::TensorRef const*> const& refs,
                         Manifest const& soup, LedgerMember const* other) {
  for (std::size_t t = 0; t < refs.size(); ++t) {
    io::Dtype const dtype = refs[t]->info.dtype;
    if (dtype == io::Dtype::f64) {
      throw UsageError({.code = "f64-member",
                        .file = member.checkpoint->path().string(),
                        .place = "tensor " + io::in_quotes(soup.tensors[t].name),
                        .found = "F64",
                        .expected = "F16, BF16 or F32, which is what the accumulators hold",
                        .advice = "use --mode recompute"});
    }
    if (other != nullptr && other->dtypes[t] != dtype &&
        !(io::is_averaged(dtype) && io::is_averaged(other->dtypes[t]))) {
      refuse_member(member, soup.tensors[t].name, "dtype-mismatch",
                    "is " + std::string(io::name(dtype)),
                    std::string(io::name(other->dtypes[t])) + " as in the soup",
                    "only F16, BF16 and F32 can be averaged with each other");
    }
  }
}

}  // namespace detail

/// Checks names, shapes, dtypes and weights and says what the soup will be. Accumulate mode. Throws
/// FormatError (65) and UsageError (2); reads no tensor data.
inline LedgerChange plan_change(Manifest before, std::vector<RemovedMember> removed,
                                std::vector<MergeMember> added,
                                std::vector<std::string> const& names) {
  LedgerChange change{.before = std::move(before),
                      .removed = std::move(removed),
                      .added = std::move(added),
                      .after = {},
                      .kept = 0,
                      .removed_refs = {},
                      .added_refs = {}};
  Manifest& after = change.after;
  after.mode = LedgerMode::accumulate;
  std::set<std::size_t> gone;
  for (RemovedMember const& r : change.removed) {
    gone.insert(r.index);
    change.removed_refs.push_back(detail::refs_for(r.member, change.before.tensors));
    for (std::size_t t = 0; t < change.before.tensors.size(); ++t) {
      if (change.removed_refs.back()[t]->info.dtype != change.before.members[r.index].dtypes[t]) {
        detail::refuse_member(
            r.member, change.before.tensors[t].name, "digest-mismatch",
            "is " + std::string(io::name(change.removed_refs.back()[t]->info.dtype)),
            std::string(io::name(change.before.members[r.index].dtypes[t])) +
                " as the recorded member",
            "the file is not the one that was added; find that one");
      }
    }
  }
  for (std::size_t m = 0; m < change.before.members.size(); ++m) {
    if (!gone.contains(m)) {
      after.members.push_back(change.before.members[m]);
    }
  }
  change.kept = after.members.size();
  if (change.kept > 0) {
    after.tensors = change.before.tensors;
  } else if (!change.added.empty()) {
    for (auto const& [name, ref] : detail::named_tensors(change.added.front())) {
      after.tensors.push_back({std::string(name), ref->info.shape});
    }
  }
  std::uint64_t const members = change.kept + change.added.size();
  if (!after.tensors.empty() && members > most_ledger_pairs / after.tensors.size()) {
    throw UsageError({.code = "too-many-members",
                      .file = {},
                      .place = {},
                      .found = std::to_string(members) + " members with " +
                               std::to_string(after.tensors.size()) + " tensors each",
                      .expected = "at most 2^25 pairs of a member and a tensor",
                      .advice = "use --mode recompute"});
  }
  for (std::size_t a = 0; a < change.added.size(); ++a) {
    MergeMember const& member = change.added[a];
    change.added_refs.push_back(detail::refs_for(member, after.tensors));
    detail::check_dtypes(member, change.added_refs.back(), after,
                         after.members.empty() ? nullptr : &after.members.front());
    LedgerMember record{.digest = std::string(64, '0'),
                        .weight = member.weight,
                        .name = names[a],
                        .keys = member.keys,
                        .metadata = {},
                        .dtypes = {},
                        .vector_alphas = {}};
    for (auto const& [key, value] : member.checkpoint->metadata()) {
      if (io::is_model_fact(key)) {
        record.metadata.emplace(key, value);
      }
    }
    for (std::size_t t = 0; t < after.tensors.size(); ++t) {
      io::TensorInfo const& info = change.added_refs.back()[t]->info;
      record.dtypes.push_back(info.dtype);
      if (is_alpha_scalar(after.tensors[t].name, info.shape) && !info.shape.empty()) {
        record.vector_alphas.push_back(t);
      }
    }
    after.members.push_back(std::move(record));
  }
  after.settle_alpha_shapes();
  ledger_scale(after);
  return change;
}

}  // namespace dashi::merging

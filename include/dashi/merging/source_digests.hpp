// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/ordered_digest.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The digests of a plan's sources, each by the hash that the plan wants, fed while a pass reads.
/// See OrderedDigest for what may be hashed when.
class SourceDigests {
public:
  explicit SourceDigests(MergePlan const& plan) : plan_(plan) {
    for (std::size_t s = 0; s < plan.sources.size(); ++s) {
      kinds_.push_back(in_part(s) ? io::DigestKind::none : plan.digest_kind(s));
      std::size_t own = 0;
      std::vector<std::size_t>& numbers = numbers_.emplace_back();
      for (PlannedTensor const& tensor : plan.tensors) {
        numbers.push_back(own);
        own += tensor.sources[s] != nullptr ? 1U : 0U;
      }
      add_member(sha256_, s, io::DigestKind::sha256);
      add_member(xxh3_, s, io::DigestKind::xxh3);
    }
  }

  bool wanted(std::size_t source) const noexcept { return kinds_[source] != io::DigestKind::none; }

  /// Hashes the bytes of a tensor of a wanted source from `offset` on.
  void update(std::uint64_t chunk, std::size_t source, std::size_t tensor, std::uint64_t offset,
              std::span<std::byte const> bytes) {
    std::uint64_t const size = plan_.tensors[tensor].sources[source]->info.bytes();
    std::size_t const own = numbers_[source][tensor];
    if (kinds_[source] == io::DigestKind::sha256) {
      sha256_.update(chunk, source, own, offset, size, bytes);
    } else {
      xxh3_.update(chunk, source, own, offset, size, bytes);
    }
  }

  void abandon_after(std::uint64_t chunk) noexcept {
    sha256_.abandon_after(chunk);
    xxh3_.abandon_after(chunk);
  }

  /// One a source after the pass; empty where none is wanted. Reads a source of which the pass
  /// has read a part.
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (std::size_t s = 0; s < kinds_.size(); ++s) {
      out.push_back(in_part(s)                            ? whole_digest(s)
                    : !wanted(s)                          ? std::string()
                    : kinds_[s] == io::DigestKind::sha256 ? sha256_.member_digest(s)
                                                          : xxh3_.member_digest(s));
    }
    return out;
  }

private:
  /// Whether the pass reads only some tensors of a source.
  bool in_part(std::size_t source) const {
    return source == plan_.members && plan_.base == BaseUse::stands_in;
  }

  std::string whole_digest(std::size_t source) const {
    io::Checkpoint const& checkpoint = *plan_.sources[source].checkpoint;
    auto const threads = static_cast<std::size_t>(plan_.layout.workers);
    switch (plan_.digest_kind(source)) {
      case io::DigestKind::sha256: return io::checkpoint_digest<io::Sha256>(checkpoint, threads);
      case io::DigestKind::xxh3: return io::checkpoint_digest<io::Xxh3>(checkpoint, threads);
      case io::DigestKind::none: break;
    }
    return {};
  }

  template <class Hash>
  void add_member(OrderedDigest<Hash>& digest, std::size_t source, io::DigestKind kind) {
    std::vector<io::TensorDigestOf<Hash>> tensors;
    for (PlannedTensor const& tensor : plan_.tensors) {
      if (kinds_[source] == kind && tensor.sources[source] != nullptr) {
        io::TensorInfo const& info = tensor.sources[source]->info;
        tensors.push_back({info.name, info.dtype, info.shape, {}});
      }
    }
    digest.add_member(std::move(tensors));
  }

  MergePlan const& plan_;
  std::vector<io::DigestKind> kinds_;              // one a source
  std::vector<std::vector<std::size_t>> numbers_;  // of the plan's tensors among the source's own
  OrderedDigest<io::Sha256> sha256_;
  OrderedDigest<io::Xxh3> xxh3_;
};

}  // namespace dashi::merging

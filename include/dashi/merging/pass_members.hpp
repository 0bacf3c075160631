// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/ledger_change.hpp>
#include <dashi/merging/member_scan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The members that a change of an accumulating soup reads, those that leave before those that
/// come, with the digests that the pass computes of them.
class PassMembers {
public:
  explicit PassMembers(LedgerChange const& change) : change_(change) {
    for (RemovedMember const& r : change.removed) {
      members_.push_back(&r.member);
    }
    for (MergeMember const& a : change.added) {
      members_.push_back(&a);
    }
    for (MergeMember const* member : members_) {
      digests_.emplace_back(member->checkpoint->tensors().size());
      bytes_ += member->checkpoint->bytes();
    }
  }

  std::size_t size() const noexcept { return members_.size(); }
  std::uint64_t bytes() const noexcept { return bytes_; }  ///< of all their tensors
  MergeMember const& operator[](std::size_t m) const { return *members_[m]; }
  bool leaves(std::size_t m) const noexcept { return m < change_.removed.size(); }

  /// The member's tensor that is tensor t of the soup.
  io::TensorRef const& ref(std::size_t m, std::size_t t) const {
    return leaves(m) ? *change_.removed_refs[m][t]
                     : *change_.added_refs[m - change_.removed.size()][t];
  }

  void set_digest(std::size_t m, std::size_t t, io::Sha256Digest const& digest) {
    io::TensorRef const& r = ref(m, t);
    auto const at = static_cast<std::size_t>(&r - members_[m]->checkpoint->tensors().data());
    digests_[m][at] = {r.info.name, r.info.dtype, r.info.shape, digest};
  }

  /// Hashes the members that leave by themselves, for a pass that reads only those that come.
  void scan_removed(int workers) {
    for (RemovedMember const& r : change_.removed) {
      scanned_.push_back(scan_member(*r.member.checkpoint, workers, false));
    }
  }

  /// After the pass: no file changed, who leaves is the recorded member, who comes is not there
  /// yet (FormatError). Writes the digests of those that come into `after`.
  void settle(Manifest& after, bool allow_duplicate) const {
    for (std::size_t m = 0; m < size(); ++m) {
      members_[m]->checkpoint->expect_unchanged();
      std::string digest = m < scanned_.size() ? scanned_[m] : io::member_digest(digests_[m]);
      if (leaves(m)) {
        if (digest != change_.before.members[change_.removed[m].index].digest) {
          refuse_forged(m, "content with digest " + digest);
        }
        continue;
      }
      std::size_t const place = change_.kept + m - change_.removed.size();
      for (std::size_t other = 0; other < place && !allow_duplicate; ++other) {
        if (after.members[other].digest == digest) {
          throw FormatError(
              {.code = "duplicate-member",
               .file = members_[m]->checkpoint->path().string(),
               .place = {},
               .found = "the same content as member " + io::in_quotes(after.members[other].name),
               .expected = "each checkpoint once",
               .advice = "give it once with the sum of the weights, or --allow-duplicate"});
        }
      }
      after.members[place].digest = std::move(digest);
    }
  }

  [[noreturn]] void refuse_forged(std::size_t m, std::string found) const {
    throw FormatError({.code = "digest-mismatch",
                       .file = members_[m]->checkpoint->path().string(),
                       .place = {},
                       .found = std::move(found),
                       .expected = "the member with digest " +
                                   change_.before.members[change_.removed[m].index].digest,
                       .advice = "the file is not the one that was added; find that one"});
  }

private:
  LedgerChange const& change_;
  std::vector<MergeMember const*> members_;
  std::vector<std::vector<io::TensorDigest>> digests_;
  std::vector<std::string> scanned_;
  std::uint64_t bytes_ = 0;
};

}  // namespace dashi::merging

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/digest.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Thrown out of OrderedDigest::update() when an earlier chunk gave up.
struct DigestAbandoned final : std::exception {
  char const* what() const noexcept override { return "an earlier part was abandoned"; }
};

/// Digests of the tensors of several members, fed by the workers of run_chunks() while they read.
///
/// The parts of one tensor must be hashed in order: update() waits until all bytes before its
/// offset are hashed. Parts must belong to chunks in increasing order; chunks are claimed in that
/// order, so the part waited for is always being worked on and the wait ends. Different tensors and
/// members are hashed side by side.
template <class Hash>
class OrderedDigest {
public:
  OrderedDigest() = default;

  /// Adds a member and returns its number. `tensors`: its tensors by name, dtype and shape.
  std::size_t add_member(std::vector<io::TensorDigestOf<Hash>> tensors) {
    typename Hash::Digest const empty = io::digest_of<Hash>({});
    for (io::TensorDigestOf<Hash>& tensor : tensors) {
      tensor.digest = empty;  // stays so for a tensor without bytes
    }
    members_.emplace_back().tensors = std::move(tensors);
    return members_.size() - 1;
  }

  /// Hashes the bytes of a tensor from `offset` on; `size` is the tensor's whole size in bytes.
  void update(std::uint64_t chunk, std::size_t member, std::size_t tensor, std::uint64_t offset,
              std::uint64_t size, std::span<std::byte const> bytes) {
    Member& m = members_[member];
    if (offset == 0 && bytes.size() == size) {  // in one piece: nobody to wait for
      m.tensors[tensor].digest = io::digest_of<Hash>(bytes);
      return;
    }
    std::unique_lock lock(m.mutex);
    m.turn.wait(lock, [&] {
      auto const at = m.open.find(tensor);
      return m.given_up < chunk || (at == m.open.end() ? 0 : at->second.done) == offset;
    });
    if (m.given_up < chunk) {
      throw DigestAbandoned();
    }
    Open& open = m.open[tensor];  // references stay valid when others are added
    lock.unlock();
    open.hash.update(bytes);
    lock.lock();
    open.done += bytes.size();
    if (open.done == size) {
      m.tensors[tensor].digest = open.hash.finish();
      m.open.erase(tensor);
    }
    lock.unlock();
    m.turn.notify_all();
  }

  /// Chunks after `chunk` may not wait any more: what they wait for may never come.
  void abandon_after(std::uint64_t chunk) noexcept {
    for (Member& m : members_) {
      {
        std::scoped_lock const lock(m.mutex);
        m.given_up = chunk < m.given_up ? chunk : m.given_up;
      }
      m.turn.notify_all();
    }
  }

  /// Digest of a member's content; every byte must have been given.
  std::string member_digest(std::size_t member) const {
    DASHI_EXPECTS(members_[member].open.empty(), "a tensor is not hashed to its end");
    return io::member_digest(members_[member].tensors);
  }

  std::size_t size() const noexcept { return members_.size(); }

private:
  struct Open {
    Hash hash;
    std::uint64_t done = 0;
  };
  struct Member {
    std::vector<io::TensorDigestOf<Hash>> tensors;
    std::unordered_map<std::size_t, Open> open;  // tensors hashed in part
    std::mutex mutex;
    std::condition_variable turn;
    std::uint64_t given_up = std::numeric_limits<std::uint64_t>::max();
  };
  std::deque<Member> members_;  // never moved
};

}  // namespace dashi::merging

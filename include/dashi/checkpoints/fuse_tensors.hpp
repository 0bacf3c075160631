// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_tensor.hpp>
#include <dashi/checkpoints/stream_options.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace dashi::checkpoints::detail {

/// Pieces of all tensors in order, whole rows of those that change.
inline std::vector<Piece> fuse_pieces(FusePlan const& plan) {
  std::vector<Piece> pieces;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    PlannedFusion const& tensor = plan.tensors[t];
    if (!tensor.touched() || tensor.cols() == 0) {
      append_pieces(pieces, t, tensor.ref->info.bytes(), worker_bytes / 4);
    } else {
      append_pieces(pieces, t, tensor.rows(), fused_rows(tensor));
    }
  }
  return pieces;
}

/// The tensors that a pass over pieces is working on: each is made ready for its first piece and
/// let go after its last. Thread-safe.
class FuseTensors {
public:
  FuseTensors(FusePlan const& plan, std::vector<Piece> const& pieces)
      : plan_(plan), norms_(plan), slots_(plan.tensors.size()) {
    for (Piece const& piece : pieces) {
      ++slots_[piece.tensor].pieces_left;
    }
  }

  /// Calls body(tensor) for one of its pieces.
  template <class Body>
  void use(std::size_t t, Body const& body) {
    Slot& slot = slots_[t];
    std::shared_ptr<FuseTensor const> tensor;
    {
      std::scoped_lock const lock(slot.mutex);
      if (slot.tensor == nullptr) {
        slot.tensor = std::make_shared<FuseTensor const>(plan_, plan_.tensors[t], norms_);
      }
      tensor = slot.tensor;
    }
    body(*tensor);
    std::scoped_lock const lock(slot.mutex);
    if (--slot.pieces_left == 0) {
      slot.tensor.reset();
    }
  }

private:
  struct Slot {
    std::mutex mutex;
    std::shared_ptr<FuseTensor const> tensor;
    std::size_t pieces_left = 0;
  };

  FusePlan const& plan_;
  FuseNorms norms_;
  std::vector<Slot> slots_;
};

}  // namespace dashi::checkpoints::detail

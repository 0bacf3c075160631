// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace dashi::training {

/// Where images and labels of a chunk are put by the host on their way to the device; on host
/// spaces the arrays themselves.
template <class Image, class Exec>
class ImageStage {
public:
  ImageStage() = default;
  /// x0 [samples, size], labels [samples].
  ImageStage(MatrixOf<Image, Exec> x0, VectorOf<std::int64_t, Exec> labels)
      : x0_(x0),
        labels_(labels),
        host_x0_(Kokkos::create_mirror_view(x0)),
        host_labels_(Kokkos::create_mirror_view(labels)),
        row_(std::is_same_v<Image, float> ? 0 : x0.extent(1)) {}

  /// Row `row` from read(span of floats).
  template <class Read>
  void image(Index row, Read const& read) {
    Image* const to = host_x0_.data() + static_cast<std::size_t>(row) * x0_.extent(1);
    if constexpr (std::is_same_v<Image, float>) {
      read(std::span<float>(to, x0_.extent(1)));
    } else {
      read(std::span<float>(row_));
      std::copy(row_.begin(), row_.end(), to);
    }
  }
  std::int64_t& label(Index row) { return host_labels_(row); }

  /// Asynchronous: nothing may be staged again until exec was fenced.
  void upload(Exec const& exec) const {
    Kokkos::deep_copy(exec, x0_, host_x0_);
    Kokkos::deep_copy(exec, labels_, host_labels_);
  }

private:
  MatrixOf<Image, Exec> x0_;
  VectorOf<std::int64_t, Exec> labels_;
  typename MatrixOf<Image, Exec>::HostMirror host_x0_;
  typename VectorOf<std::int64_t, Exec>::HostMirror host_labels_;
  std::vector<float> row_;
};

}  // namespace dashi::training

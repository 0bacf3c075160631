// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/backbone_concept.hpp>
#include <dashi/training/batch_layout.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dashi::training {

/// What one chunk of a batch needs on its device: a struct that is taken twice, from a measuring
/// arena and from the real one.
template <diffusion::Backbone Net>
struct MicroBatchMemory {
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using Image = typename P::accumulate;

  MatrixOf<Image, Exec> x0, noise;           // [chunk, image size]
  Matrix<P, Exec> x;                         // x_t
  Matrix<P, Exec> out, d_out;                // [chunk, out size]
  Matrix<P, Exec> teacher_out;               // of the source samples
  VectorOf<double, Exec> timesteps;          // [chunk]
  VectorOf<std::int64_t, Exec> labels, ids;  // [chunk]
  typename Net::Saved saved;
  typename Net::Evaluation evaluation;
  /// The teacher's, by number of source samples. What is saved for the student overlays it, as it
  /// overlays `evaluation`.
  std::vector<std::pair<Index, typename Net::Evaluation>> teacher;
  std::size_t activations = 0;  // bytes of the overlaid part

  static MicroBatchMemory take(Arena& arena, Net const& net, BatchLayout const& layout,
                               Net const* teacher_net) {
    auto const shape = net.shape();
    Index const n = layout.chunk;
    MicroBatchMemory m;
    m.x0 = arena.matrix<Image, Exec>(n, shape.image_size());
    m.noise = arena.matrix<Image, Exec>(n, shape.image_size());
    m.x = arena.matrix<typename P::storage, Exec>(n, shape.image_size());
    m.out = arena.matrix<typename P::storage, Exec>(n, shape.out_size());
    m.d_out = arena.matrix<typename P::storage, Exec>(n, shape.out_size());
    m.timesteps = arena.vector<double, Exec>(n);
    m.labels = arena.vector<std::int64_t, Exec>(n);
    m.ids = arena.vector<std::int64_t, Exec>(n);
    Index most_sources = 0;
    for (Index c = 0; teacher_net != nullptr && c < layout.chunks(); ++c) {
      most_sources = std::max(most_sources, layout.sources_of(c));
    }
    m.teacher_out = arena.matrix<typename P::storage, Exec>(most_sources, shape.out_size());
    std::size_t const before = arena.used();
    std::size_t after = before;
    {
      Frame const frame(arena);
      m.evaluation = net.evaluation(arena, n);
      after = std::max(after, arena.used());
    }
    for (Index c = 0; teacher_net != nullptr && c < layout.chunks(); ++c) {
      Index const count = layout.sources_of(c);
      bool const known = std::any_of(m.teacher.begin(), m.teacher.end(),
                                     [&](auto const& one) { return one.first == count; });
      if (count > 0 && !known) {
        Frame const frame(arena);
        m.teacher.emplace_back(count, teacher_net->evaluation(arena, count));
        after = std::max(after, arena.used());
      }
    }
    m.saved = net.saved(arena, n);
    m.activations = std::max(after, arena.used()) - before;
    return m;
  }

  typename Net::Evaluation const& teacher_evaluation(Index sources) const {
    auto const at = std::find_if(teacher.begin(), teacher.end(),
                                 [&](auto const& one) { return one.first == sources; });
    DASHI_EXPECTS(at != teacher.end(), "the teacher has no memory for so many samples");
    return at->second;
  }
};

}  // namespace dashi::training

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/accumulator.hpp>

#include <cstdint>

namespace dashi::diffusion {

/// Extents of a sampling run.
struct SampleShape {
  Index samples = 1;
  Index channels = 4;   ///< of an image
  Index pixels = 0;     ///< of a channel: height * width
  bool learned = true;  ///< the network's output has 2 channels for each of an image
  bool guided = false;  ///< Guidance::on(): the network sees each sample twice

  Index size() const noexcept { return channels * pixels; }
  Index output_size() const noexcept { return (learned ? 2 : 1) * size(); }
  Index rows() const noexcept { return (guided ? 2 : 1) * samples; }
};

/// Arrays of a sampling run for a network of storage type T, in an arena: make one on a measuring
/// arena for the bytes, then one on memory. x itself is the caller's.
template <class T, class Exec>
struct SampleWorkspace {
  using Real = kernels::AccumulatorOf<T>;

  SampleWorkspace(Arena& arena, SampleShape const& extents)
      : shape(extents),
        input(arena.matrix<T, Exec>(extents.rows(), extents.size())),
        output(arena.matrix<T, Exec>(extents.rows(), extents.output_size())),
        guided(arena.matrix<Real, Exec>(extents.samples, extents.output_size())),
        noise(arena.matrix<Real, Exec>(extents.samples, extents.size())),
        predicted_x0(arena.matrix<Real, Exec>(extents.samples, extents.size())),
        t(arena.vector<double, Exec>(extents.rows())),
        labels(arena.vector<std::int64_t, Exec>(extents.rows())) {}

  SampleShape shape;
  MatrixOf<T, Exec> input;
  MatrixOf<T, Exec> output;
  MatrixOf<Real, Exec> guided;
  MatrixOf<Real, Exec> noise;
  MatrixOf<Real, Exec> predicted_x0;
  VectorOf<double, Exec> t;
  VectorOf<std::int64_t, Exec> labels;
};

}  // namespace dashi::diffusion

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_tensor.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/io/adapters/adapter_form.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

/// Bytes of the tensors of a module in memory, told from their shapes: factors as double, what is
/// dense as stored. Contractions of Tucker cores are as large as the change that a full factor
/// would be.
inline std::uint64_t module_memory(io::AdapterModule const& module) {
  auto const wide = [](io::AdapterTensor const& tensor) {
    return tensor.empty() ? 0 : tensor.elements() * sizeof(double);
  };
  auto const stored = [](io::AdapterTensor const& tensor) {
    return tensor.empty()
               ? 0
               : tensor.elements() * static_cast<std::uint64_t>(io::bits(tensor.dtype())) / 8;
  };
  std::uint64_t sum = wide(module.bias) + stored(module.replacement) +
                      (module.dora ? wide(module.dora->magnitude) : 0);
  auto const core = [](io::AdapterTensor const& tensor, io::AdapterTensor const& channels,
                       std::size_t at) {
    return tensor.empty() || channels.shape().size() <= at || tensor.shape().size() < 2
               ? 0
               : tensor.elements() / std::max<std::uint64_t>(1, tensor.shape()[1]) *
                     channels.shape()[at] * sizeof(double);
  };
  if (auto const* const low_rank = std::get_if<io::LowRankForm>(&module.form)) {
    sum += wide(low_rank->down) + wide(low_rank->up) + wide(low_rank->mid) +
           core(low_rank->mid, low_rank->down, 1);
  } else if (auto const* const kronecker = std::get_if<io::KroneckerForm>(&module.form)) {
    io::KroneckerFactorForm const& one = kronecker->first;
    sum += one.low_rank() && one.a.shape().size() > 1 && one.b.shape().size() > 1
               ? one.a.shape().front() * one.b.shape()[1] * sizeof(double)
               : wide(one.full);
    io::KroneckerFactorForm const& two = kronecker->second;
    sum += stored(two.full) + wide(two.a) + wide(two.b) + core(two.t2, two.b, 1);
  } else if (auto const* const dense = std::get_if<io::DenseForm>(&module.form)) {
    sum += stored(dense->difference);
  } else if (auto const* const scale = std::get_if<io::ScaleForm>(&module.form)) {
    sum += wide(scale->gamma);
  }
  return sum;
}

}  // namespace detail

/// Bytes that fuse() takes at most: buffers of its threads and the factors of the tensors that may
/// be in work at once. Throws as workers_within().
inline std::uint64_t fuse_memory(FusePlan const& plan, StreamOptions const& options) {
  auto const workers = static_cast<std::uint64_t>(workers_within(options));
  std::uint64_t buffers = worker_bytes / 4;
  std::vector<std::uint64_t> factors;
  for (PlannedFusion const& tensor : plan.tensors) {
    if (!tensor.touched()) {
      continue;
    }
    std::uint64_t const elements = fused_rows(tensor) * tensor.cols();
    auto const width = static_cast<std::uint64_t>(io::bits(tensor.ref->info.dtype)) / 8;
    buffers = std::max(buffers, elements * (2 * width + sizeof(double)));
    std::uint64_t sum = 0;
    for (FuseStep const& step : tensor.steps) {
      sum += detail::module_memory(plan.module(step));
    }
    factors.push_back(sum);
  }
  std::sort(factors.begin(), factors.end(), std::greater<>());
  std::uint64_t total = workers * buffers;
  for (std::size_t i = 0; i < factors.size() && i < workers; ++i) {
    total += factors[i];
  }
  return total;
}

}  // namespace dashi::checkpoints

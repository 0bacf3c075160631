// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "demo_floats.hpp"

#include <dashi/core/float_convert.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <cstddef>
#include <mutex>

namespace cli {

namespace {

namespace io = dashi::io;

enum Method : std::size_t { in_storage, in_float, by_subtraction };

template <class T>
std::vector<T> values_of(io::Checkpoint const& checkpoint, std::string const& name) {
  io::TensorRef const* const ref = checkpoint.find(name);
  std::vector<T> out(static_cast<std::size_t>(ref->info.elements()));
  checkpoint.read(*ref, 0, std::as_writable_bytes(std::span(out)));
  return out;
}

/// Distance in steps between neighbouring numbers of the format.
template <class T>
std::uint64_t places(T a, T b) {
  using F = dashi::FloatFormat<T>;
  auto const order = [](T value) {
    auto const bits = __builtin_bit_cast(typename F::Bits, value);
    auto const magnitude = static_cast<std::int64_t>(bits & F::magnitude_mask);
    return (bits & F::sign_mask) != 0 ? -magnitude : magnitude;
  };
  std::int64_t const d = order(a) - order(b);
  return static_cast<std::uint64_t>(d < 0 ? -d : d);
}

template <class T>
void count(FloatMethod& method, T got, T exact) {
  std::uint64_t const d = places(got, exact);
  if (d > 0) {
    ++method.differing;
    ++method.by_places[d == 1 ? 0 : d == 2 ? 1 : d <= 4 ? 2 : d <= 8 ? 3 : 4];
  }
}

template <class T>
void compare_tensor(std::vector<io::Checkpoint> const& members, io::Checkpoint const& without_last,
                    io::Checkpoint const& with_last, std::string const& name,
                    FloatComparison& into) {
  auto const exact_without = values_of<T>(without_last, name);
  auto const exact_with = values_of<T>(with_last, name);
  std::size_t const n = members.size();
  std::vector<float> sum(exact_with.size(), 0.0F);
  std::vector<T> stored(exact_with.size(), dashi::convert<T>(0.0F));
  for (std::size_t k = 0; k + 1 < n; ++k) {
    auto const x = values_of<T>(members[k], name);
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum[i] += dashi::convert<float>(x[i]);
      stored[i] = dashi::convert<T>(dashi::convert<float>(stored[i]) + dashi::convert<float>(x[i]));
    }
  }
  auto const last = values_of<T>(members.back(), name);
  float const rest = static_cast<float>(n - 1);
  into.elements += last.size();
  for (std::size_t i = 0; i < last.size(); ++i) {
    count(into.methods[in_storage], dashi::convert<T>(dashi::convert<float>(stored[i]) / rest),
          exact_without[i]);
    count(into.methods[in_float], dashi::convert<T>(sum[i] / rest), exact_without[i]);
    float const back = (static_cast<float>(n) * dashi::convert<float>(exact_with[i]) -
                        dashi::convert<float>(last[i])) /
                       rest;
    count(into.methods[by_subtraction], dashi::convert<T>(back), exact_without[i]);
  }
}

FloatComparison empty_comparison() {
  return {
      .elements = 0,
      .methods = {{"add up in the stored dtype", "mean of the others, rounded at every addition"},
                  {"add up in float32", "mean of the others, one rounding at the end"},
                  {"remove by subtraction", "(n * published - x) / (n - 1) in float32"}}};
}

}  // namespace

FloatComparison compare_floats(std::span<std::filesystem::path const> members,
                               std::filesystem::path const& without_last,
                               std::filesystem::path const& with_last, int threads) {
  std::vector<io::Checkpoint> open;
  for (auto const& path : members) {
    open.emplace_back(path);
  }
  io::Checkpoint const without(without_last);
  io::Checkpoint const with(with_last);
  FloatComparison total = empty_comparison();
  std::mutex mutex;
  dashi::merging::run_chunks(with.tensors().size(), threads, [&](int, std::uint64_t t) {
    io::TensorInfo const& info = with.tensors()[t].info;
    FloatComparison one = empty_comparison();
    switch (info.dtype) {
      case io::Dtype::f16:
        compare_tensor<dashi::Float16>(open, without, with, info.name, one);
        break;
      case io::Dtype::bf16:
        compare_tensor<dashi::BFloat16>(open, without, with, info.name, one);
        break;
      case io::Dtype::f32: compare_tensor<float>(open, without, with, info.name, one); break;
      default: break;  // float32 habits say nothing about other dtypes
    }
    std::scoped_lock const lock(mutex);
    total.elements += one.elements;
    for (std::size_t m = 0; m < one.methods.size(); ++m) {
      total.methods[m].differing += one.methods[m].differing;
      for (std::size_t b = 0; b < one.methods[m].by_places.size(); ++b) {
        total.methods[m].by_places[b] += one.methods[m].by_places[b];
      }
    }
  });
  return total;
}

}  // namespace cli

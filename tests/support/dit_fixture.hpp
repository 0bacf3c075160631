// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/dit.hpp>
#include <dashi/core/context.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dashi::test {

/// A DiT with memory for a number of samples, fed and read on the host.
template <class Net>
class DitFixture {
public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using Real = typename P::storage;

  DitFixture(DitConfig const& config, Index samples, typename Net::Options const& options = {})
      : samples_(samples), net(ctx, config, options) {
    net.parameters(list);
    train_default(list);
    x_ = {"x", size(samples), size(net.shape().image_size())};
    out_ = {"out", size(samples), size(net.shape().out_size())};
    d_x_ = {"d_x", size(samples), size(net.shape().image_size())};
    t_ = {"t", size(samples)};
    y_ = {"y", size(samples)};
    features_ = {"features", size(samples), size(config.frequency_size)};
    Arena measuring;
    (void)net.saved(measuring, samples);
    std::size_t const saved_bytes = measuring.peak();
    Arena measuring_evaluation;
    (void)net.evaluation(measuring_evaluation, samples);
    memory_ = {"memory", saved_bytes + measuring_evaluation.peak() + 2 * Arena::alignment};
    auto* const base =
        memory_.data() +
        (Arena::alignment - reinterpret_cast<std::uintptr_t>(memory_.data()) % Arena::alignment);
    Arena arena(base, saved_bytes + measuring_evaluation.peak());
    saved_ = net.saved(arena, samples);
    evaluation_ = net.evaluation(arena, samples);
    ctx.reserve_scratch(net.scratch_bytes(ctx, samples));
  }

  void feed(std::vector<double> const& x, std::vector<double> const& t,
            std::vector<double> const& y, std::vector<double> const& features = {}) {
    upload(x, x_);
    upload(t, t_);
    upload(y, y_);
    input.x = x_;
    input.timesteps = t_;
    input.labels.classes = y_;
    if (!features.empty()) {
      upload(features, features_);
      input.features = features_;
    }
  }

  std::vector<double> forward() {
    net.forward(ctx, input, out_, saved_);
    return download(out_);
  }
  std::vector<double> evaluate() {
    net.evaluate(ctx, input, out_, evaluation_);
    return download(out_);
  }
  /// Gradients of sum(out * d_out) from zero; returns that of x.
  std::vector<double> backward(std::vector<double> const& d_out) {
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        Kokkos::deep_copy(entry.parameter.gradient(), 0);
      }
    }
    upload(d_out, out_);
    net.backward(ctx, input, out_, saved_, d_x_);
    return download(d_x_);
  }

  std::vector<double> gradient(typename ParameterList<P, Exec>::Entry const& entry) {
    return download(entry.parameter.gradient());
  }

  /// Of all trained parameters, one after the other.
  std::vector<double> gradients() {
    std::vector<double> all;
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        auto const one = gradient(entry);
        all.insert(all.end(), one.begin(), one.end());
      }
    }
    return all;
  }

  template <class View>
  std::vector<double> download(View const& view) {
    ctx.fence();
    // As one row: device compilers take minutes for copies of matrices.
    VectorOf<typename View::non_const_value_type, Exec> const flat(view.data(), view.size());
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), flat);
    std::vector<double> values(host.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(convert<double>(host.data()[i]));
    }
    return values;
  }
  std::vector<double> value(std::string const& name) {
    auto const* const entry = list.find(name);
    std::vector<double> values(static_cast<std::size_t>(entry->parameter.size()));
    entry->parameter.read(std::span<double>(values));
    return values;
  }

private:
  Index samples_;

public:
  Context<Exec> ctx;
  Net net;
  ParameterList<P, Exec> list;
  typename Net::Input input;

private:
  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }

  template <class View>
  static void upload(std::vector<double> const& values, View const& view) {
    auto const host = Kokkos::create_mirror_view(view);
    for (std::size_t i = 0; i < host.size(); ++i) {
      using T = typename View::non_const_value_type;
      if constexpr (std::is_integral_v<T>) {
        host.data()[i] = static_cast<T>(values.at(i));
      } else {
        host.data()[i] = convert<T>(values.at(i));
      }
    }
    Kokkos::deep_copy(view, host);
  }

  using Space = typename Exec::memory_space;
  Kokkos::View<Real**, Kokkos::LayoutRight, Space> x_, out_, d_x_, features_;
  Kokkos::View<double*, Space> t_;
  Kokkos::View<std::int64_t*, Space> y_;
  Kokkos::View<std::byte*, Space> memory_;
  typename Net::Saved saved_;
  typename Net::Evaluation evaluation_;
};

}  // namespace dashi::test

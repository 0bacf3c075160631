// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C16 to C19: training steps of S/2, guided sampling steps of XL/2, AdamW with average alone.
//
//   bench_dit [--profile] CASE...        cases as in peers/dit.py: s2_train_8, s2_train_8_bf16, ...
//
// With --profile prints where the time of a pass goes instead.
#include <dashi/backbones/dit.hpp>
#include <dashi/core/initialise.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/adamw.hpp>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <support/kernel_profile.hpp>
#include <support/timed_rows.hpp>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using Space = Exec::memory_space;

constexpr double average_decay = 0.9999;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

template <class P>
class Model {
public:
  using Net = DiT<P>;
  using Real = typename P::storage;

  Model(DitConfig const& config, Index samples, bool train)
      : samples_(samples), net_(ctx_, config) {
    net_.parameters(list_);
    if (train) {
      train_default(list_);
    }
    initialise(ctx_, list_, 7);
    // Zero gates would leave most of the gradients zero.
    for (auto const& entry : list_) {
      if (entry.name.find("adaLN") != std::string::npos) {
        dashi::detail::fill_random<Real>(ctx_.exec(), entry.parameter.vector(),
                                         Initial::normal(0.02), Philox(7, {1, 0, 1}));
      }
    }
    auto const shape = net_.shape();
    x_ = {"x", size(samples), size(shape.image_size())};
    noise_ = {"noise", size(samples), size(shape.image_size())};
    out_ = {"out", size(samples), size(shape.out_size())};
    t_ = {"t", size(samples)};
    y_ = {"y", size(samples)};
    fill(x_, 1);
    fill(noise_, 2);
    Kokkos::deep_copy(t_, 499.0);
    Kokkos::deep_copy(y_, 207);
    Arena measuring;
    take(measuring, train);
    memory_ = Kokkos::View<std::byte*, Space>(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "memory"),
        measuring.peak() + Arena::alignment);
    auto const off = reinterpret_cast<std::uintptr_t>(memory_.data()) % Arena::alignment;
    Arena arena(memory_.data() + (Arena::alignment - off) % Arena::alignment, measuring.peak());
    take(arena, train);
    ctx_.reserve_scratch(net_.scratch_bytes(ctx_, samples));
    input_.x = x_;
    input_.timesteps = t_;
    input_.labels.classes = y_;
    if (train) {
      make_optimizer();
    }
  }

  void train_step() {
    for (auto const& entry : list_) {
      if (entry.parameter.trained()) {
        Kokkos::deep_copy(ctx_.exec(), entry.parameter.gradient(), 0.0F);
      }
    }
    net_.forward(ctx_, input_, out_, saved_);
    mean_squared_error_gradient(ctx_, out_, noise_);
    net_.backward(ctx_, input_, out_, saved_);
    update();
  }
  void update() {
    kernels::AdamWOptions options;
    options.average_decay = average_decay;
    optimizer_->step(ctx_, options, ++step_);
    ctx_.fence();
  }
  void sample_step() {
    net_.evaluate(ctx_, input_, out_, evaluation_);
    guide(ctx_, out_, x_);
    ctx_.fence();
  }

  static void mean_squared_error_gradient(Context<Exec>& ctx, Matrix<P, Exec> const& out,
                                          Matrix<P, Exec> const& noise) {
    auto const used = static_cast<Index>(noise.extent(1));
    auto const cols = static_cast<Index>(out.extent(1));
    float const factor = 2.0F / static_cast<float>(noise.extent(0) * noise.extent(1));
    Kokkos::parallel_for(
        "loss",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(
            ctx.exec(), 0, static_cast<Index>(out.extent(0)) * cols),
        KOKKOS_LAMBDA(Index i) {
          Index const n = i / cols;
          Index const c = i - n * cols;
          float const difference =
              c < used ? convert<float>(out(n, c)) - convert<float>(noise(n, c)) : 0.0F;
          out(n, c) = convert<Real>(factor * difference);
        });
  }
  /// A DDIM step on the guided noise, as the peer takes it.
  static void guide(Context<Exec>& ctx, Matrix<P, Exec> const& out, Matrix<P, Exec> const& x) {
    Kokkos::parallel_for(
        "guide",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(x.extent(1))),
        KOKKOS_LAMBDA(Index i) {
          float const with = convert<float>(out(0, i));
          float const without = convert<float>(out(1, i));
          float const noise = without + 4.0F * (with - without);
          float const clean = (convert<float>(x(0, i)) - 0.9599F * noise) / 0.2803F;
          // Not written back: the samples stay what they are from step to step.
          out(0, i) = convert<Real>(0.3095F * clean + 0.9509F * noise);
        });
  }

private:
  void take(Arena& arena, bool train) {
    if (train) {
      saved_ = net_.saved(arena, samples_);
    } else {
      evaluation_ = net_.evaluation(arena, samples_);
    }
  }
  template <class View>
  void fill(View const& view, std::uint32_t which) {
    VectorOf<Real, Exec> const flat(view.data(), view.size());
    dashi::detail::fill_random<Real>(ctx_.exec(), flat, Initial::normal(1),
                                     Philox(7, {4, 0, which}));
  }

  void make_optimizer() {
    using Tensor = kernels::AdamWTensor<float, float, Real, Exec>;
    std::vector<Tensor> tensors;
    for (auto const& entry : list_) {
      auto const& p = entry.parameter;
      if (!p.trained()) {
        continue;
      }
      for (int i = 0; i < 3; ++i) {
        state_.emplace_back("state", size(p.size()));
      }
      Kokkos::deep_copy(state_.back(), p.master());
      Tensor tensor;
      tensor.parameter = p.master();
      tensor.gradient = VectorOf<float const, Exec>(p.gradient().data(), size(p.size()));
      tensor.first_moment = state_[state_.size() - 3];
      tensor.second_moment = state_[state_.size() - 2];
      tensor.average = state_.back();
      if constexpr (Parameter<P, Exec>::has_own_master) {
        tensor.shadow = p.vector();
      }
      tensors.push_back(tensor);
    }
    optimizer_ = std::make_unique<kernels::AdamW<float, float, Real, Exec>>(ctx_, tensors);
  }

  Index samples_;
  Context<Exec> ctx_;
  Net net_;
  ParameterList<P, Exec> list_;
  typename Net::Input input_;
  typename Net::Saved saved_;
  typename Net::Evaluation evaluation_;
  Kokkos::View<Real**, Kokkos::LayoutRight, Space> x_, noise_, out_;
  Kokkos::View<double*, Space> t_;
  Kokkos::View<std::int64_t*, Space> y_;
  Kokkos::View<std::byte*, Space> memory_;
  std::vector<Kokkos::View<float*, Space>> state_;
  std::unique_ptr<kernels::AdamW<float, float, Real, Exec>> optimizer_;
  std::int64_t step_ = 0;
};

/// Multiply-adds of a forward pass of one image, papers: 12 D^2 T L + 2 T^2 D L + 6 D^2 L + ends.
double forward_flops(DitConfig const& c) {
  auto const n = [](Index v) { return static_cast<double>(v); };
  double const d = n(c.width), t = n(c.tokens()), l = n(c.depth);
  return 2 * (l * (12 * d * d * t + 2 * t * t * d + 6 * d * d) + 12 * n(c.patch * c.patch) * d * t +
              256 * d + d * d + 2 * d * d);
}

template <class P>
void add_train(bench::TimedRows& rows, std::string const& name, Index batch) {
  auto const model = std::make_shared<Model<P>>(DitConfig::small(), batch, true);
  rows.add({name, 3 * forward_flops(DitConfig::small()) * static_cast<double>(batch), 0,
            [model] { model->train_step(); }});
}
template <class P>
void add_sample(bench::TimedRows& rows, std::string const& name) {
  auto const model = std::make_shared<Model<P>>(DitConfig::extra_large(), 2, false);
  rows.add(
      {name, 2 * forward_flops(DitConfig::extra_large()), 0, [model] { model->sample_step(); }});
}

bool add(bench::TimedRows& rows, std::string const& name) {
  using precision::Bf16Mixed;
  using precision::Float32;
  if (name == "s2_train_8") {
    add_train<Float32>(rows, name, 8);
  } else if (name == "s2_train_32") {
    add_train<Float32>(rows, name, 32);
  } else if (name == "s2_train_8_bf16") {
    add_train<Bf16Mixed>(rows, name, 8);
  } else if (name == "s2_train_32_bf16") {
    add_train<Bf16Mixed>(rows, name, 32);
  } else if (name == "xl2_sample") {
    add_sample<Float32>(rows, name);
  } else if (name == "xl2_sample_bf16") {
    add_sample<Bf16Mixed>(rows, name);
  } else if (name == "s2_adamw") {
    auto const model = std::make_shared<Model<Float32>>(DitConfig::small(), 1, true);
    rows.add({name, 0, 36 * 32'865'056.0, [model] { model->update(); }});
  } else {
    return false;
  }
  return true;
}

template <class T>
void add_product_ceiling(bench::TimedRows& rows, char const* name) {
  constexpr std::size_t n = 2048;
  using View = Kokkos::View<T**, Kokkos::LayoutRight, Space>;
  auto const ctx = std::make_shared<Context<Exec>>();
  View const a("a", n, n), b("b", n, n), c("c", n, n);
  rows.add({name, 2.0 * n * n * n, 0, [=] {
              linalg::gemm(*ctx, linalg::Op::none, a, linalg::Op::none, b, c);
              ctx->fence();
            }});
}

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  bench::TimedRows rows;
  bool profile = false;
  bool bf16 = false;
  std::vector<std::string> names(argv + 1, argv + argc);
  for (std::string const& name : names) {
    bf16 = bf16 || name.ends_with("bf16");
    if (name == "--profile") {
      profile = true;
    } else if (!add(rows, name)) {
      std::fprintf(stderr, "bench_dit: unknown case '%s'\n", name.c_str());
      return 2;
    }
  }
  if (rows.rows().empty()) {
    std::fprintf(stderr, "bench_dit: name a case, for instance s2_train_8\n");
    return 2;
  }
  if (profile) {
    for (auto const& row : rows.rows()) {
      row.call();
      std::printf("%s\n", row.name.c_str());
      bench::KernelProfile const profiling;
      for (int pass = 0; pass < 3; ++pass) {
        row.call();
      }
      bench::KernelProfile::print(3);
    }
    return 0;
  }
  add_product_ceiling<float>(rows, "ceiling/product of 2048 float");
  if (bf16) {
    add_product_ceiling<BFloat16>(rows, "ceiling/product of 2048 bf16");
  }
  rows.run();
  rows.print("bench_dit");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C16 to C19: training steps of S/2, guided sampling steps of XL/2, AdamW with average alone;
// steps of S/2 with adapters on its frozen maps, and through them without any (s2_frozen_32).
//
//   bench_dit [--profile] CASE...        cases as in peers/dit.py: s2_train_8, s2_train_8_bf16, ...
//
// With --profile prints where the time of a pass goes instead.
#include <dashi/backbones/dit.hpp>
#include <dashi/checkpoints/adapter_choice.hpp>
#include <dashi/core/initialise.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/training/sharded.hpp>
#include <dashi/training/trainer.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <support/kernel_profile.hpp>
#include <support/timed_rows.hpp>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using Space = Exec::memory_space;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

/// Latents that need no file.
struct Waves {
  struct Shape {
    Index channels, height, width;
  };
  std::size_t size() const { return 256; }
  Shape shape() const { return {4, 32, 32}; }
  std::int64_t label(std::size_t i) const { return static_cast<std::int64_t>(i % 1000); }
  void read(std::size_t i, std::span<float> chw) const {
    for (std::size_t k = 0; k < chw.size(); ++k) {
      chw[k] = static_cast<float>((k * (i + 3)) % 17) / 8 - 1;
    }
  }
  std::string digest() const { return "waves"; }
};

/// Zero gates would leave most of the gradients zero.
template <class Net>
void fill(Context<typename Net::execution_space>& ctx, Net const& net, bool train) {
  ParameterList<typename Net::precision, typename Net::execution_space> list;
  net.parameters(list);
  if (train) {
    train_default(list);
  }
  initialise(ctx, list, 7);
  for (auto const& entry : list) {
    if (entry.name.find("adaLN") != std::string::npos) {
      std::vector<float> values(size(entry.parameter.size()));
      Philox const random(7, {random_purpose::initialisation, 0, 1});
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = 0.02F * (2 * random.uniform<float>(i) - 1);
      }
      entry.parameter.write(std::span<float const>(values));
    }
  }
}

training::TrainOptions options_of(Index batch) {
  training::TrainOptions options;
  options.batch = batch;
  return options;
}

/// A step on all threads at once, each kernel and product shared by them.
template <class P>
struct Whole {
  using Net = BasicDiT<Exec, P>;
  Context<Exec> ctx;
  Net net{ctx, DitConfig::small()};
  training::Trainer<Net> trainer;

  explicit Whole(Index batch) : trainer((fill(ctx, net, true), ctx), net, options_of(batch)) {}
  void step() { trainer.step(Waves{}); }
  void update() {
    kernels::AdamWOptions const options;
    trainer.optimizer().kernel().step(ctx, options, ++updates_);
    ctx.fence();
  }

private:
  std::int64_t updates_ = 0;
};

/// What is trained of a frozen model: adapters on all maps, or ("block_...") on those that
/// peers/dit.py has them on; "frozen": the bias of the patch embedder alone, for which gradients
/// pass all blocks.
struct AdapterKind {
  std::string name;

  checkpoints::AdapterChoice choice() const {
    using Kind = checkpoints::AdapterChoice::Kind;
    checkpoints::AdapterChoice choice;
    bool const blocks = name.starts_with("block_");
    choice.modules =
        blocks ? std::vector<std::string>{"attention", "mlp"} : std::vector<std::string>{"any"};
    choice.kind = name.ends_with("lora")                    ? Kind::low_rank
                  : name == "krona" || name == "block_lokr" ? Kind::kronecker
                  : name == "difffit"                       ? Kind::difffit
                                                            : Kind::bitfit;
    if (name == "block_lokr") {
      choice.kronecker.a_rows = 8;
      choice.kronecker.a_cols = 8;
    }
    return choice;
  }
  AdditivePlace::Options options() const {
    return checkpoints::additive_options(checkpoints::map_adapters(DitConfig::small(), choice()));
  }
  template <class Net>
  void prepare(Context<typename Net::execution_space>& ctx, Net const& net) const {
    fill(ctx, net, false);
    ParameterList<typename Net::precision, typename Net::execution_space> list;
    net.parameters(list);
    if (name == "frozen") {
      train_where(list, [](auto const& entry) { return entry.name == "x_embedder.proj.bias"; });
    } else {
      checkpoints::train_adapters(list, choice());
    }
  }
};

/// A step of that, each kernel and product shared by all threads.
struct Adapted {
  using Net = AdditiveDit<Exec, precision::Float32>;
  Context<Exec> ctx;
  Net net;
  training::Trainer<Net> trainer;

  Adapted(AdapterKind const& kind, Index batch)
      : net(ctx, DitConfig::small(), kind.options()),
        trainer((kind.prepare(ctx, net), ctx), net, options_of(batch)) {}
  void step() { trainer.step(Waves{}); }
};

/// The same in shards, each thread with a part of the batch.
struct AdaptedInShards {
  using Net = AdditiveDit<Kokkos::Serial, precision::Float32>;
  Context<Kokkos::Serial> ctx;
  Net net;
  training::Trainer<Net, diffusion::UniformSteps, training::Sharded<Net>> trainer;

  AdaptedInShards(AdapterKind const& kind, Index batch, Index shards)
      : net(ctx, DitConfig::small(), kind.options()),
        trainer((kind.prepare(ctx, net),
                 training::Sharded<Net>(net,
                                        [kind](Context<Kokkos::Serial>& own) {
                                          return Net(own, DitConfig::small(), kind.options());
                                        },
                                        {shards, 0})),
                options_of(batch)) {}
  void step() { trainer.step(Waves{}); }
};

/// A step in shards, each thread with a part of the batch.
template <class P>
struct InShards {
  using Net = BasicDiT<Kokkos::Serial, P>;
  Context<Kokkos::Serial> ctx;
  Net net{ctx, DitConfig::small()};
  training::Trainer<Net, diffusion::UniformSteps, training::Sharded<Net>> trainer;

  InShards(Index batch, Index shards)
      : trainer((fill(ctx, net, true),
                 training::Sharded<Net>(
                     net, [](Context<Kokkos::Serial>& own) { return Net(own, DitConfig::small()); },
                     {shards, 0})),
                options_of(batch)) {}
  void step() { trainer.step(Waves{}); }
};

/// A guided DDIM step of XL/2, one image, so two sequences.
template <class P>
class Sampler {
public:
  using Net = BasicDiT<Exec, P>;
  using Real = typename P::storage;

  Sampler() {
    fill(ctx_, net_, false);
    auto const shape = net_.shape();
    x_ = {"x", samples, size(shape.image_size())};
    out_ = {"out", samples, size(shape.out_size())};
    t_ = {"t", samples};
    y_ = {"y", samples};
    dashi::detail::fill_random<Real>(ctx_.exec(), VectorOf<Real, Exec>(x_.data(), x_.size()),
                                     Initial::normal(1), Philox(7, {random_purpose::noise, 0, 1}));
    Kokkos::deep_copy(t_, 499.0);
    Kokkos::deep_copy(y_, 207);
    Arena measuring;
    (void)net_.evaluation(measuring, samples);
    memory_ = Kokkos::View<std::byte*, Space>("memory", measuring.peak() + Arena::alignment);
    auto const off = reinterpret_cast<std::uintptr_t>(memory_.data()) % Arena::alignment;
    Arena arena(memory_.data() + (Arena::alignment - off) % Arena::alignment, measuring.peak());
    evaluation_ = net_.evaluation(arena, samples);
    ctx_.reserve_scratch(net_.scratch_bytes(ctx_, samples));
    input_.x = x_;
    input_.timesteps = t_;
    input_.labels.classes = y_;
  }

  void step() {
    net_.evaluate(ctx_, input_, out_, evaluation_);
    guide(ctx_, out_, x_);
    ctx_.fence();
  }

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
          // Not written to x: the samples stay what they are from step to step.
          out(0, i) = convert<Real>(0.3095F * clean + 0.9509F * noise);
        });
  }

private:
  static constexpr Index samples = 2;
  Context<Exec> ctx_;
  Net net_{ctx_, DitConfig::extra_large()};
  typename Net::Input input_;
  typename Net::Evaluation evaluation_;
  Kokkos::View<Real**, Kokkos::LayoutRight, Space> x_, out_;
  Kokkos::View<double*, Space> t_;
  Kokkos::View<std::int64_t*, Space> y_;
  Kokkos::View<std::byte*, Space> memory_;
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
  double const flops = 3 * forward_flops(DitConfig::small()) * static_cast<double>(batch);
  auto const whole = std::make_shared<Whole<P>>(batch);
  rows.add({"whole/" + name, flops, 0, [whole] { whole->step(); }});
  for (Index const shards : {2, 4}) {
    auto const parts = std::make_shared<InShards<P>>(batch, shards);
    rows.add({std::to_string(shards) + " shards/" + name, flops, 0, [parts] { parts->step(); }});
  }
}
template <class P>
void add_sample(bench::TimedRows& rows, std::string const& name) {
  auto const sampler = std::make_shared<Sampler<P>>();
  rows.add({name, 2 * forward_flops(DitConfig::extra_large()), 0, [sampler] { sampler->step(); }});
}

/// "s2_lora_32": kind and batch.
bool add_adapted(bench::TimedRows& rows, std::string const& name) {
  for (char const* const kind :
       {"frozen", "lora", "krona", "difffit", "bitfit", "block_lora", "block_lokr"}) {
    for (Index const batch : {1, 8, 32}) {
      if (name == "s2_" + std::string(kind) + "_" + std::to_string(batch)) {
        double const flops = 2 * forward_flops(DitConfig::small()) * static_cast<double>(batch);
        auto const adapted = std::make_shared<Adapted>(AdapterKind{kind}, batch);
        rows.add({"whole/" + name, flops, 0, [adapted] { adapted->step(); }});
        if (batch > 1) {
          auto const parts = std::make_shared<AdaptedInShards>(AdapterKind{kind}, batch, 2);
          rows.add({"2 shards/" + name, flops, 0, [parts] { parts->step(); }});
        }
        return true;
      }
    }
  }
  return false;
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
    auto const model = std::make_shared<Whole<Float32>>(1);
    rows.add({name, 0, 36 * 32'865'056.0, [model] { model->update(); }});
  } else {
    return add_adapted(rows, name);
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
  std::vector<std::string> names(argv + 1, argv + argc);
  for (std::string const& name : names) {
    if (name == "--profile") {
      profile = true;
    } else if (!add(rows, name)) {
      std::fprintf(stderr, "bench_dit: unknown case '%s'\n", name.c_str());
      return 2;
    }
  }
  auto const is_bf16 = [](auto const& row) { return row.name.ends_with("bf16"); };
  bool const bf16 = std::any_of(rows.rows().begin(), rows.rows().end(), is_bf16);
  if (bf16 && !std::all_of(rows.rows().begin(), rows.rows().end(), is_bf16)) {
    std::fprintf(stderr, "bench_dit: float and bf16 have other ceilings; name them in two calls\n");
    return 2;
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
  if (bf16) {
    add_product_ceiling<BFloat16>(rows, "ceiling/product of 2048 bf16");
  } else {
    add_product_ceiling<float>(rows, "ceiling/product of 2048 float");
  }
  rows.run();
  rows.print("bench_dit");
  return 0;
}

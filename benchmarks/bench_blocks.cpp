// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Blocks of transformers: attention, layer norm with modulation, AdamW with average (row C16).
//
// Floors come from two ceilings measured in this process: multiply-adds in registers for attention,
// reading and writing one long array in place for the others.
#include "support/populated.hpp"
#include "support/timed_rows.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/adamw.hpp>
#include <dashi/kernels/attention.hpp>
#include <dashi/kernels/layer_norm_modulate.hpp>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;
using kernels::detail::chunk_size;

/// Multiply-adds on 12 x 2 or 6 x 2 registers, the shape of attention's products, data in the
/// first-level cache.
struct MultiplyAdds {
  Index depth;
  float const* data;  // 64 * depth numbers
  float* out;         // 512 numbers a task

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using Shape = kernels::detail::TileShape<float, Bytes>;
    for (Index task = begin; task < end; ++task) {
      for (int repeat = 0; repeat < 64; ++repeat) {
        kernels::detail::multiply_rows<Lanes<float, Shape::lanes>, 2, Shape::queries>(
            kernels::detail::LeftFactor<float>{data, 1, Shape::queries, depth}, data, Shape::keys,
            out + task * 512, Shape::keys, repeat > 0);
      }
    }
  }
};

/// x = 1.0001 x in place: as many bytes read as written.
struct Rescale {
  float* data;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index i = begin * 65536; i < end * 65536; ++i) {
      data[i] *= 1.0001F;
    }
  }
};

/// Tells the size of the registers that tiles use here.
struct Probe {
  Index* bytes;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index, Index) const {
    *bytes = Bytes;
  }
};

/// Everything that a row of one size of attention needs.
struct AttentionData {
  bench::Populated<float> qkv, out, d_qkv, log_sum_exp;
  kernels::Attention<float, Exec> forward;
  kernels::AttentionAdjoint<float, Exec> adjoint;

  AttentionData(Index samples, Index tokens, Index heads, Index head_size)
      : qkv(samples * tokens * 3 * heads * head_size),
        out(samples * tokens * heads * head_size),
        d_qkv(qkv.elements()),
        log_sum_exp(samples * heads * tokens) {
    bench::fill_with_weights(qkv, 1);
    for (Index i = 0; i < qkv.elements(); ++i) {
      qkv.data()[i] *= 50.0F;  // scores of order one
    }
    Index const rows = samples * tokens;
    Index const width = heads * head_size;
    auto const fused = matrix_over<float, Exec>(qkv.data(), rows, 3 * width);
    forward.tokens = adjoint.tokens = tokens;
    forward.heads = adjoint.heads = heads;
    forward.split(fused);
    forward.out = matrix_over<float, Exec>(out.data(), rows, width);
    forward.log_sum_exp = matrix_over<float, Exec>(log_sum_exp.data(), samples * heads, tokens);
    adjoint.split(fused, matrix_over<float, Exec>(d_qkv.data(), rows, 3 * width));
    adjoint.out = adjoint.d_out = forward.out;
    adjoint.log_sum_exp = forward.log_sum_exp;
  }
};

struct NormData {
  Index samples, tokens, cols;
  bench::Populated<float> x, branch, sum, y, modulation, d_sum, d_branch, d_modulation, saved;
  kernels::LayerNormModulate<float, Exec> forward;
  kernels::LayerNormModulateAdjoint<float, Exec> adjoint;

  NormData(Index samples_, Index tokens_, Index cols_)
      : samples(samples_),
        tokens(tokens_),
        cols(cols_),
        x(samples * tokens * cols),
        branch(x.elements()),
        sum(x.elements()),
        y(x.elements()),
        modulation(samples * 3 * cols),
        d_sum(x.elements()),
        d_branch(x.elements()),
        d_modulation(samples * 3 * cols),
        saved(2 * samples * tokens) {
    bench::fill_with_weights(x, 1);
    bench::fill_with_weights(branch, 2);
    bench::fill_with_weights(modulation, 3);
    Index const rows = samples * tokens;
    auto const whole = [&](auto const& memory) {
      return matrix_over<float, Exec>(memory.data(), rows, cols);
    };
    auto const third = [&](auto const& memory, Index which) {
      return kernels::RowsOf<float, Exec>(
                 matrix_over<float, Exec>(memory.data(), samples, 3 * cols))
          .columns(which * cols, cols);
    };
    auto const part = [&](Index which) {
      return kernels::RowsOf<float const, Exec>(
                 matrix_over<float const, Exec>(modulation.data(), samples, 3 * cols))
          .columns(which * cols, cols);
    };
    forward.x = whole(x);
    forward.branch = adjoint.branch = whole(branch);
    forward.gate = adjoint.gate = part(0);
    forward.scale = adjoint.scale = part(1);
    forward.shift = part(2);
    forward.sum = whole(sum);
    forward.y = whole(y);
    forward.mean = vector_over<float, Exec>(saved.data(), rows);
    forward.reciprocal_deviation = vector_over<float, Exec>(saved.data() + rows, rows);
    adjoint.dy = whole(y);
    adjoint.sum = whole(sum);
    adjoint.other_d_sum = whole(d_sum);
    adjoint.d_sum = whole(d_sum);
    adjoint.d_branch = whole(d_branch);
    adjoint.d_gate = third(d_modulation, 0);
    adjoint.d_scale = third(d_modulation, 1);
    adjoint.d_shift = third(d_modulation, 2);
    adjoint.mean = forward.mean;
    adjoint.reciprocal_deviation = forward.reciprocal_deviation;
    forward.rows_per_sample = adjoint.rows_per_sample = tokens;
  }
};

struct AdamWData {
  std::vector<std::unique_ptr<bench::Populated<float>>> memory;
  std::unique_ptr<kernels::AdamW<float, float, BFloat16, Exec>> adamw;

  AdamWData(Context<Exec>& ctx, Index parameters) {
    kernels::AdamWTensor<float, float, BFloat16, Exec> tensor;
    for (unsigned i = 0; i < 5; ++i) {
      memory.push_back(std::make_unique<bench::Populated<float>>(parameters));
      bench::fill_with_weights(*memory.back(), i);
    }
    for (Index i = 0; i < parameters; ++i) {
      float& second = memory[3]->data()[i];
      second *= second;
    }
    auto const vector = [&](std::size_t i) {
      return vector_over<float, Exec>(memory[i]->data(), parameters);
    };
    tensor.parameter = vector(0);
    tensor.gradient = vector(1);
    tensor.first_moment = vector(2);
    tensor.second_moment = vector(3);
    tensor.average = vector(4);
    adamw =
        std::make_unique<kernels::AdamW<float, float, BFloat16, Exec>>(ctx, std::vector{tensor});
  }
};

}  // namespace

/// bench_blocks [FILTER]: rows whose name contains FILTER. DASHI_BENCH_REPEATS and
/// DASHI_BENCH_PARAMETERS (of AdamW) make it shorter.
int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  Context<Exec> ctx;
  std::string const filter = argc > 1 ? argv[1] : "";
  auto const number = [](char const* name, Index otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : static_cast<Index>(std::atoll(text));
  };
  bench::TimedRows rows;
  auto const wanted = [&](std::string const& name) {
    return name.find(filter) != std::string::npos;
  };

  Index const depth = 64;
  Index const tasks = 400 * ctx.exec().concurrency();
  bench::Populated<float> registers(64 * depth);
  bench::Populated<float> products(512 * tasks);
  bench::fill_with_weights(registers, 1);
  Index const lanes = [] {
    Index bytes = 0;
    kernels::TileRunner<Exec>::run(Probe{&bytes}, 0, 1);
    return bytes / 4;
  }();
  Index const tile = lanes == 16 ? 12 * 32 : 6 * 2 * lanes;
  rows.add({"ceiling/multiply-add", 2.0 * 64 * static_cast<double>(tasks * depth * tile), 0, [&] {
              kernels::run_tasks("ceiling", ctx.exec(), tasks,
                                 MultiplyAdds{depth, registers.data(), products.data()});
              ctx.fence();
            }});
  Index const blocks = 1500;
  bench::Populated<float> memory(blocks * 65536);
  bench::fill_with_weights(memory, 1);
  rows.add({"ceiling/read and write", 0, 2.0 * static_cast<double>(memory.bytes()), [&] {
              kernels::run_tasks("ceiling", ctx.exec(), blocks, Rescale{memory.data()});
              ctx.fence();
            }});

  std::vector<std::unique_ptr<AttentionData>> attention;
  for (auto const& [samples, tokens, heads, head_size] : {std::array<Index, 4>{4, 256, 6, 64},
                                                          {4, 256, 16, 72},
                                                          {1, 1024, 6, 64},
                                                          {1, 1024, 16, 72}}) {
    std::string const name =
        "attention/" + std::to_string(tokens) + " x " + std::to_string(head_size);
    if (!wanted(name)) {
      continue;
    }
    attention.push_back(std::make_unique<AttentionData>(samples, tokens, heads, head_size));
    auto* const data = attention.back().get();
    double const products_of_scores =
        2.0 * static_cast<double>(samples * heads * tokens * tokens * head_size);
    ctx.reserve_scratch(kernels::attention_adjoint_scratch_bytes<float>(ctx, tokens, head_size));
    rows.add({name, 2 * products_of_scores, static_cast<double>(data->qkv.bytes()) * 4 / 3,
              [&ctx, data] {
                kernels::attention(ctx, data->forward);
                ctx.fence();
              }});
    rows.add({name + " adjoint", 5 * products_of_scores,
              static_cast<double>(data->qkv.bytes()) * 8 / 3, [&ctx, data] {
                kernels::attention_adjoint(ctx, data->adjoint);
                ctx.fence();
              }});
  }

  std::unique_ptr<NormData> norm;
  if (wanted("layer_norm")) {
    norm = std::make_unique<NormData>(64, 256, 1152);
    ctx.reserve_scratch(kernels::layer_norm_modulate_scratch_bytes<float>(64, 256, 1152));
    auto const bytes = static_cast<double>(norm->x.bytes());
    rows.add({"layer_norm/gated modulate", 0, 4 * bytes, [&] {
                kernels::layer_norm_modulate(ctx, norm->forward);
                ctx.fence();
              }});
    rows.add({"layer_norm/gated modulate adjoint", 0, 6 * bytes, [&] {
                kernels::layer_norm_modulate_adjoint(ctx, norm->adjoint);
                ctx.fence();
              }});
  }

  std::vector<std::unique_ptr<AdamWData>> adamw;
  for (Index const parameters : {Index{33'000'000}, Index{130'000'000}}) {
    Index const size = number("DASHI_BENCH_PARAMETERS", parameters);
    std::string const name = "C16 adamw/" + std::to_string(size / 1'000'000) + " M";
    if (!wanted(name)) {
      continue;
    }
    adamw.push_back(std::make_unique<AdamWData>(ctx, size));
    auto* const data = adamw.back().get();
    rows.add({name, 0, 36.0 * static_cast<double>(size), [&ctx, data] {
                data->adamw->step(ctx, {.weight_decay = 0.01}, 100);
                ctx.fence();
              }});
  }
  rows.run();
  rows.print("blocks");
  return rows.below_a_floor() ? 1 : 0;
}

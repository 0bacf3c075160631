// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The first block of the original DiT, and its ends, in double from our kernels and plain products.
#include <dashi/io/safetensors_file.hpp>
#include <dashi/kernels/activation.hpp>
#include <dashi/kernels/attention.hpp>
#include <dashi/kernels/embedding.hpp>
#include <dashi/kernels/layer_norm_modulate.hpp>
#include <dashi/kernels/patchify.hpp>
#include <dashi/kernels/timestep_embedding.hpp>

#include <catch2/generators/catch_generators.hpp>

#include <shared_data.hpp>
#include <span>
#include <string>

#include "grid.hpp"

namespace dit_golden_test {

namespace {

using dashi::Index;
using Exec = Kokkos::DefaultExecutionSpace;
using Matrix = dashi::test::Grid<double, Exec>;
using dashi::test::relative_error;

/// Tensors of a case as matrices of `cols` columns, widened.
class Case {
public:
  explicit Case(std::string const& name)
      : io_(dashi::test::shared_data("golden/" + name + "/io.safetensors")),
        weights_(dashi::test::shared_data("golden/" + name + "/weights.safetensors")) {}

  Matrix io(std::string const& name, Index cols) const { return read(io_, name, cols); }
  Matrix weight(std::string const& name, Index cols) const { return read(weights_, name, cols); }

private:
  template <class T>
  static Matrix widened(dashi::io::SafetensorsFile const& file, dashi::io::TensorInfo const& info,
                        Index cols) {
    std::vector<T> values(info.elements());
    file.read(info, 0, std::as_writable_bytes(std::span(values)));
    Matrix out(static_cast<Index>(values.size()) / cols, cols);
    for (std::size_t i = 0; i < values.size(); ++i) {
      auto const n = static_cast<Index>(i);
      out.set(n / cols, n % cols, static_cast<double>(values[i]));
    }
    out.upload();
    return out;
  }
  static Matrix read(dashi::io::SafetensorsFile const& file, std::string const& name, Index cols) {
    auto const* const info = file.header().find(name);
    REQUIRE(info != nullptr);
    switch (info->dtype) {
      case dashi::io::Dtype::f64: return widened<double>(file, *info, cols);
      case dashi::io::Dtype::i64: return widened<std::int64_t>(file, *info, cols);
      default:
        REQUIRE(info->dtype == dashi::io::Dtype::f32);
        return widened<float>(file, *info, cols);
    }
  }

  dashi::io::SafetensorsFile io_;
  dashi::io::SafetensorsFile weights_;
};

/// x weight^T + bias.
Matrix linear(Matrix const& x, Matrix const& weight, Matrix const& bias) {
  Matrix out(x.rows(), weight.rows());
  for (Index i = 0; i < x.rows(); ++i) {
    for (Index j = 0; j < weight.rows(); ++j) {
      double total = bias(0, j);
      for (Index k = 0; k < x.cols(); ++k) {
        total += x(i, k) * weight(j, k);
      }
      out.set(i, j, total);
    }
  }
  out.upload();
  return out;
}

struct Model {
  char const* name;
  Index samples, channels, side, patch, width, heads;
};

struct Net {
  Model m;
  Case data{m.name};
  dashi::Context<Exec> ctx{};
  dashi::kernels::PatchGrid grid{m.channels, m.side, m.side, m.patch};
  Index tokens = grid.tokens();
  Index rows = m.samples * tokens;

  Matrix layer(Matrix const& x, std::string const& name) const {
    return linear(x, data.weight(name + ".weight", x.cols()),
                  data.weight(name + ".bias", data.weight(name + ".weight", x.cols()).rows()));
  }

  Matrix patches() {
    auto const images = data.io("x", grid.image_size());
    Matrix patch(rows, grid.token_size());
    dashi::kernels::patchify(ctx, grid, dashi::kernels::PatchOrder::channel_first, images.view(),
                             patch.view());
    ctx.fence();
    patch.download();
    return layer(patch, "x_embedder.proj");
  }

  /// y and, where there is a branch, h.
  void norm(Matrix const& x, Matrix const* branch, Matrix const& modulation, Index gate,
            Index shift, Matrix& h, Matrix& y) {
    Matrix mean(1, rows);
    Matrix deviation(1, rows);
    dashi::kernels::LayerNormModulate<double, Exec> a;
    a.x = x.view();
    if (branch != nullptr) {
      a.branch = branch->view();
      a.gate = modulation.input().columns(gate * m.width, m.width);
      a.sum = h.view();
    }
    a.shift = modulation.input().columns(shift * m.width, m.width);
    a.scale = modulation.input().columns((shift + 1) * m.width, m.width);
    a.y = y.view();
    a.mean = mean.vector();
    a.reciprocal_deviation = deviation.vector();
    a.rows_per_sample = tokens;
    dashi::kernels::layer_norm_modulate(ctx, a);
    ctx.fence();
    h.download();
    y.download();
  }

  Matrix attend(Matrix const& y) {
    auto const qkv = layer(y, "blocks.0.attn.qkv");
    Matrix out(rows, m.width);
    Matrix log_sum_exp(m.samples * m.heads, tokens);
    dashi::kernels::Attention<double, Exec> a;
    a.tokens = tokens;
    a.heads = m.heads;
    a.split(qkv.view());
    a.out = out.view();
    a.log_sum_exp = log_sum_exp.view();
    ctx.reserve_scratch(
        dashi::kernels::attention_scratch_bytes<double>(ctx, tokens, m.width / m.heads));
    dashi::kernels::attention(ctx, a);
    ctx.fence();
    out.download();
    return layer(out, "blocks.0.attn.proj");
  }

  Matrix mlp(Matrix const& y) {
    auto hidden = layer(y, "blocks.0.mlp.fc1");
    dashi::kernels::activate<dashi::kernels::GeluTanh>(ctx, hidden.view(), hidden.view());
    ctx.fence();
    hidden.download();
    return layer(hidden, "blocks.0.mlp.fc2");
  }
};

constexpr Model models[] = {{"dit_original_a", 5, 4, 8, 2, 48, 4},
                            {"dit_original_b", 4, 4, 16, 4, 32, 2}};

}  // namespace

TEST_CASE("the kernels give the original DiT's first block", "[dit]") {
  Net net{models[GENERATE(0U, 1U)]};
  Index const width = net.m.width;
  auto const close = [&](Matrix const& actual, std::string const& name) {
    INFO(net.m.name << " " << name);
    auto const expected = net.data.io("f64." + name, actual.cols());
    REQUIRE(expected.rows() == actual.rows());
    CHECK(relative_error(actual, expected, actual.rows(), actual.cols()) < 1e-10);
  };
  Matrix x = net.patches();
  close(x, "patch_tokens_before_pos");
  auto const position = net.data.weight("pos_embed", width);
  for (Index i = 0; i < net.rows; ++i) {
    for (Index j = 0; j < width; ++j) {
      x.set(i, j, x(i, j) + position(i % net.tokens, j));
    }
  }
  x.upload();
  auto const modulation = net.data.io("f64.block_0_adaLN", 6 * width);
  Matrix h(net.rows, width);
  Matrix y(net.rows, width);
  net.norm(x, nullptr, modulation, 0, 0, h, y);
  auto const attended = net.attend(y);
  close(attended, "block_0_attn_out");
  net.norm(x, &attended, modulation, 2, 3, h, y);
  auto const mlp = net.mlp(y);
  close(mlp, "block_0_mlp_out");
  Matrix out(net.rows, width);
  net.norm(h, &mlp, modulation, 5, 3, out, y);
  close(out, "block_0_out");
}

TEST_CASE("the kernels give the original DiT's embeddings and images", "[dit]") {
  Net net{models[GENERATE(0U, 1U)]};
  INFO(net.m.name);
  auto const steps = net.data.io("t", 1);
  Matrix features(net.m.samples, 256);
  dashi::kernels::timestep_embedding(net.ctx, steps.vector(), features.view());
  auto const labels = net.data.io("y", 1);
  Kokkos::View<std::int64_t*, Exec> const classes("classes", labels.vector().extent(0));
  auto const host = Kokkos::create_mirror_view(classes);
  for (Index n = 0; n < net.m.samples; ++n) {
    host(n) = static_cast<std::int64_t>(labels(n, 0));
  }
  Kokkos::deep_copy(classes, host);
  dashi::kernels::Labels<Exec> chosen;
  chosen.classes = classes;
  auto const table = net.data.weight("y_embedder.embedding_table.weight", net.m.width);
  Matrix embedded(net.m.samples, net.m.width);
  dashi::kernels::look_up(net.ctx, table.view(), chosen, embedded.view());
  auto const grid =
      dashi::kernels::PatchGrid{2 * net.m.channels, net.m.side, net.m.side, net.m.patch};
  auto const tokens = net.data.io("f64.final_layer_out_tokens", grid.token_size());
  Matrix images(net.m.samples, grid.image_size());
  dashi::kernels::unpatchify(net.ctx, grid, dashi::kernels::PatchOrder::channel_last, tokens.view(),
                             images.view());
  net.ctx.fence();
  features.download();
  embedded.download();
  images.download();
  // The original computes frequencies and angles in float.
  CHECK(relative_error(features, net.data.io("f32.t_features", 256), net.m.samples, 256, 1.0) <
        1e-4);
  CHECK(relative_error(embedded, net.data.io("f64.y_emb", net.m.width), net.m.samples,
                       net.m.width) == 0);
  CHECK(relative_error(images, net.data.io("f64.out", grid.image_size()), net.m.samples,
                       grid.image_size()) == 0);
}

}  // namespace dit_golden_test

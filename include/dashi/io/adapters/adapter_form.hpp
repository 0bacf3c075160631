// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_tensor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dashi::io {

/// LoRA: weight change scale * up down. Linear: down [r, in], up [out, r]. Convolution: down
/// [r, in, kh, kw], up [out, r, 1, 1]; with mid (Tucker) down [r, in, 1, 1], mid [r, r, kh, kw].
/// Embedding: down [r, rows], up [dim, r], and the change of the table is its transpose.
struct LowRankForm {
  AdapterTensor down;
  AdapterTensor up;
  AdapterTensor mid;       ///< may be empty
  bool embedding = false;  ///< the table is [rows, dim]
};

/// One factor of a Kronecker product, `full` or `a` times `b`. Second factor of a convolution: full
/// [p, q, kh, kw]; b [r, q * kh * kw]; or with t2 [r, r, kh, kw] (Tucker) a [r, p], b [r, q].
struct KroneckerFactorForm {
  AdapterTensor full;
  AdapterTensor a;
  AdapterTensor b;
  AdapterTensor t2;

  bool low_rank() const noexcept { return full.empty(); }
};

/// LoKr and DiffuseKronA: weight change scale * (first (x) second), first [p1, q1], second
/// [p2, q2, ...], row p * p2 + k, column q * q2 + l.
struct KroneckerForm {
  KroneckerFactorForm first;
  KroneckerFactorForm second;
  /// Row k * p1 + p instead: what the published code of DiffuseKronA computes (papers.md, 7.2);
  /// `first` is kept as that code stores it, transposed [q1, p1].
  bool interleaved = false;
};

/// DiffFit: rows of weight and bias times gamma [out].
struct ScaleForm {
  AdapterTensor gamma;
};

/// A dense change of the weight, of its shape.
struct DenseForm {
  AdapterTensor difference;
};

/// Nothing but a bias or a replaced tensor.
struct NoForm {};

/// DoRA: W' = magnitude * (W + change) / |W + change|, the norm over each output row ([out, 1]) or
/// each input column ([1, in]).
struct MagnitudeForm {
  AdapterTensor magnitude;
  bool per_input = false;
};

/// What one adapter does to one module of its base.
struct AdapterModule {
  /// Of the module as the dialect has it, without prefix: dotted ("blocks.0.attn.qkv"), or
  /// flattened
  /// ("blocks_0_attn_qkv"), or an index ("unet:3").
  std::string path;
  std::string part;  ///< prefix that the dialect put before it: "base_model.model", "lora_te1", ...
  std::variant<NoForm, LowRankForm, KroneckerForm, ScaleForm, DenseForm> form;
  double scale = 1;          ///< times a user's strength
  std::string scale_reason;  ///< for people: "alpha 4 / rank 8", "both factors full: 1"
  AdapterTensor alpha;       ///< as stored; may be empty
  std::uint64_t rank = 0;    ///< 0 where nothing is low-rank
  std::optional<MagnitudeForm> dora;
  AdapterTensor bias;  ///< trained bias of the module; may be empty
  bool bias_is_difference = false;
  AdapterTensor replacement;  ///< of the whole weight; may be empty
};

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_ONEDNN)

#include <dashi/linalg/gemm_call.hpp>

#include "onednn.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

namespace dashi::backends::host {

/// Products by oneDNN's matmul, made for a shape when it first occurs and kept. For one thread at a
/// time. Sum and bias are computed in float and rounded once, before or after the activation as the
/// caller asks for the one or the other.
class OnednnMatmul {
public:
  OnednnMatmul() {
    dnnl_engine_t engine = nullptr;
    check_onednn(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create");
    engine_.reset(engine);
    dnnl_stream_t stream = nullptr;
    check_onednn(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags),
                 "dnnl_stream_create");
    stream_.reset(stream);
  }

  /// C = activation(alpha op(A) op(B) + beta C + bias), without what the call says of the
  /// pre-activation. False, and nothing done, when the library has no fast code for it here.
  template <class In, class Out>
  bool operator()(linalg::GemmCall<In, Out> const& call, linalg::Activation activation) {
    bool const repeats = call.batch > 1 && call.a.batch_stride == 0 && call.b.batch_stride == 0;
    if (repeats || (call.bias != nullptr && call.scale.alpha != 1)) {
      return false;  // it wants one batch at least as long as C's, and adds the bias first
    }
    Entry const& entry = entry_of(call, activation);
    if (entry.primitive == nullptr) {
      return false;
    }
    set(entry.a, call.a.data);
    set(entry.b, call.b.data);
    set(entry.c, call.c.data);
    std::array<dnnl_exec_arg_t, 4> arguments{{{DNNL_ARG_SRC, entry.a.get()},
                                              {DNNL_ARG_WEIGHTS, entry.b.get()},
                                              {DNNL_ARG_DST, entry.c.get()},
                                              {DNNL_ARG_BIAS, entry.bias.get()}}};
    if (call.bias != nullptr) {
      set(entry.bias, call.bias);
    }
    check_onednn(dnnl_primitive_execute(entry.primitive.get(), stream_.get(),
                                        call.bias == nullptr ? 3 : 4, arguments.data()),
                 "dnnl_primitive_execute(matmul)");
    check_onednn(dnnl_stream_wait(stream_.get()), "dnnl_stream_wait");
    return true;
  }

private:
  struct Key {
    std::array<Index, 10> sizes;
    std::array<double, 2> scale;
    std::array<int, 6> kinds;
    auto operator<=>(Key const&) const = default;
  };
  struct Entry {
    OnednnPrimitive primitive;
    OnednnMemory a, b, c, bias;
  };
  /// More shapes than a model has; a caller that never repeats one must not fill the memory.
  static constexpr std::size_t most_entries = 1024;

  template <class T>
  void set(OnednnMemory const& memory, T* data) const {
    auto* const place = const_cast<std::remove_const_t<T>*>(data);  // inputs stay unwritten
    check_onednn(dnnl_memory_set_data_handle(memory.get(), place), "dnnl_memory_set_data_handle");
  }

  template <class In, class Out>
  Entry const& entry_of(linalg::GemmCall<In, Out> const& call, linalg::Activation activation) {
    Key const key{{call.m, call.n, call.k, call.batch, call.a.ld, call.b.ld, call.c.ld,
                   call.a.batch_stride, call.b.batch_stride, call.c.batch_stride},
                  {call.scale.alpha, call.scale.beta},
                  {static_cast<int>(call.op_a), static_cast<int>(call.op_b),
                   static_cast<int>(activation), call.bias == nullptr ? 0 : 1,
                   static_cast<int>(onednn_type<In>), static_cast<int>(onednn_type<Out>)}};
    auto const found = entries_.find(key);
    if (found != entries_.end()) {
      return found->second;
    }
    if (entries_.size() >= most_entries) {
      entries_.clear();
    }
    return entries_.emplace(key, make(call, activation)).first->second;
  }

  template <class T>
  static OnednnShape shape(linalg::Op op, Index batch, Index rows, Index cols, Index ld,
                           Index batch_stride) {
    bool const plain = op == linalg::Op::none;
    // A batch stride of 0 repeats one matrix: its extent is 1, which oneDNN broadcasts.
    Index const extent = batch_stride == 0 ? 1 : batch;
    dnnl_dims_t const dims = {batch > 1 ? extent : rows, batch > 1 ? rows : cols, cols};
    Index const row = plain ? ld : 1;
    Index const col = plain ? 1 : ld;
    Index const step = batch_stride == 0 ? (plain ? rows : cols) * ld : batch_stride;
    dnnl_dims_t const strides = {batch > 1 ? step : row, batch > 1 ? row : col, col};
    return OnednnShape(batch > 1 ? 3 : 2, dims, onednn_type<T>, strides);
  }

  static OnednnAttributes attributes(linalg::Scale scale, linalg::Activation activation) {
    dnnl_post_ops_t made_ops = nullptr;
    check_onednn(dnnl_post_ops_create(&made_ops), "dnnl_post_ops_create");
    OnednnPostOps const ops(made_ops);
    if (scale.alpha != 1) {
      append_eltwise(ops, dnnl_eltwise_linear, static_cast<float>(scale.alpha));
    }
    if (scale.beta != 0) {
#if DNNL_VERSION_MAJOR >= 3
      check_onednn(dnnl_post_ops_append_sum(ops.get(), static_cast<float>(scale.beta), 0,
                                            dnnl_data_type_undef),
                   "dnnl_post_ops_append_sum");
#else
      check_onednn(dnnl_post_ops_append_sum(ops.get(), static_cast<float>(scale.beta)),
                   "dnnl_post_ops_append_sum");
#endif
    }
    if (activation == linalg::Activation::gelu_tanh) {
      append_eltwise(ops, dnnl_eltwise_gelu_tanh, 0);
    } else if (activation == linalg::Activation::silu) {
      append_eltwise(ops, dnnl_eltwise_swish, 1);
    }
    dnnl_primitive_attr_t made = nullptr;
    check_onednn(dnnl_primitive_attr_create(&made), "dnnl_primitive_attr_create");
    OnednnAttributes result(made);
    check_onednn(dnnl_primitive_attr_set_post_ops(made, ops.get()),
                 "dnnl_primitive_attr_set_post_ops");
    return result;
  }

  static void append_eltwise(OnednnPostOps const& ops, dnnl_alg_kind_t kind, float alpha) {
#if DNNL_VERSION_MAJOR >= 3
    check_onednn(dnnl_post_ops_append_eltwise(ops.get(), kind, alpha, 0),
                 "dnnl_post_ops_append_eltwise");
#else
    check_onednn(dnnl_post_ops_append_eltwise(ops.get(), 1, kind, alpha, 0),
                 "dnnl_post_ops_append_eltwise");
#endif
  }

  template <class In, class Out>
  Entry make(linalg::GemmCall<In, Out> const& call, linalg::Activation activation) const {
    OnednnShape const a =
        shape<In>(call.op_a, call.batch, call.m, call.k, call.a.ld, call.a.batch_stride);
    OnednnShape const b =
        shape<In>(call.op_b, call.batch, call.k, call.n, call.b.ld, call.b.batch_stride);
    OnednnShape const c =
        shape<Out>(linalg::Op::none, call.batch, call.m, call.n, call.c.ld, call.c.batch_stride);
    OnednnShape const bias = shape<Out>(linalg::Op::none, call.batch, 1, call.n, call.n, 0);
    auto const* const bias_desc = call.bias == nullptr ? nullptr : bias.get();
    OnednnAttributes const attr = attributes(call.scale, activation);
    dnnl_primitive_desc_t made_desc = nullptr;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t const status = dnnl_matmul_primitive_desc_create(
        &made_desc, engine_.get(), a.get(), b.get(), bias_desc, c.get(), attr.get());
#else
    dnnl_matmul_desc_t desc;
    check_onednn(dnnl_matmul_desc_init(&desc, a.get(), b.get(), bias_desc, c.get()),
                 "dnnl_matmul_desc_init");
    dnnl_status_t const status =
        dnnl_primitive_desc_create(&made_desc, &desc, attr.get(), engine_.get(), nullptr);
#endif
    if (status == dnnl_unimplemented) {
      return {};
    }
    check_onednn(status, "matmul primitive descriptor");
    OnednnPrimitiveDesc const primitive_desc(made_desc);
    char const* name = nullptr;
    check_onednn(dnnl_primitive_desc_query(made_desc, dnnl_query_impl_info_str, 0,
                                           static_cast<void*>(&name)),
                 "dnnl_primitive_desc_query");
    if (std::string_view(name).substr(0, 3) == "ref") {
      return {};  // plain loops: slower by a hundred
    }
    dnnl_primitive_t primitive = nullptr;
    check_onednn(dnnl_primitive_create(&primitive, made_desc), "dnnl_primitive_create");
    return {OnednnPrimitive(primitive), a.memory(engine_.get()), b.memory(engine_.get()),
            c.memory(engine_.get()), bias.memory(engine_.get())};
  }

  OnednnEngine engine_;
  OnednnStream stream_;
  std::map<Key, Entry> entries_;
};

}  // namespace dashi::backends::host

#endif

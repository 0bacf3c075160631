// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_ONEDNN)

#include <dashi/core/error.hpp>
#include <dashi/core/float_types.hpp>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include <memory>
#include <string>
#include <type_traits>

namespace dashi::backends::host {

/// Throws VendorError unless the library says that all is well.
inline void check_onednn(dnnl_status_t status, char const* call) {
  if (status != dnnl_success) {
    throw VendorError({.code = "onednn",
                       .file = {},
                       .place = call,
                       .found = std::string("oneDNN says ") + dnnl_status2str(status),
                       .expected = {},
                       .advice = "check that memory suffices; ONEDNN_VERBOSE=1 shows the call"});
  }
}

/// Owner of a handle of oneDNN's C interface; Destroy is the function that frees it.
template <class Handle, dnnl_status_t (*Destroy)(Handle)>
struct OnednnDeleter {
  using pointer = Handle;
  void operator()(Handle handle) const { Destroy(handle); }
};
template <class Handle, dnnl_status_t (*Destroy)(Handle)>
using OnednnOwner = std::unique_ptr<std::remove_pointer_t<Handle>, OnednnDeleter<Handle, Destroy>>;

using OnednnEngine = OnednnOwner<dnnl_engine_t, dnnl_engine_destroy>;
using OnednnStream = OnednnOwner<dnnl_stream_t, dnnl_stream_destroy>;
using OnednnMemory = OnednnOwner<dnnl_memory_t, dnnl_memory_destroy>;
using OnednnPrimitive = OnednnOwner<dnnl_primitive_t, dnnl_primitive_destroy>;
using OnednnPrimitiveDesc = OnednnOwner<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy>;
using OnednnPostOps = OnednnOwner<dnnl_post_ops_t, dnnl_post_ops_destroy>;
using OnednnAttributes = OnednnOwner<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy>;

template <class T>
inline constexpr dnnl_data_type_t onednn_type = dnnl_f32;
template <>
inline constexpr dnnl_data_type_t onednn_type<BFloat16> = dnnl_bf16;
template <>
inline constexpr dnnl_data_type_t onednn_type<Float16> = dnnl_f16;

/// Shape and strides of a tensor, over both versions of the library's interface.
class OnednnShape {
public:
  OnednnShape(int rank, dnnl_dims_t const dims, dnnl_data_type_t type, dnnl_dims_t const strides) {
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t made = nullptr;
    check_onednn(dnnl_memory_desc_create_with_strides(&made, rank, dims, type, strides),
                 "dnnl_memory_desc_create_with_strides");
    desc_.reset(made);
#else
    check_onednn(dnnl_memory_desc_init_by_strides(&desc_, rank, dims, type, strides),
                 "dnnl_memory_desc_init_by_strides");
#endif
  }

#if DNNL_VERSION_MAJOR >= 3
  const_dnnl_memory_desc_t get() const { return desc_.get(); }
#else
  dnnl_memory_desc_t const* get() const { return &desc_; }
#endif

  /// Memory of this shape; its place is given at each call.
  OnednnMemory memory(dnnl_engine_t engine) const {
    dnnl_memory_t made = nullptr;
    check_onednn(dnnl_memory_create(&made, get(), engine, DNNL_MEMORY_NONE), "dnnl_memory_create");
    return OnednnMemory(made);
  }

private:
#if DNNL_VERSION_MAJOR >= 3
  OnednnOwner<dnnl_memory_desc_t, dnnl_memory_desc_destroy> desc_;
#else
  dnnl_memory_desc_t desc_{};
#endif
};

}  // namespace dashi::backends::host

#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/with_dtype.hpp>
#include <dashi/kernels/convert.hpp>
#include <dashi/merging/match_members.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace dashi::merging {

/// Host context of one worker thread: work on it runs on that thread.
using WorkerContext = Context<Kokkos::Serial>;

/// The same elements of one tensor (or of several alike) from all sources, in memory.
struct Values {
  PlannedTensor const* tensor = nullptr;  ///< the first, when they belong to several
  std::uint64_t first = 0;                ///< index of the first element in that tensor
  std::uint64_t count = 0;
  io::Dtype held_as = io::Dtype::f32;
  /// One a member, null where it takes no part; then the base where a strategy needs it.
  std::span<std::byte const* const> held{};
  double* result = nullptr;  ///< room for `count`, where the combination asks for it
  std::byte* out = nullptr;  ///< room for `count` of tensor->dtype
};

/// Calls body.template operator()<T>() with the C++ type of an averaged dtype.
template <class Body>
decltype(auto) with_type(io::Dtype dtype, Body&& body) {
  return io::with_dtype<Float16, BFloat16, float, double>(dtype, std::forward<Body>(body));
}

/// A view of host memory that holds values of T.
template <class T, class Byte>
VectorOf<T, Kokkos::Serial> values_of(Byte* data, std::uint64_t count) {
  return vector_over<T, Kokkos::Serial>(reinterpret_cast<T*>(data), static_cast<Index>(count));
}

/// Converts `count` values to F32 or F64, which holds them exactly.
inline void widen_values(WorkerContext& ctx, io::Dtype from, std::byte const* in, io::Dtype to,
                         std::byte* out, std::uint64_t count) {
  DASHI_EXPECTS(to == io::Dtype::f64 || (to == io::Dtype::f32 && from != io::Dtype::f64),
                "the target must hold every value of the source");
  with_type(from, [&]<class From>() {
    if (to == io::Dtype::f64) {
      convert_values(ctx, values_of<From const>(in, count), values_of<double>(out, count));
    } else if constexpr (!std::is_same_v<From, double>) {
      convert_values(ctx, values_of<From const>(in, count), values_of<float>(out, count));
    }
  });
}

/// Turns the infinite results of finite values into the largest finite number of that sign.
inline void saturate(Values const& values) {
  with_type(values.tensor->dtype, [&]<class Out>() {
    using Format = FloatFormat<Out>;
    Out* const out = reinterpret_cast<Out*>(values.out);
    with_type(values.held_as, [&]<class In>() {
      for (std::uint64_t i = 0; i < values.count; ++i) {
        auto const bits = __builtin_bit_cast(typename Format::Bits, out[i]);
        if ((bits & Format::magnitude_mask) != Format::exponent_mask) {
          continue;
        }
        bool finite = true;
        for (std::byte const* member : values.held) {
          finite =
              finite && (member == nullptr || is_finite(reinterpret_cast<In const*>(member)[i]));
        }
        if (finite) {
          out[i] =
              __builtin_bit_cast(Out, static_cast<typename Format::Bits>(
                                          (bits & Format::sign_mask) | Format::largest_finite));
        }
      }
    });
  });
}

}  // namespace dashi::merging

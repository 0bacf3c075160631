// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

namespace dashi {

/// Which type a value has where: in arrays, in arithmetic, in sums, and in the optimizer's copy.
template <class T>
concept Precision = requires {
  requires FloatType<typename T::storage>;
  requires FloatType<typename T::compute>;
  requires FloatType<typename T::accumulate>;
  requires FloatType<typename T::master>;
};

namespace precision {

struct Float64 {
  using storage = double;
  using compute = double;
  using accumulate = double;
  using master = double;
};

struct Float32 {
  using storage = float;
  using compute = float;
  using accumulate = float;
  using master = float;
};

/// bfloat16 arrays, float arithmetic, float master copies.
struct Bf16Mixed {
  using storage = BFloat16;
  using compute = float;
  using accumulate = float;
  using master = float;
};

/// IEEE half arrays, float arithmetic, float master copies; gradients want loss scaling.
struct Fp16Mixed {
  using storage = Float16;
  using compute = float;
  using accumulate = float;
  using master = float;
};

}  // namespace precision

namespace detail {

template <class T>
concept HasStorage = requires {
  requires FloatType<typename T::storage>;
};
template <class T>
concept HasCompute = requires {
  requires FloatType<typename T::compute>;
};
template <class T>
concept HasAccumulate = requires {
  requires FloatType<typename T::accumulate>;
};
template <class T>
concept HasMaster = requires {
  requires FloatType<typename T::master>;
};

template <class T>
constexpr double unit_roundoff() {
  double result = 0.5;
  for (int i = 0; i < FloatFormat<T>::fraction_bits; ++i) {
    result *= 0.5;
  }
  return result;
}

}  // namespace detail

/// Says which member a precision policy lacks.
template <class P>
consteval bool require_precision() {
  static_assert(
      detail::HasStorage<P>,
      "Precision: declare 'using storage = ...;', the element type of arrays, a type with a "
      "dashi::FloatFormat");
  static_assert(detail::HasCompute<P>,
                "Precision: declare 'using compute = ...;', the type of arithmetic, a type with a "
                "dashi::FloatFormat");
  static_assert(
      detail::HasAccumulate<P>,
      "Precision: declare 'using accumulate = ...;', the type of long sums, a type with a "
      "dashi::FloatFormat");
  static_assert(
      detail::HasMaster<P>,
      "Precision: declare 'using master = ...;', the type of the optimizer's copy, a type "
      "with a dashi::FloatFormat");
  return true;
}

/// Relative error of one rounding in the coarsest type a result passes through: half a unit in the
/// last place of 1. Tests compare with tolerance<P>() times a stated growth.
template <Precision P>
constexpr double tolerance() {
  double const storage = detail::unit_roundoff<typename P::storage>();
  double const compute = detail::unit_roundoff<typename P::compute>();
  double const accumulate = detail::unit_roundoff<typename P::accumulate>();
  double const arithmetic = compute > accumulate ? compute : accumulate;
  return storage > arithmetic ? storage : arithmetic;
}

}  // namespace dashi

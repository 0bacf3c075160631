// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <string_view>
#include <type_traits>

namespace dashi {

/// Which linear map of a backbone: tags. A role includes itself and the roles derived from it, so
/// that On<role::attention, ...> reaches query, key, value and the output projection.
namespace role {

struct any {
  static constexpr std::string_view name = "any";
};
struct attention : any {
  static constexpr std::string_view name = "attention";
};
/// Query, key and value as the one matrix that they are stored as.
struct qkv : any {
  static constexpr std::string_view name = "qkv";
};
struct query : attention {
  static constexpr std::string_view name = "query";
};
struct key : attention {
  static constexpr std::string_view name = "key";
};
struct value : attention {
  static constexpr std::string_view name = "value";
};
struct attention_output : attention {
  static constexpr std::string_view name = "attention_output";
};
struct mlp : any {
  static constexpr std::string_view name = "mlp";
};
struct mlp_in : mlp {
  static constexpr std::string_view name = "mlp_in";
};
struct mlp_out : mlp {
  static constexpr std::string_view name = "mlp_out";
};
struct modulation : any {
  static constexpr std::string_view name = "modulation";
};
struct patch : any {
  static constexpr std::string_view name = "patch";
};
struct timestep : any {
  static constexpr std::string_view name = "timestep";
};
struct label : any {
  static constexpr std::string_view name = "label";
};
struct final : any {
  static constexpr std::string_view name = "final";
};

}  // namespace role

template <class R>
concept Role = std::is_base_of_v<role::any, R>;

}  // namespace dashi

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/linear_input.hpp>
#include <dashi/adapters/role.hpp>
#include <dashi/core/expects.hpp>

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

namespace dashi {

/// kind: each map has vectors of its own, a learngene and tailors gated by class (KIND, arXiv
/// 2408.07337). fine: all blocks share the vectors of a site (FINE, arXiv 2409.19289).
enum class SvdMethod : unsigned char { kind, fine };

constexpr std::string_view name(SvdMethod method) noexcept {
  return method == SvdMethod::kind ? "kind" : "fine";
}

/// A linear map that every block of a DiT has and that is factorised.
struct FactorisedSite {
  std::string_view role;
  std::string_view name;    ///< below "blocks.<i>."
  std::string_view weight;  ///< the dense weight that it is, or is a third of
  Index third = -1;         ///< of its rows; -1: all

  /// Of the map in a DiT of that width and hidden width.
  constexpr LinearShape shape(Index width, Index mlp_width) const {
    return role == role::mlp_in::name    ? LinearShape{mlp_width, width}
           : role == role::mlp_out::name ? LinearShape{width, mlp_width}
                                         : LinearShape{width, width};
  }
};

inline constexpr std::array<FactorisedSite, 6> factorised_sites{
    FactorisedSite{role::query::name, "attn.qkv.query", "attn.qkv.weight", 0},
    FactorisedSite{role::key::name, "attn.qkv.key", "attn.qkv.weight", 1},
    FactorisedSite{role::value::name, "attn.qkv.value", "attn.qkv.weight", 2},
    FactorisedSite{role::attention_output::name, "attn.proj", "attn.proj.weight", -1},
    FactorisedSite{role::mlp_in::name, "mlp.fc1", "mlp.fc1.weight", -1},
    FactorisedSite{role::mlp_out::name, "mlp.fc2", "mlp.fc2.weight", -1}};

/// How many components each site of a factorised DiT has, and which classes use which tailors.
struct FactorisedLayout {
  struct Ranks {
    Index learngene = 0;  ///< FINE: all components
    Index tailors = 0;

    Index total() const noexcept { return learngene + tailors; }
    friend bool operator==(Ranks const&, Ranks const&) = default;
  };

  SvdMethod method = SvdMethod::kind;
  std::array<Ranks, factorised_sites.size()> ranks{};  ///< of factorised_sites, in all blocks
  Index groups = 1;                                    ///< of tailors, equal and side by side
  std::vector<Index> group_of_class{};                 ///< KIND: [classes]

  friend bool operator==(FactorisedLayout const&, FactorisedLayout const&) = default;

  /// Numbers in factors, by formula: KIND depth Σ (N_G + N_T)(out + in + 1); FINE
  /// Σ r (out + in) + depth Σ r.
  Index count(Index depth, Index width, Index mlp_width) const {
    Index total = 0;
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      LinearShape const shape = factorised_sites[s].shape(width, mlp_width);
      Index const rank = ranks[s].total();
      total += method == SvdMethod::kind ? depth * rank * (shape.out + shape.in + 1)
                                         : rank * (shape.out + shape.in + depth);
    }
    return total;
  }

  /// Multiply-accumulates of one token in one block: all tailors, or those of one group.
  Index macs(Index width, Index mlp_width, bool one_group = false) const {
    Index total = 0;
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      LinearShape const shape = factorised_sites[s].shape(width, mlp_width);
      Index const tailors = one_group ? ranks[s].tailors / groups : ranks[s].tailors;
      total += (ranks[s].learngene + tailors) * (shape.out + shape.in);
    }
    return total;
  }
};

/// Neighbouring classes share a group, as many in each as division allows.
inline std::vector<Index> neighbouring_classes(Index classes, Index groups) {
  DASHI_EXPECTS(classes > 0 && groups > 0, "classes and groups must be positive");
  std::vector<Index> table(static_cast<std::size_t>(classes));
  for (Index c = 0; c < classes; ++c) {
    table[static_cast<std::size_t>(c)] = c * groups / classes;
  }
  return table;
}

}  // namespace dashi

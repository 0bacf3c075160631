// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/additive_dit.hpp>
#include <dashi/checkpoints/dit_maps.hpp>
#include <dashi/core/error.hpp>

#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// An adapter on a map of a net.
struct MapAdapter {
  std::string map;  ///< LayerInfo::name
  AdditiveAdapters::Part part;
};

/// Options of a net with these adapters, in order, and none elsewhere.
inline AdditivePlace::Options additive_options(std::vector<MapAdapter> const& adapters) {
  std::map<std::string, AdditiveAdapters> by_map;
  for (MapAdapter const& adapter : adapters) {
    by_map[adapter.map].parts.push_back(adapter.part);
  }
  return dashi::additive_options([by_map](LayerInfo const& layer) {
    auto const at = by_map.find(layer.name);
    return at == by_map.end() ? AdditiveAdapters{} : at->second;
  });
}

/// What is trained on a frozen DiT, and where.
struct AdapterChoice {
  enum class Kind : unsigned char { low_rank, kronecker, difffit, bitfit };
  Kind kind = Kind::low_rank;
  LowRank low_rank{};
  /// A low-rank factor is one where its rank is below half of its larger side, LoKr's rule; alpha
  /// is divided by the rank in any case.
  Kronecker kronecker{};
  /// Roles ("attention", "query", "qkv", "mlp", "any"), or regular expressions that match the whole
  /// name of a map ("blocks\\.[0-3]\\.mlp\\.fc1") or of a third ("blocks\\.0\\.attn\\.qkv\\.key").
  /// DiffFit: where scales are. BitFit has none.
  std::vector<std::string> modules{"attention"};
  Index scaled_blocks = -1;  ///< DiffFit's scales are in the first of these; -1: in half of them
  bool class_table = false;  ///< trained too

  bool trains(ParameterKind parameter) const {
    bool const biases = kind == Kind::difffit || kind == Kind::bitfit;
    return parameter == ParameterKind::adapter ||
           (biases && (parameter == ParameterKind::scale || parameter == ParameterKind::bias)) ||
           (class_table && parameter == ParameterKind::embedding);
  }
};

namespace detail {

/// A map or a third of one that an adapter can be on.
struct AdapterSite {
  LayerInfo const* map;
  std::string name;
  std::string_view role;
  Index third;  ///< -1: the whole map

  bool chosen_by(std::string const& module, std::regex const& expression) const {
    bool const whole = third < 0;
    if (module == role::any::name) {
      return whole;
    }
    if (module == role::attention::name) {
      return !whole || role == role::attention_output::name;
    }
    if (module == role::mlp::name) {
      return role == role::mlp_in::name || role == role::mlp_out::name;
    }
    return module == role || std::regex_match(name, expression);
  }
};

inline std::vector<AdapterSite> adapter_sites(std::vector<LayerInfo> const& maps) {
  std::vector<AdapterSite> sites;
  for (LayerInfo const& map : maps) {
    sites.push_back({&map, map.name, map.role, -1});
    if (map.role == role::qkv::name) {
      Index third = 0;
      for (auto const name : {role::query::name, role::key::name, role::value::name}) {
        sites.push_back({&map, map.name + "." + std::string(name), name, third++});
      }
    }
  }
  return sites;
}

/// Kronecker's options for one map: factors are low-rank where that has fewer numbers, and what is
/// divided is not across the pixels of a patch.
inline Kronecker kronecker_for(Kronecker options, LayerInfo const& map, LinearShape shape,
                               Index channels) {
  if (map.role == role::patch::name) {
    Index cols = std::min(options.a_cols, channels);
    while (channels % cols != 0 || (options.a_smaller && cols > shape.in / cols)) {
      --cols;
    }
    options.a_cols = cols;
  }
  auto const s = options.shape(shape);
  options.a_low_rank = options.a_low_rank && 2 * options.rank < std::max(s.m1, s.n1);
  options.b_low_rank = options.b_low_rank && 2 * options.rank < std::max(s.m2, s.n2);
  if (options.rank > 0 && !options.a_low_rank && !options.b_low_rank) {
    options.alpha /= static_cast<double>(options.rank);
  }
  return options;
}

[[noreturn]] inline void refuse_modules(std::string found, std::string expected) {
  throw ConfigurationError({.code = "adapter-modules",
                            .file = {},
                            .place = "adapter.modules",
                            .found = std::move(found),
                            .expected = std::move(expected),
                            .advice = {}});
}

}  // namespace detail

/// The adapters of a choice on a DiT. Throws ConfigurationError for modules that match no map, that
/// are no regular expression, or that name query, key and value both together and apart.
inline std::vector<MapAdapter> map_adapters(DitConfig const& config, AdapterChoice const& choice) {
  using Kind = AdapterChoice::Kind;
  std::vector<MapAdapter> adapters;
  if (choice.kind == Kind::bitfit) {
    return adapters;
  }
  auto const maps = dit_maps(config);
  auto const sites = detail::adapter_sites(maps);
  std::vector<bool> chosen(sites.size(), false);
  for (std::string const& module : choice.modules) {
    bool any = false;
    try {
      std::regex const expression(module);
      for (std::size_t i = 0; i < sites.size(); ++i) {
        bool const here = sites[i].chosen_by(module, expression);
        chosen[i] = chosen[i] || here;
        any = any || here;
      }
    } catch (std::regex_error const&) {
      detail::refuse_modules("'" + module + "'", "a role or a regular expression");
    }
    if (!any) {
      detail::refuse_modules("'" + module + "', which matches no map of the model",
                             "a role, such as attention or mlp_in, or an expression for a name, "
                             "such as blocks\\.0\\.mlp\\.fc1");
    }
  }
  Index const scaled = choice.scaled_blocks < 0 ? config.depth / 2 : choice.scaled_blocks;
  LayerInfo const* whole = nullptr;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    auto const& site = sites[i];
    if (!chosen[i] || (choice.kind == Kind::difffit && site.map->block >= scaled)) {
      continue;
    }
    if (site.third >= 0 && whole == site.map) {
      detail::refuse_modules(
          "query, key and value of " + site.map->name + " both as one map and apart",
          "qkv, or query, key and value");
    }
    whole = site.third < 0 ? site.map : whole;
    AdditiveAdapters::Part part;
    if (site.third >= 0) {
      part.name = std::string(site.role);
      part.outputs = site.map->shape.out / 3;
      part.first = site.third * part.outputs;
    }
    switch (choice.kind) {
      case Kind::low_rank:
        if (choice.low_rank.decomposes() && choice.low_rank.per_input &&
            site.map->role == role::patch::name) {
          detail::refuse_modules("the patch embedding with magnitudes over inputs",
                                 "other maps: files have one magnitude for all pixels of a patch, "
                                 "training one for each");
        }
        part.adapter = choice.low_rank;
        break;
      case Kind::kronecker:
        part.adapter = detail::kronecker_for(choice.kronecker, *site.map,
                                             part.shape(site.map->shape), config.channels);
        break;
      default: part.adapter = ScaleBias{}; break;
    }
    adapters.push_back({site.map->name, std::move(part)});
  }
  return adapters;
}

/// Trains what the choice says.
template <Precision P, ExecutionSpace Exec>
void train_adapters(ParameterList<P, Exec> const& list, AdapterChoice const& choice) {
  train_where(list, [&](auto const& entry) { return choice.trains(entry.kind); });
}

}  // namespace dashi::checkpoints

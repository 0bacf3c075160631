// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_choice.hpp>
#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/io/adapters/adapter_file.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

/// Makes modules of an adapter of what a net has trained.
template <Precision P, ExecutionSpace Exec>
class TrainedModules {
public:
  using List = ParameterList<P, Exec>;
  using Read = std::function<void(std::size_t entry, std::span<float>)>;

  /// split: the maps of which query, key or value is adapted alone.
  TrainedModules(DitConfig const& config, io::Dialect base, std::set<std::string> split,
                 List const& list, Read const& read)
      : config_(config),
        names_(config.depth),
        diffusers_base_(base == io::Dialect::dit_diffusers),
        diffusers_(diffusers_base_ || !split.empty()),
        split_(std::move(split)),
        list_(list),
        read_(read) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      entries_.emplace(list[i].name, i);
    }
  }

  void add(MapAdapter const& adapter, LayerInfo const& map) {
    auto const& part = adapter.part;
    LinearShape const shape = part.shape(map.shape);
    std::string const prefix = map.name + "." + (part.name.empty() ? "" : part.name + ".");
    bool const whole = shape.out == map.shape.out;
    io::AdapterModule& to = module(map.name, whole ? -1 : part.first / shape.out);
    std::visit([&](auto const& options) { fill(to, options, prefix, map, part.first, shape); },
               part.adapter.choice);
  }

  /// Trained parameters of the base: biases, and tables as replacements.
  void add_own() {
    for (std::size_t i = 0; i < list_.size(); ++i) {
      auto const& entry = list_[i];
      bool const bias = entry.kind == ParameterKind::bias;
      bool const table = entry.kind == ParameterKind::embedding;
      if (entry.parameter.trained() && (bias || table)) {
        std::string const map = entry.name.substr(0, entry.name.rfind('.'));
        if (split_.contains(map)) {
          Index const third = entry.parameter.size() / 3;
          for (Index part = 0; part < 3; ++part) {
            module(map, part).bias = tensor(values(i), {third}, part * third);
          }
          continue;
        }
        io::AdapterModule& to = module(map, -1);
        (bias ? to.bias : to.replacement) = tensor(values(i), entry.shape);
      }
    }
  }

  std::vector<io::AdapterModule> take() {
    std::vector<io::AdapterModule> out;
    for (auto& [path, module] : modules_) {
      out.push_back(std::move(module));
    }
    return out;
  }

private:
  /// Of a map or table, or of a third of one, under a name that the base knows it by.
  io::AdapterModule& module(std::string const& map, Index third) {
    DitParameterName const name(map + ".weight");
    auto const* const at = names_.find_original(name.original);
    DASHI_EXPECTS(at != nullptr, "no map of a DiT is called '" + map + "'");
    io::DitName const& known = names_.entries()[at->entry];
    std::string tensor = known.original;
    if (third >= 0) {
      tensor = known.diffusers[static_cast<std::size_t>(third)];
    } else if (known.how == io::DitStorage::same && diffusers_) {
      tensor = known.diffusers.front();
    } else if (known.how == io::DitStorage::every_block && diffusers_base_ && name.embedder >= 0) {
      tensor = known.diffusers[static_cast<std::size_t>(name.embedder)];
    }
    std::string const path = tensor.substr(0, tensor.rfind('.'));
    io::AdapterModule& out = modules_[path];
    out.path = path;
    return out;
  }

  std::vector<float> values(std::size_t entry) const {
    std::vector<float> out(static_cast<std::size_t>(list_[entry].parameter.size()));
    if (read_) {
      read_(entry, std::span<float>(out));
    } else {
      list_[entry].parameter.read(std::span<float>(out));
    }
    return out;
  }
  std::vector<float> numbers(std::string const& name) const {
    auto const at = entries_.find(name);
    DASHI_EXPECTS(at != entries_.end(), "the net has no parameter '" + name + "'");
    return values(at->second);
  }
  io::AdapterTensor named(std::string const& name, std::vector<Index> const& shape) const {
    return tensor(numbers(name), shape);
  }
  /// A tensor of elements from `first` on.
  static io::AdapterTensor tensor(std::vector<float> const& all, std::vector<Index> const& shape,
                                  Index first = 0) {
    std::size_t count = 1;
    for (Index const extent : shape) {
      count *= static_cast<std::size_t>(extent);
    }
    auto const bytes =
        std::as_bytes(std::span(all).subspan(static_cast<std::size_t>(first), count));
    return {io::Dtype::f32, {shape.begin(), shape.end()}, {bytes.begin(), bytes.end()}};
  }

  /// [rows, cols], or as a convolution of patches has it.
  std::vector<Index> shape_of(LayerInfo const& map, Index rows, Index cols) const {
    if (map.role != role::patch::name) {
      return {rows, cols};
    }
    return {rows, cols / (config_.patch * config_.patch), config_.patch, config_.patch};
  }

  void fill(io::AdapterModule& module, LowRank const& options, std::string const& prefix,
            LayerInfo const& map, Index first, LinearShape shape) const {
    Index const rank = options.rank;
    std::vector<Index> up{shape.out, rank};
    if (map.role == role::patch::name) {
      up.insert(up.end(), {1, 1});
    }
    io::LowRankForm form;
    form.down = named(prefix + "lora_A.weight", shape_of(map, rank, shape.in));
    form.up = named(prefix + "lora_B.weight", up);
    module.form = std::move(form);
    module.rank = static_cast<std::uint64_t>(rank);
    module.scale = options.scale();
    module.scale_reason = "as trained";
    if (options.decomposes()) {
      module.dora = magnitudes(options, prefix, map, first, shape);
    }
  }

  /// Of rows [first, first + shape.out) of the map: the norms of the base and what was added.
  io::MagnitudeForm magnitudes(LowRank const& options, std::string const& prefix,
                               LayerInfo const& map, Index first, LinearShape shape) const {
    auto const weight = numbers(map.name + ".weight");
    auto out = numbers(prefix + "lora_magnitude_change");
    std::vector<double> squares(out.size(), 0.0);
    for (Index i = 0; i < shape.out; ++i) {
      for (Index j = 0; j < shape.in; ++j) {
        double const w = weight[static_cast<std::size_t>((first + i) * shape.in + j)];
        squares[static_cast<std::size_t>(options.per_input ? j : i)] += w * w;
      }
    }
    for (std::size_t k = 0; k < out.size(); ++k) {
      out[k] = static_cast<float>(std::sqrt(squares[k]) + static_cast<double>(out[k]));
    }
    auto const size = static_cast<Index>(out.size());
    return {tensor(out, options.per_input ? std::vector<Index>{1, size} : std::vector<Index>{size}),
            options.per_input};
  }

  void fill(io::AdapterModule& module, Kronecker const& options, std::string const& prefix,
            LayerInfo const& map, Index, LinearShape shape) const {
    auto const s = options.shape(shape);
    Index const rank = options.rank;
    io::KroneckerForm form;
    if (options.a_low_rank) {
      form.first.a = named(prefix + "lokr_w1_a", {s.m1, rank});
      form.first.b = named(prefix + "lokr_w1_b", {rank, s.n1});
    } else {
      form.first.full = named(prefix + "lokr_w1", {s.m1, s.n1});
    }
    if (options.b_low_rank) {
      form.second.a = named(prefix + "lokr_w2_a", {s.m2, rank});
      form.second.b = named(prefix + "lokr_w2_b", {rank, s.n2});
    } else {
      form.second.full = named(prefix + "lokr_w2", shape_of(map, s.m2, s.n2));
    }
    module.form = std::move(form);
    module.rank = options.a_low_rank || options.b_low_rank ? static_cast<std::uint64_t>(rank) : 0;
    module.scale = options.scale();
    module.scale_reason = "as trained";
  }

  void fill(io::AdapterModule& module, ScaleBias const&, std::string const& prefix,
            LayerInfo const&, Index, LinearShape shape) const {
    module.form = io::ScaleForm{named(prefix + "gamma", {shape.out})};
  }

  DitConfig const& config_;
  io::DitNames names_;
  bool diffusers_base_;
  bool diffusers_;
  std::set<std::string> split_;
  List const& list_;
  Read const& read_;
  std::map<std::string, std::size_t> entries_;
  std::map<std::string, io::AdapterModule> modules_;
};

}  // namespace detail

/// What was trained on a frozen DiT, in memory, for io::write_adapter: the factors of `adapters`,
/// trained biases, and a trained class table as a replacement. Modules have names that the base
/// knows, `base` being the dialect of its own; thirds of query, key and value have diffusers'.
/// `read` gives the numbers of an entry of the list, for instance a moving average; empty: masters.
template <Precision P, ExecutionSpace Exec>
io::AdapterFile trained_adapter(DitConfig const& config, io::Dialect base,
                                std::vector<MapAdapter> const& adapters,
                                ParameterList<P, Exec> const& list,
                                std::function<void(std::size_t, std::span<float>)> read = {}) {
  std::set<std::string> split;
  for (MapAdapter const& adapter : adapters) {
    if (adapter.part.outputs > 0) {
      split.insert(adapter.map);
    }
  }
  detail::TrainedModules<P, Exec> modules(config, base, std::move(split), list, read);
  auto const maps = dit_maps(config);
  for (MapAdapter const& adapter : adapters) {
    auto const map = std::find_if(maps.begin(), maps.end(), [&](LayerInfo const& known) {
      return known.name == adapter.map;
    });
    DASHI_EXPECTS(map != maps.end(), "no map of a DiT is called '" + adapter.map + "'");
    modules.add(adapter, *map);
  }
  modules.add_own();
  io::AdapterFile out;
  out.modules = modules.take();
  return out;
}

}  // namespace dashi::checkpoints

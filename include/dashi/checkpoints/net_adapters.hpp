// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/adapter_choice.hpp>
#include <dashi/checkpoints/net_adapter_factors.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_target.hpp>
#include <dashi/io/dialects/read_dit.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Adapters of files on a DiT as it runs: factors stay beside the weights. What a net has no form
/// for (dense changes, DoRA, Tucker's convolutions, replacements, trained biases) changes the
/// weights once, when they are loaded, in double.
///
/// Use: add() each file, make the net with options(), give edit() to load_dit, then fill().
class NetAdapters {
public:
  /// `config` is dit_config of the model.
  NetAdapters(DitConfig const& config, io::DitModel const& model)
      : config_(config), dialect_(model.dialect), names_(config.depth) {}

  bool empty() const noexcept { return adapters_.empty() && edits_.empty(); }

  /// `targets`: where io::resolve_adapter finds the modules in the model's checkpoint. Strength 0
  /// changes nothing, in no bit. Throws FormatError for a change that would have to come before an
  /// adapter added earlier, and for embedders that differ from block to block in a net of one.
  void add(io::AdapterFile const& adapter, std::vector<io::AdapterTarget> const& targets,
           double strength) {
    if (strength == 0) {
      return;
    }
    file_ = adapter.path.string();
    earlier_ = adapters_.size();
    for (std::size_t begin = 0; begin < targets.size();) {
      std::size_t end = begin + 1;
      while (end < targets.size() && targets[end].module == targets[begin].module) {
        ++end;
      }
      add_module(adapter.modules.at(targets[begin].module),
                 std::span(targets).subspan(begin, end - begin), strength);
      begin = end;
    }
  }

  /// In the order in which they take effect.
  std::vector<MapAdapter> const& adapters() const noexcept { return adapters_; }
  AdditivePlace::Options options() const { return additive_options(adapters_); }

  /// Changes values of the base that are about to be loaded into `parameter`.
  template <class T>
  void edit(std::string_view parameter, std::vector<Index> const& shape,
            std::span<T> values) const {
    for (Edit const& edit : edits_) {
      if (edit.parameter != parameter) {
        continue;
      }
      auto const rows = static_cast<std::size_t>(shape.front());
      std::size_t const cols = edit.bias ? 1 : values.size() / rows;
      auto const part = values.subspan(edit.first * cols, edit.rows * cols);
      std::vector<double> wide(part.begin(), part.end());
      if (edit.bias) {
        edit.change->apply_to_bias(edit.module_first, wide);
        for (std::size_t i = 0; i < edit.gamma.size(); ++i) {
          wide[i] /= edit.gamma[i];
        }
      } else {
        apply(edit, wide, cols);
      }
      for (std::size_t i = 0; i < wide.size(); ++i) {
        part[i] = convert<T>(wide[i]);
      }
    }
  }

  /// Writes the factors into the parameters of a net made with options(). Fences.
  template <Precision P, ExecutionSpace Exec>
  void fill(ParameterList<P, Exec> const& list) const {
    for (auto const& [name, values] : values_) {
      auto const* const entry = list.find(name);
      DASHI_EXPECTS(entry != nullptr, "the net was not made with these adapters: no " + name);
      entry->parameter.write(std::span<double const>(values));
    }
  }

private:
  struct Rows {
    std::string parameter;
    std::string bias;
    Index first;
    Index module_first;
    Index rows;
  };
  struct Edit {
    std::string parameter;
    std::shared_ptr<AdapterChange> change;
    std::size_t first, module_first, rows;
    bool bias;
    std::vector<double> gamma;  ///< that the net multiplies the bias by
  };

  static void apply(Edit const& edit, std::span<double> values, std::size_t cols) {
    if (edit.change->needs_column_norms()) {
      std::vector<double> copy(values.begin(), values.end());
      std::vector<double> sums(cols, 0.0);
      edit.change->add_column_squares(edit.module_first, edit.rows, copy, sums);
      edit.change->set_column_norms(sums);
    }
    edit.change->apply(edit.module_first, edit.rows, values);
  }

  void add_module(io::AdapterModule const& module, std::span<io::AdapterTarget const> targets,
                  double strength) {
    std::vector<Rows> const places = rows_of(module, targets);
    bool const changes_weight = AdapterChange::changes_weight(module);
    bool const changes_bias = AdapterChange::changes_bias(module);
    // Several places are copies: a model's embedder, of which the net has one in every block.
    bool const whole = std::all_of(places.begin(), places.end(), [&](Rows const& place) {
      return place.module_first == 0 && place.rows == places.front().rows &&
             !place.parameter.ends_with("embedding_table.weight");
    });
    std::optional<NetAdapterFactors> factors;
    if (whole && module.replacement.empty()) {
      factors = net_adapter_factors(module, strength);
    }
    bool const in_net = factors.has_value() && !has_zero(*factors);
    std::shared_ptr<AdapterChange> change;
    if (changes_bias || (changes_weight && !in_net)) {
      change = std::make_shared<AdapterChange>(module, strength);
    }
    for (Rows const& place : places) {
      auto const size = [](Index n) { return static_cast<std::size_t>(n); };
      Edit edit{
          place.parameter, change, size(place.first), size(place.module_first), size(place.rows),
          false,           {}};
      if (changes_weight && !in_net) {
        expect_first(place.parameter, module);
        edits_.push_back(edit);
      }
      if (changes_bias && !place.bias.empty()) {
        expect_first(place.parameter, module);
        edit.parameter = place.bias;
        edit.bias = true;
        if (in_net && std::holds_alternative<ScaleBias>(factors->adapter.choice)) {
          edit.gamma = factors->values.front().second;
        }
        // A scale alone is on the bias already.
        if (edit.gamma.empty() || !module.bias.empty()) {
          edits_.push_back(std::move(edit));
        }
      }
      if (in_net) {
        keep(place, *factors);
      }
    }
  }

  /// A zero of gamma cannot be divided out of a bias: such a scale is applied to the weights.
  static bool has_zero(NetAdapterFactors const& factors) {
    return std::holds_alternative<ScaleBias>(factors.adapter.choice) &&
           std::ranges::count(factors.values.front().second, 0.0) > 0;
  }

  void keep(Rows const& place, NetAdapterFactors factors) {
    std::string const map = module_of(place.parameter);
    AdditiveAdapters::Part part{factors.adapter, "adapter_" + std::to_string(adapters_.size()),
                                place.first, place.rows};
    for (auto& [name, values] : factors.values) {
      values_.emplace_back(map + "." + part.name + "." + name, std::move(values));
    }
    adapters_.push_back({map, std::move(part)});
  }

  /// Rows of parameters of the net that rows of the module go to, neighbours as one.
  std::vector<Rows> rows_of(io::AdapterModule const& module,
                            std::span<io::AdapterTarget const> targets) const {
    std::vector<Rows> out;
    std::set<std::string> first_copies;
    for (io::AdapterTarget const& target : targets) {
      auto const place = dit_place(names_, dialect_, config_.embedders, target.tensor);
      DASHI_EXPECTS(place.has_value(), "no tensor of a DiT is called '" + target.tensor + "'");
      if (place->copy == 0) {
        first_copies.insert(place->parameter);
      } else if (!first_copies.contains(place->parameter)) {
        refuse(module, "a change of one block's embedder alone",
               "a model with an embedder in every block", "run it with --embedders per_block");
      } else {
        continue;
      }
      auto const index = [](std::uint64_t n) { return static_cast<Index>(n); };
      Index const offset = place->third < 0 ? 0 : place->third * config_.width;
      Rows rows{place->parameter, target.bias.empty() ? "" : module_of(place->parameter) + ".bias",
                offset + index(target.tensor_row), index(target.module_row), index(target.rows)};
      if (!out.empty() && out.back().parameter == rows.parameter &&
          out.back().first + out.back().rows == rows.first &&
          out.back().module_first + out.back().rows == rows.module_first) {
        out.back().rows += rows.rows;
      } else {
        out.push_back(std::move(rows));
      }
    }
    return out;
  }

  static std::string module_of(std::string const& parameter) {
    return parameter.substr(0, parameter.rfind('.'));
  }

  /// An edit of the base takes effect before the adapters that an earlier file has on its map.
  void expect_first(std::string const& parameter, io::AdapterModule const& module) const {
    std::string const map = module_of(parameter);
    for (std::size_t i = 0; i < earlier_; ++i) {
      if (adapters_[i].map == map) {
        refuse(module, "a change of weights behind another adapter on " + map,
               "at most one adapter with such changes, given first",
               "give it first, or fuse the others into the base");
      }
    }
  }

  [[noreturn]] void refuse(io::AdapterModule const& module, std::string found, std::string expected,
                           std::string advice) const {
    throw FormatError({.code = "adapter-at-run-time",
                       .file = file_,
                       .place = "module " + io::in_quotes(module.path),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

  DitConfig config_;
  io::Dialect dialect_;
  io::DitNames names_;
  std::vector<MapAdapter> adapters_;
  std::vector<std::pair<std::string, std::vector<double>>> values_;
  std::vector<Edit> edits_;
  std::string file_;
  std::size_t earlier_ = 0;
};

}  // namespace dashi::checkpoints

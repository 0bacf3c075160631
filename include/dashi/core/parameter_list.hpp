// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/parameter.hpp>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

namespace dashi {

/// What a parameter is, for choosing which are trained.
enum class ParameterKind : unsigned char {
  weight,
  bias,
  embedding,  ///< a table that is looked up
  adapter,    ///< added to a frozen map
  shared,     ///< used by several layers
  scale,      ///< multiplies outputs (DiffFit's gamma)
  buffer,     ///< saved, never trained
};

/// The distribution that a new parameter is drawn from.
struct Initial {
  enum class Kind : unsigned char { constant, uniform, normal };
  Kind kind = Kind::constant;
  double a = 0;  ///< the constant; the bound of (-a, a); the standard deviation

  static constexpr Initial zero() { return {}; }
  static constexpr Initial constant(double value) { return {Kind::constant, value}; }
  static constexpr Initial uniform(double bound) { return {Kind::uniform, bound}; }
  static constexpr Initial normal(double deviation) { return {Kind::normal, deviation}; }

  /// Standard deviation of an element; 0 for a constant.
  double deviation() const {
    switch (kind) {
      case Kind::uniform: return a / std::sqrt(3.0);
      case Kind::normal: return a;
      case Kind::constant: break;
    }
    return 0;
  }
};

/// One entry of the flat list: what optimizers, averages, checkpoints and counts know of a model.
template <Precision P, ExecutionSpace Exec>
struct ParameterEntry {
  std::string name;       ///< unique: "blocks.3.attn.qkv.weight"
  std::string_view role;  ///< of the linear map that it belongs to ("query", ...); may be empty
  Index block = -1;       ///< of the backbone; -1: none
  ParameterKind kind = ParameterKind::weight;
  bool trained_by_default = true;
  std::vector<Index> shape;  ///< in files; its product is the size
  Initial initial;
  Parameter<P, Exec> parameter;
};

/// All parameters of a model, each once, in a fixed order: the one traversal of backbones and
/// adapters.
template <Precision P, ExecutionSpace Exec>
class ParameterList {
public:
  using Entry = ParameterEntry<P, Exec>;

  /// Names added while it lives begin with "<name>.".
  class Scope {
  public:
    Scope(ParameterList& list, std::string const& name, std::string_view role = {})
        : list_(list), length_(list.prefix_.size()), role_(list.role_) {
      list.prefix_ += name + ".";
      if (!role.empty()) {
        list.role_ = role;
      }
    }
    ~Scope() {
      list_.prefix_.resize(length_);
      list_.role_ = role_;
    }
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;

  private:
    ParameterList& list_;
    std::size_t length_;
    std::string_view role_;
  };

  /// Entries added while it lives belong to this block.
  class Block {
  public:
    Block(ParameterList& list, Index block) : list_(list), before_(list.block_) {
      list.block_ = block;
    }
    ~Block() { list_.block_ = before_; }
    Block(Block const&) = delete;
    Block& operator=(Block const&) = delete;

  private:
    ParameterList& list_;
    Index before_;
  };

  /// While it lives, weight_initial() is what the weight of the current map would be drawn from:
  /// adapters that replace the weight begin with as large a one.
  class WeightInitial {
  public:
    WeightInitial(ParameterList& list, Initial initial)
        : list_(list), before_(list.weight_initial_) {
      list.weight_initial_ = initial;
    }
    ~WeightInitial() { list_.weight_initial_ = before_; }
    WeightInitial(WeightInitial const&) = delete;
    WeightInitial& operator=(WeightInitial const&) = delete;

  private:
    ParameterList& list_;
    Initial before_;
  };
  Initial weight_initial() const { return weight_initial_; }

  /// Appends; a parameter of no elements is left out. shape: empty for [rows, cols], or [cols] of
  /// one row that is a bias or a scale.
  void add(std::string const& name, Parameter<P, Exec> const& parameter, ParameterKind kind,
           bool trained_by_default, Initial initial = {}, std::vector<Index> shape = {}) {
    if (parameter.size() == 0) {
      return;
    }
    if (shape.empty()) {
      bool const is_vector = kind == ParameterKind::bias || kind == ParameterKind::scale;
      shape = is_vector ? std::vector<Index>{parameter.size()}
                        : std::vector<Index>{parameter.rows(), parameter.cols()};
    }
    entries_.push_back({prefix_ + name, role_, block_, kind, trained_by_default, std::move(shape),
                        initial, parameter});
  }

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }
  Entry const& operator[](std::size_t i) const { return entries_[i]; }
  /// Null where there is none of this name.
  Entry const* find(std::string_view name) const {
    for (Entry const& entry : entries_) {
      if (entry.name == name) {
        return &entry;
      }
    }
    return nullptr;
  }

  /// Elements of all entries, or of the trained ones.
  Index count(bool trained_only = false) const {
    Index total = 0;
    for (Entry const& entry : entries_) {
      total += trained_only && !entry.parameter.trained() ? 0 : entry.parameter.size();
    }
    return total;
  }

private:
  std::vector<Entry> entries_;
  std::string prefix_;
  std::string_view role_;
  Index block_ = -1;
  Initial weight_initial_;
};

/// Trains exactly the entries that `chosen` accepts; buffers never.
template <Precision P, ExecutionSpace Exec, class Predicate>
void train_where(ParameterList<P, Exec> const& list, Predicate const& chosen) {
  for (auto const& entry : list) {
    entry.parameter.train(entry.kind != ParameterKind::buffer && chosen(entry));
  }
}

/// Trains what backbone and adapters train by default.
template <Precision P, ExecutionSpace Exec>
void train_default(ParameterList<P, Exec> const& list) {
  train_where(list, [](auto const& entry) { return entry.trained_by_default; });
}

}  // namespace dashi

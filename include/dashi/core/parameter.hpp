// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <memory>
#include <span>
#include <string>
#include <type_traits>

namespace dashi {

/// A matrix of a model: a handle with shared state, like a View. Copies see the same value,
/// gradient and trained flag; rows() may be a range of the state's rows (query, key and value are
/// thirds of one matrix).
///
/// value: P::storage; master: P::master, what the optimizer updates, of its own only where the
/// types differ and the parameter is trained; gradient: P::accumulate, only where it is trained.
template <Precision P, ExecutionSpace Exec>
class Parameter {
public:
  using Value = typename P::storage;
  using Master = typename P::master;
  using Gradient = typename P::accumulate;
  static constexpr bool has_own_master = !std::is_same_v<Value, Master>;

  Parameter() = default;
  /// rows x cols zeros, not trained.
  Parameter(std::string const& label, Index rows, Index cols)
      : state_(std::make_shared<State>()), rows_(rows) {
    checked_multiply(rows, cols, static_cast<Index>(sizeof(double)));
    state_->label = label;
    state_->rows = rows;
    state_->cols = cols;
    state_->value = Memory<Value>(label, static_cast<std::size_t>(rows * cols));
  }

  Index rows() const noexcept { return rows_; }
  Index cols() const noexcept { return state_ ? state_->cols : 0; }
  Index size() const noexcept { return rows() * cols(); }
  /// The same for all handles of one matrix.
  void const* id() const noexcept { return state_.get(); }

  Matrix<P, Exec> matrix() const { return matrix_of<Value>(value_data()); }
  Vector<P, Exec> vector() const { return vector_of<Value>(value_data()); }
  /// What the optimizer updates; the value itself where the types agree; empty where not trained.
  VectorOf<Master, Exec> master() const {
    if constexpr (has_own_master) {
      return vector_of<Master>(state_ ? at(state_->master) : nullptr);
    } else {
      return vector();
    }
  }
  MatrixOf<Gradient, Exec> gradient() const {
    return matrix_of<Gradient>(state_ ? at(state_->gradient) : nullptr);
  }
  VectorOf<Gradient, Exec> gradient_vector() const {
    return vector_of<Gradient>(state_ ? at(state_->gradient) : nullptr);
  }

  bool trained() const noexcept { return state_ && state_->trained; }

  /// Allocates or frees gradient and master, for all handles. Fences. A master that is made here
  /// is the widened value: choose what is trained before loading where the file has more digits.
  void train(bool on) const {
    DASHI_EXPECTS(state_ != nullptr, "a parameter without memory cannot be trained");
    if (on == state_->trained) {
      return;
    }
    state_->trained = on;
    auto const size = on ? state_->value.extent(0) : 0;
    state_->gradient = Memory<Gradient>("dashi::gradient of " + state_->label, size);
    if constexpr (has_own_master) {
      state_->master = Memory<Master>("dashi::master of " + state_->label, size);
      if (on) {
        convert_memory(state_->value, state_->master);
      }
    }
  }

  /// Sets value and, if there is one, master, each rounded once from `from`, [size()] on the host.
  /// Fences.
  template <class T>
  void write(std::span<T const> from) const {
    DASHI_EXPECTS(static_cast<Index>(from.size()) == size(),
                  "a parameter of " + std::to_string(size()) + " elements cannot take " +
                      std::to_string(from.size()));
    copy_from_host(from, vector());
    if constexpr (has_own_master) {
      if (trained()) {
        copy_from_host(from, master());
      }
    }
  }

  /// Reads the master, or the value where there is none, [size()] on the host. Fences.
  template <class T>
  void read(std::span<T> to) const {
    DASHI_EXPECTS(static_cast<Index>(to.size()) == size(),
                  "a parameter of " + std::to_string(size()) + " elements cannot fill " +
                      std::to_string(to.size()));
    if (has_own_master && trained()) {
      copy_to_host(master(), to);
    } else {
      copy_to_host(vector(), to);
    }
  }

  /// Rows [first, first + count) of the same matrix.
  Parameter slice(Index first, Index count) const {
    DASHI_EXPECTS(first >= 0 && count >= 0 && first + count <= rows_,
                  "rows " + std::to_string(first) + " to " + std::to_string(first + count) +
                      " of a parameter of " + std::to_string(rows_) + " rows");
    Parameter part = *this;
    part.first_ += first;
    part.rows_ = count;
    return part;
  }

  /// From now on the other's value (and master), with a gradient of its own: what replicas of a
  /// model do that work on parts of a batch at the same time.
  void share_value(Parameter const& other) const {
    DASHI_EXPECTS(state_ && other.state_ && state_->rows == other.state_->rows &&
                      state_->cols == other.state_->cols,
                  "only parameters of equal extents can share a value");
    state_->value = other.state_->value;
    state_->master = other.state_->master;
  }

private:
  template <class T>
  using Memory = Kokkos::View<T*, Kokkos::LayoutRight, typename Exec::memory_space>;

  struct State {
    std::string label;
    Index rows = 0;
    Index cols = 0;
    bool trained = false;
    Memory<Value> value;
    Memory<Master> master;
    Memory<Gradient> gradient;
  };

  template <class T>
  T* at(Memory<T> const& memory) const {
    return memory.extent(0) == 0 ? nullptr : memory.data() + first_ * state_->cols;
  }
  Value* value_data() const { return state_ ? at(state_->value) : nullptr; }
  template <class T>
  MatrixOf<T, Exec> matrix_of(T* data) const {
    return data == nullptr ? MatrixOf<T, Exec>() : matrix_over<T, Exec>(data, rows_, cols());
  }
  template <class T>
  VectorOf<T, Exec> vector_of(T* data) const {
    return data == nullptr ? VectorOf<T, Exec>() : vector_over<T, Exec>(data, size());
  }

  template <class From, class To>
  static void convert_memory(From const& from, To const& to) {
    auto const host_from = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), from);
    auto const host_to = Kokkos::create_mirror_view(to);
    for (std::size_t i = 0; i < from.extent(0); ++i) {
      host_to(i) = convert<typename To::non_const_value_type>(host_from(i));
    }
    Kokkos::deep_copy(to, host_to);
  }
  template <class T, class To>
  static void copy_from_host(std::span<T const> from, To const& to) {
    Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const view(
        from.data(), from.size());
    convert_memory(view, to);
  }
  template <class From, class T>
  static void copy_to_host(From const& from, std::span<T> to) {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), from);
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = convert<T>(host(i));
    }
  }

  std::shared_ptr<State> state_;
  Index first_ = 0;
  Index rows_ = 0;
};

}  // namespace dashi

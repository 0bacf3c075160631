// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/factorised_dit.hpp>
#include <dashi/backbones/factorised_weights.hpp>
#include <dashi/backbones/materialise.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace dashi {

namespace detail {

/// to[i] = from[rows[i]], or to[rows[i]] = from[i], for rows of `columns` numbers.
template <class T, class Exec>
void move_rows(Exec const& exec, VectorOf<Index const, Exec> rows, Index columns, T const* from,
               T* to, bool gather) {
  Kokkos::parallel_for(
      "dashi::ClassGatedDit",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(
          exec, 0, static_cast<Index>(rows.extent(0)) * columns),
      KOKKOS_LAMBDA(Index at) {
        Index const i = at / columns;
        Index const j = at - i * columns;
        Index const there = rows(i) * columns + j;
        if (gather) {
          to[at] = from[there];
        } else {
          to[there] = from[at];
        }
      });
}

}  // namespace detail

/// A factorised DiT for sampling: tailor groups that are asked for often enough are computed with
/// dense weights, the rest of a batch goes through the factors. KIND, arXiv 2408.07337.
///
/// choose() says for which groups weights pay, prepare() makes those of a batch: batches of few
/// groups make them once. Passes without gradients fence where any group is dense, since rows are
/// sorted by their labels on the host; the other passes are those of FactorisedDit. Dense: a DiT
/// without adapters, or one whose placement has none by default.
template <ExecutionSpace Exec, Precision P, class Dense = BasicDiT<Exec, P>>
class ClassGatedDit : public FactorisedDit<Exec, P> {
  using Base = FactorisedDit<Exec, P>;
  using Real = typename P::storage;

public:
  using Input = typename Base::Input;

  /// Memory for a pass of at most so many samples.
  struct Evaluation {
    Index samples = 0;
    VectorOf<std::byte, Exec> memory;
    Matrix<P, Exec> x, out;
    VectorOf<double, Exec> timesteps;
    VectorOf<std::int64_t, Exec> labels;
    VectorOf<Index, Exec> rows;
  };

  ClassGatedDit(Context<Exec>& ctx, DitConfig const& config, FactorisedLayout layout)
      : Base(ctx, config, factorised_options(layout)), layout_(std::move(layout)) {
    Base::parameters(factors_);
  }

  FactorisedLayout const& layout() const noexcept { return layout_; }
  /// The tailor group of a label; no_tailor_group without a class.
  Index group_of(std::int64_t label) const {
    return layout_.method == SvdMethod::fine || label >= this->config().classes
               ? no_tailor_group
               : layout_.group_of_class[static_cast<std::size_t>(label)];
  }
  std::size_t chosen_groups() const noexcept { return chosen_.size(); }
  std::size_t dense_groups() const noexcept { return dense_.size(); }
  /// Of the weights of one group.
  std::size_t group_bytes() const {
    auto const& c = this->config();
    Index elements = 0;
    for (FactorisedSite const& site : factorised_sites) {
      LinearShape const shape = site.shape(c.width, c.mlp_width);
      elements += c.depth * shape.out * shape.in;
    }
    return static_cast<std::size_t>(elements) * sizeof(Real);
  }

  /// Which groups get dense weights when samples of these labels are to come, each in `passes`
  /// passes and, where `unguided`, in as many without a class.
  void choose(std::span<std::int64_t const> labels, Index passes, bool unguided,
              Materialise how = Materialise::when_it_pays) {
    how_ = how;
    std::map<Index, double> tokens;
    for (std::int64_t const label : labels) {
      double const rows =
          static_cast<double>(passes) * static_cast<double>(this->config().tokens());
      tokens[group_of(label)] += rows;
      if (unguided) {
        tokens[no_tailor_group] += rows;
      }
    }
    chosen_.clear();
    auto const& c = this->config();
    for (auto const& [group, rows] : tokens) {
      if (how == Materialise::always ||
          (how == Materialise::when_it_pays &&
           materialising_pays(layout_, c.width, c.mlp_width, rows, group))) {
        chosen_.insert(group);
      }
    }
    std::erase_if(dense_, [&](auto const& there) { return !chosen_.contains(there.first); });
  }

  /// Makes the weights of the chosen groups that a batch of these labels needs. Others that are
  /// there stay while all fit in `memory` bytes; what does not fit goes through the factors, unless
  /// weights are asked for always. Parameters must be final. Fences.
  void prepare(Context<Exec>& ctx, std::span<std::int64_t const> labels, bool unguided,
               std::size_t memory = std::size_t{1} << 32) {
    std::set<Index> needed;
    for (std::int64_t const label : labels) {
      needed.insert(group_of(label));
    }
    if (unguided) {
      needed.insert(no_tailor_group);
    }
    for (Index const group : needed) {
      if (chosen_.contains(group) && !dense_.contains(group)) {
        make(ctx, group, needed, memory);
      }
    }
    ctx.fence("dashi::ClassGatedDit::prepare");
  }

  Evaluation evaluation(Arena& arena, Index samples) const {
    Arena measuring;
    (void)Base::evaluation(measuring, samples);
    std::size_t bytes = measuring.peak();
    if (!dense_.empty()) {
      Arena other;
      (void)dense_.begin()->second->evaluation(other, samples);
      bytes = std::max(bytes, other.peak());
    }
    Index const rows = chosen_.empty() ? 0 : samples;
    auto const shape = this->shape();
    return {samples,
            arena.vector<std::byte, Exec>(static_cast<Index>(bytes)),
            arena.matrix<Real, Exec>(rows, shape.image_size()),
            arena.matrix<Real, Exec>(rows, shape.out_size()),
            arena.vector<double, Exec>(rows),
            arena.vector<std::int64_t, Exec>(rows),
            arena.vector<Index, Exec>(rows)};
  }

  std::size_t scratch_bytes(Context<Exec> const& ctx, Index samples) const {
    std::size_t bytes = Base::scratch_bytes(ctx, samples);
    for (auto const& [group, net] : dense_) {
      bytes = std::max(bytes, net->scratch_bytes(ctx, samples));
    }
    return bytes;
  }

  void evaluate(Context<Exec>& ctx, Input const& input, Matrix<P, Exec> out,
                Evaluation const& evaluation) const {
    Index const samples = input.samples();
    DASHI_EXPECTS(samples <= evaluation.samples, "an evaluation for fewer samples");
    if (dense_.empty() || input.labels.dropped.extent(0) > 0) {
      Arena arena = arena_over(evaluation);
      Base::evaluate(ctx, input, out, Base::evaluation(arena, samples));
      return;
    }
    auto const labels =
        Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), input.labels.classes);
    std::map<Index, std::vector<Index>> parts;
    for (Index n = 0; n < samples; ++n) {
      Index const group = group_of(labels(n));
      parts[dense_.contains(group) ? group : in_factors].push_back(n);
    }
    for (auto const& [group, rows] : parts) {
      run_part(ctx, input, out, evaluation, rows,
               group == in_factors ? nullptr : dense_.at(group).get());
    }
  }

private:
  static constexpr Index in_factors = -2;

  /// In the place of a group that is not needed where memory is short.
  void make(Context<Exec>& ctx, Index group, std::set<Index> const& needed, std::size_t memory) {
    std::unique_ptr<Dense> net;
    if ((dense_.size() + 1) * group_bytes() > memory) {
      auto const spare = std::find_if(dense_.begin(), dense_.end(), [&](auto const& there) {
        return !needed.contains(there.first);
      });
      if (spare != dense_.end()) {
        net = std::move(spare->second);
        dense_.erase(spare);
      } else if (how_ != Materialise::always) {
        return;
      }
    }
    if (!net) {
      net = std::make_unique<Dense>(ctx, this->config());
    }
    ParameterList<P, Exec> list;
    net->parameters(list);
    materialise_factorised(ctx, layout_, factors_, group, list);
    dense_[group] = std::move(net);
  }

  static Arena arena_over(Evaluation const& evaluation) {
    return Arena(evaluation.memory.data(), evaluation.memory.extent(0));
  }

  void run_part(Context<Exec>& ctx, Input const& input, Matrix<P, Exec> out, Evaluation const& e,
                std::vector<Index> const& rows, Dense const* net) const {
    auto const count = static_cast<Index>(rows.size());
    Index const size = this->shape().image_size();
    Index const out_size = this->shape().out_size();
    auto const which = vector_over<Index, Exec>(e.rows.data(), count);
    Kokkos::View<Index const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const
        host(rows.data(), rows.size());
    Kokkos::deep_copy(which, host);
    VectorOf<Index const, Exec> const places(which);
    detail::move_rows<Real>(ctx.exec(), places, size, input.x.data(), e.x.data(), true);
    detail::move_rows<double>(ctx.exec(), places, 1, input.timesteps.data(), e.timesteps.data(),
                              true);
    detail::move_rows<std::int64_t>(ctx.exec(), places, 1, input.labels.classes.data(),
                                    e.labels.data(), true);
    Input part{
        matrix_over<Real, Exec>(e.x.data(), count, size),
        vector_over<double const, Exec>(e.timesteps.data(), count),
        {vector_over<std::int64_t const, Exec>(e.labels.data(), count), {}, input.labels.null_row},
        {}};
    auto const result = matrix_over<Real, Exec>(e.out.data(), count, out_size);
    Arena arena = arena_over(e);
    if (net == nullptr) {
      Base::evaluate(ctx, part, result, Base::evaluation(arena, count));
    } else {
      net->evaluate(ctx, part, result, net->evaluation(arena, count));
    }
    detail::move_rows<Real>(ctx.exec(), places, out_size, e.out.data(), out.data(), false);
    ctx.fence("dashi::ClassGatedDit");  // the next part takes the same memory for its rows
  }

  FactorisedLayout layout_;
  ParameterList<P, Exec> factors_;
  Materialise how_ = Materialise::when_it_pays;
  std::set<Index> chosen_;
  std::map<Index, std::unique_ptr<Dense>> dense_;
};

}  // namespace dashi

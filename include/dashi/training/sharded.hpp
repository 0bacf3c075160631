// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/one_thread_instance.hpp>
#include <dashi/io/for_each_on_threads.hpp>
#include <dashi/kernels/adamw_arguments.hpp>
#include <dashi/kernels/tile_runner.hpp>
#include <dashi/training/micro_batch.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace dashi::training {

struct ShardOptions {
  Index shards = 4;         ///< that a batch is cut into: part of what decides the bits
  std::size_t threads = 0;  ///< that work on them, which decides no bit; 0: the machine's
};

/// Steps on a fixed number of equal shards of the batch, each on a context of its own with one
/// thread and a replica of the network that shares the values and has its own gradients; these are
/// summed by a fixed tree. Threads take whole shards, so the same bits on any number of threads.
/// Costs a gradient and a scratch arena a shard.
template <diffusion::Backbone Net>
class Sharded {
public:
  using Backbone = Net;
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  static constexpr bool any_threads = true;
  static_assert(one_thread_space<Exec>,
                "dashi::training::Sharded: the network's execution space must be Kokkos::Serial or "
                "Kokkos::OpenMP; name it as BasicDiT<Kokkos::Serial, ...>");

  /// make(ctx): a network of the same configuration and adapters on ctx; its values do not matter.
  /// The network must outlive this.
  template <class Make>
  Sharded(Net const& net, Make const& make, ShardOptions const& options = {})
      : net_(&net), threads_(options.threads == 0 ? io::machine_threads() : options.threads) {
    DASHI_EXPECTS(options.shards > 0, "a batch is cut into at least one shard");
    for (Index s = 0; s < options.shards; ++s) {
      auto shard = std::make_unique<Shard>();
      if (s > 0) {
        shard->replica = std::make_unique<Net>(make(shard->ctx));
      }
      shards_.push_back(std::move(shard));
    }
  }

  Context<Exec>& context() const noexcept { return shards_.front()->ctx; }
  Net const& net() const noexcept { return *net_; }
  Index parts() const noexcept { return static_cast<Index>(shards_.size()); }
  MicroBatch<Net>& part(Index s) const noexcept {
    return *shards_[static_cast<std::size_t>(s)]->micro;
  }

  void prepare(BatchLayout const& layout, Net const* teacher) {
    ParameterList<P, Exec> list;
    net_->parameters(list);
    for (auto const& shard : shards_) {
      if (shard->replica) {
        follow(list, *shard->replica);
      }
      Net const& net = shard->replica ? *shard->replica : *net_;
      shard->micro = std::make_unique<MicroBatch<Net>>(shard->ctx, net, layout, parts(), teacher);
    }
    list_pieces();
  }

  template <class Body>
  void for_each_chunk(Index chunks, Body const& body) {
    auto const stride = shards_.size();
    io::for_each_on_threads(stride, threads_, [&](std::size_t s) {
      for (auto c = static_cast<Index>(s); c < chunks; c += static_cast<Index>(stride)) {
        body(*shards_[s]->micro, c);
      }
    });
  }

  void sum_gradients() const {
    over_ranges(static_cast<Index>(pieces_.size()), [&](Index first, Index last) {
      for (Index p = first; p < last; ++p) {
        sum_piece(pieces_[static_cast<std::size_t>(p)]);
      }
    });
  }

  template <class AdamW>
  void update(AdamW const& adamw, kernels::AdamWOptions const& options, Index step) const {
    auto const kernel = adamw.kernel(options, step);
    over_ranges(adamw.pieces(), [&](Index first, Index last) {
      kernels::TileRunner<Exec>::run(kernel, first, last);
    });
  }

private:
  using Gradient = typename P::accumulate;
  static constexpr Index piece_size = 8192;

  struct Shard {
    Context<Exec> ctx{one_thread_instance<Exec>()};
    std::unique_ptr<Net> replica;  // null for the first, which is the network itself
    std::unique_ptr<MicroBatch<Net>> micro;
  };
  struct Piece {
    std::size_t tensor;
    Index first, last;
  };

  static void follow(ParameterList<P, Exec> const& list, Net const& replica) {
    ParameterList<P, Exec> other;
    replica.parameters(other);
    DASHI_EXPECTS(other.size() == list.size(), "a replica has " + std::to_string(other.size()) +
                                                   " parameters, the network " +
                                                   std::to_string(list.size()));
    for (std::size_t i = 0; i < list.size(); ++i) {
      DASHI_EXPECTS(other[i].name == list[i].name,
                    "a replica has another parameter than " + list[i].name + ": " + other[i].name);
      other[i].parameter.train(list[i].parameter.trained());
      other[i].parameter.share_value(list[i].parameter);
    }
  }

  void list_pieces() {
    pieces_.clear();
    auto const& gradients = part(0).gradients();
    for (std::size_t t = 0; t < gradients.size(); ++t) {
      auto const size = static_cast<Index>(gradients[t].size());
      for (Index first = 0; first < size; first += piece_size) {
        pieces_.push_back({t, first, std::min(first + piece_size, size)});
      }
    }
  }

  /// Element by element ((g0 + g1) + (g2 + g3)) + ..., into g0.
  void sum_piece(Piece const& piece) const {
    for (std::size_t stride = 1; stride < shards_.size(); stride *= 2) {
      for (std::size_t s = 0; s + stride < shards_.size(); s += 2 * stride) {
        Gradient* const to = gradient(s, piece.tensor);
        Gradient const* const from = gradient(s + stride, piece.tensor);
        for (Index i = piece.first; i < piece.last; ++i) {
          to[i] += from[i];
        }
      }
    }
  }
  Gradient* gradient(std::size_t shard, std::size_t tensor) const {
    return shards_[shard]->micro->gradients()[tensor].data();
  }

  template <class Body>
  void over_ranges(Index count, Body const& body) const {
    auto const ranges = static_cast<Index>(threads_);
    io::for_each_on_threads(threads_, threads_, [&](std::size_t r) {
      auto const range = static_cast<Index>(r);
      body(count * range / ranges, count * (range + 1) / ranges);
    });
  }

  Net const* net_;
  std::size_t threads_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Piece> pieces_;
};

}  // namespace dashi::training

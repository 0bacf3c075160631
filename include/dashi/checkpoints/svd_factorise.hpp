// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_plan.hpp>
#include <dashi/checkpoints/svd_shared_fit.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/gated_svd_factorise.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What the factors of a map keep of its weight, as shares of its squared Frobenius norm.
struct FactorEnergy {
  std::string map;  ///< "blocks.0.attn.proj"
  LinearShape shape;
  FactorisedLayout::Ranks ranks;
  double kept = 0;
  double learngene = 0;  ///< KIND: by the learngene alone
};

/// What factorise() left.
struct FactoriseResult {
  std::filesystem::path path;  ///< the file, or the index
  std::size_t shards = 1;
  std::vector<FactorEnergy> energies;  ///< of every map
};

namespace detail {

class FactorisePass {
public:
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using Store = Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace>;

  FactorisePass(Context<Exec>& ctx, FactorisePlan const& plan, io::CheckpointWriter& writer,
                io::Progress& progress)
      : ctx_(ctx),
        plan_(plan),
        writer_(writer),
        progress_(progress),
        source_(*plan.checkpoint, *plan.dense) {
    for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
      places_[plan.tensors[t].name] = t;
    }
  }

  std::vector<FactorEnergy> run(std::uint64_t memory) {
    for (FactorisedTensor const& tensor : plan_.tensors) {
      if (tensor.site == factorised_sites.size()) {
        std::vector<double> const values = source_.read_dense(tensor);
        write(tensor.name, values);
      }
    }
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      if (plan_.model.layout.method == SvdMethod::fine) {
        share(s);
      } else {
        decompose(s, memory);
      }
    }
    return std::move(energies_);
  }

private:
  struct Map {
    Store w, ut, vt;
    Kokkos::View<double*, Kokkos::HostSpace> sigma;
  };

  LinearShape shape(std::size_t site) const {
    auto const& c = plan_.model.configuration;
    return factorised_sites[site].shape(c.width, c.mlp_width);
  }

  /// Blocks of a site side by side, as many as the memory has room for.
  void decompose(std::size_t site, std::uint64_t memory) {
    LinearShape const extents = shape(site);
    Index const depth = plan_.model.configuration.depth;
    // The weight, both factors, and what the decomposition takes of the same size.
    std::uint64_t const bytes =
        8 * sizeof(double) * static_cast<std::uint64_t>(extents.out * extents.in);
    Index const together = std::clamp<Index>(static_cast<Index>(memory / bytes), 1,
                                             std::max(1, ctx_.exec().concurrency()));
    for (Index first = 0; first < depth; first += together) {
      Index const count = std::min(together, depth - first);
      std::vector<Map> maps;
      std::vector<kernels::SvdTarget<double, Exec>> targets;
      Index const rank = plan_.model.layout.ranks[site].total();
      auto const store = [](Index rows, Index cols) {
        return Store("dashi::factorise", static_cast<std::size_t>(rows),
                     static_cast<std::size_t>(cols));
      };
      for (Index b = first; b < first + count; ++b) {
        maps.push_back({store(extents.out, extents.in), store(rank, extents.out),
                        store(rank, extents.in),
                        Kokkos::View<double*, Kokkos::HostSpace>("dashi::factorise",
                                                                 static_cast<std::size_t>(rank))});
        Map const& map = maps.back();
        source_.read_weight(site, b, std::span(map.w.data(), map.w.size()));
        targets.push_back({matrix_over<double const, Exec>(map.w.data(), extents.out, extents.in),
                           matrix_over<double, Exec>(map.ut.data(), rank, extents.out), map.sigma,
                           matrix_over<double, Exec>(map.vt.data(), rank, extents.in)});
      }
      kernels::gated_svd_factorise(ctx_,
                                   std::span<kernels::SvdTarget<double, Exec> const>(targets));
      for (Index b = first; b < first + count; ++b) {
        write_map(site, b, maps[static_cast<std::size_t>(b - first)]);
      }
    }
  }

  void write_map(std::size_t site, Index block, Map const& map) {
    LinearShape const extents = shape(site);
    auto const& ranks = plan_.model.layout.ranks[site];
    std::string const path = factor_path(site, block);
    FactorEnergy energy{path, extents, ranks, 1, 1};
    double whole = 0;
    for (std::size_t i = 0; i < map.w.size(); ++i) {
      whole += map.w.data()[i] * map.w.data()[i];
    }
    double sum = 0;
    Index first = 0;
    for (auto const& [part, count] :
         {std::pair(".learngene", ranks.learngene), std::pair(".tailors", ranks.tailors)}) {
      if (count > 0) {
        auto const some = [&](double const* data, Index columns) {
          return std::span<double const>(data + first * columns,
                                         static_cast<std::size_t>(count * columns));
        };
        write(path + part + ".u", some(map.ut.data(), extents.out));
        write(path + part + ".v", some(map.vt.data(), extents.in));
        write(path + part + ".sigma", some(map.sigma.data(), 1));
        for (double const sigma : some(map.sigma.data(), 1)) {
          sum += sigma * sigma;
        }
      }
      first += count;
      energy.learngene = first == ranks.learngene && whole > 0 ? sum / whole : energy.learngene;
    }
    energy.kept = whole > 0 ? sum / whole : 1;
    energies_.push_back(std::move(energy));
  }

  void share(std::size_t site) {
    auto const& ranks = plan_.model.layout.ranks[site];
    Index const depth = plan_.model.configuration.depth;
    SharedSvdFit fit(ctx_, shape(site), depth, ranks.learngene,
                     [&](Index l, std::span<double> w) { source_.read_weight(site, l, w); });
    fit.run(plan_.sweeps);
    write(factor_path(site, -1) + ".u", fit.u());
    write(factor_path(site, -1) + ".v", fit.v());
    for (Index b = 0; b < depth; ++b) {
      write(factor_path(site, b) + ".sigma", fit.sigma(b));
      energies_.push_back({factor_path(site, b), shape(site), ranks, fit.kept(b), fit.kept(b)});
    }
  }

  void write(std::string const& name, std::span<double const> values) {
    std::size_t const tensor = places_.at(name);
    write_numbers(writer_, tensor, plan_.specs[tensor], values);
    progress_.advance(values.size() *
                      static_cast<std::size_t>(io::bits(plan_.specs[tensor].dtype)) / 8);
  }

  Context<Exec>& ctx_;
  FactorisePlan const& plan_;
  io::CheckpointWriter& writer_;
  io::Progress& progress_;
  FactoriseSource source_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::vector<FactorEnergy> energies_;
};

}  // namespace detail

/// Writes the factorised model. KIND: the singular value decomposition of each map, in double, the
/// largest components first: the learngene, then the tailor groups. FINE: SharedSvdFit of each
/// site. Map by map, so that `memory` bytes hold the maps that are decomposed at the same time, or
/// one. The files of the input are added to those that may not be replaced. Throws FormatError for
/// numbers that are not finite, ConvergenceError, IoError.
inline FactoriseResult factorise(Context<Kokkos::DefaultHostExecutionSpace>& ctx,
                                 FactorisePlan const& plan,
                                 std::map<std::string, std::string> metadata,
                                 std::filesystem::path const& path, io::CheckpointOutput output,
                                 std::uint64_t memory = std::uint64_t{1} << 30,
                                 io::Progress& progress = io::no_progress()) {
  for (io::FileIdentity const& input : input_identities(*plan.checkpoint)) {
    output.file.inputs.push_back(input);
  }
  append_factorised_metadata(metadata, plan.model);
  io::CheckpointWriter writer(path, plan.specs, metadata, output);
  progress.start(plan.bytes());
  FactoriseResult result;
  result.energies = detail::FactorisePass(ctx, plan, writer, progress).run(memory);
  plan.checkpoint->expect_unchanged();
  writer.commit();
  result.path = writer.path();
  result.shards = writer.shards();
  return result;
}

}  // namespace dashi::checkpoints

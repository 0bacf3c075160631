// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "train_run.hpp"

#include <dashi/backbones/factorised_dit.hpp>
#include <dashi/checkpoints/svd_load.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>

namespace cli {

/// A DiT that is trained in factors, or a part of it: KIND (arXiv 2408.07337), FINE (2409.19289).
template <dashi::Precision P, dashi::ExecutionSpace Space>
class TrainedFactors {
public:
  using Precision = P;
  using Exec = Space;
  using Net = dashi::FactorisedDit<Exec, P>;
  using List = dashi::ParameterList<P, Exec>;
  /// The numbers of an entry of the list; empty: its own.
  using Reader = std::function<void(std::size_t, std::span<float>)>;

  TrainedFactors(Session& session, TrainRun const& run) : session_(session), run_(run) {}

  Net make(dashi::Context<Exec>& ctx) const {
    return Net(ctx, run_.dit, dashi::factorised_options(*run_.layout));
  }
  Net make_teacher(dashi::Context<Exec>& ctx) const { return make(ctx); }

  void choose(List const& list) const {
    auto const& config = run_.config.factorised;
    dashi::train_where(list, [&](auto const& entry) {
      if (config.train == "tailors") {
        return entry.name.find(".tailors.") != std::string::npos || is_chosen_table(entry);
      }
      return config.train != "sigma" || entry.name.ends_with(".sigma") || is_chosen_table(entry);
    });
  }
  bool draws() const { return !run_.base; }
  void load(List const& list) const { dashi::checkpoints::load_factorised(*run_.base, list); }

  void save(std::filesystem::path const& folder, List const& list, dashi::Index step, bool average,
            Reader const& read) const {
    auto const path = model_path(folder, average);
    session_.will_write(path);
    dashi::io::CheckpointOutput output;
    output.file.force = true;
    dashi::checkpoints::save_factorised(
        path, {dashi::checkpoints::dit_configuration(run_.dit), run_.variant, *run_.layout}, list,
        model_metadata(run_, step, average), output, dashi::io::Dtype::f32,
        [&](std::size_t entry, std::span<float> to) { numbers(list, entry, read, to); });
  }

private:
  /// What is frozen stays as the base has it, in whatever precision the net computes.
  void numbers(List const& list, std::size_t entry, Reader const& read, std::span<float> to) const {
    auto const& parameter = list[entry].parameter;
    if (run_.base && !parameter.trained()) {
      dashi::checkpoints::read_numbers(*run_.base, *run_.base->find(list[entry].name), 0, to);
    } else if (read) {
      read(entry, to);
    } else {
      parameter.read(to);
    }
  }

  template <class Entry>
  bool is_chosen_table(Entry const& entry) const {
    return run_.config.factorised.class_table && entry.kind == dashi::ParameterKind::embedding;
  }

  Session& session_;
  TrainRun const& run_;
};

}  // namespace cli

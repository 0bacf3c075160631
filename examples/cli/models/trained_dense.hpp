// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "adapter_run.hpp"
#include "train_run.hpp"

#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/save_dit.hpp>
#include <dashi/checkpoints/trained_adapter.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>

namespace cli {

/// A dense DiT in training, or adapters on a frozen one.
template <dashi::Precision P, dashi::ExecutionSpace Space>
class TrainedDense {
public:
  using Precision = P;
  using Exec = Space;
  using Net = dashi::AdditiveDit<Exec, P>;  // without adapters it is the plain one
  using List = dashi::ParameterList<P, Exec>;
  /// The numbers of an entry of the list; empty: its own.
  using Reader = std::function<void(std::size_t, std::span<float>)>;

  TrainedDense(Session& session, TrainRun const& run)
      : session_(session),
        run_(run),
        options_(run.adapter ? dashi::checkpoints::additive_options(run.adapter->adapters)
                             : typename Net::Options()) {}

  Net make(dashi::Context<Exec>& ctx) const { return Net(ctx, run_.dit, options_); }
  /// What a loss is distilled from: the model without what is added to it.
  Net make_teacher(dashi::Context<Exec>& ctx) const { return Net(ctx, run_.dit); }

  void choose(List const& list) const {
    if (run_.adapter) {
      dashi::checkpoints::train_adapters(list, run_.adapter->choice);
    } else {
      dashi::train_where(list, [](auto const&) { return true; });
    }
  }
  /// Whether there are numbers that load() leaves to be drawn.
  bool draws() const { return !run_.base || run_.adapter; }
  void load(List const& list) const {
    dashi::checkpoints::load_dit(*run_.base, run_.base_model, list);
  }

  void save(std::filesystem::path const& folder, List const& list, dashi::Index step, bool average,
            Reader const& read) const {
    auto metadata = model_metadata(run_, step, average);
    if (run_.adapter) {
      auto adapter = dashi::checkpoints::trained_adapter(run_.dit, run_.base_model.dialect,
                                                         run_.adapter->adapters, list, read);
      write_trained_adapter(session_, run_, folder / (average ? "adapter_ema" : "adapter"),
                            std::move(adapter), std::move(metadata));
      return;
    }
    auto const path = model_path(folder, average);
    session_.will_write(path);
    dashi::checkpoints::SaveDit save;
    save.dialect = run_.dit.embedders == dashi::Embedders::per_block
                       ? dashi::io::Dialect::dit_diffusers
                       : dashi::io::Dialect::dit_original;
    save.variant = run_.variant;
    save.metadata = std::move(metadata);
    save.output.file.force = true;
    dashi::checkpoints::save_dit(path, run_.dit, list, save, read);
  }

private:
  Session& session_;
  TrainRun const& run_;
  typename Net::Options options_;
};

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/training/data_set_concept.hpp>
#include <dashi/training/metrics.hpp>

#include <functional>

namespace dashi::training {

/// How long to train, and when to call the hooks.
struct FitOptions {
  Index steps = 0;             ///< in all, those before a resume included
  Index checkpoint_every = 0;  ///< steps; 0: at the end only
  Index preview_every = 0;     ///< steps; 0: never
};

/// Called between steps, in this order; each may be empty.
struct FitHooks {
  std::function<void(Metrics const&)> on_step;
  std::function<void()> on_preview;
  std::function<void()> on_checkpoint;  ///< every N steps, at the end and before stopping
  std::function<bool()> stop;           ///< true: end after this step, as a signal asks for
};

enum class FitEnd : unsigned char { finished, stopped };

/// Steps until options.steps are done or stop() says so; the state is saved either way. Throws what
/// a step throws, and calls no hook then.
template <class Trainer, DataSet Target, DataSet Source = Target>
FitEnd fit(Trainer& trainer, Target const& target, FitOptions const& options,
           FitHooks const& hooks = {}, Source const* source = nullptr) {
  auto const due = [&](Index every) { return every > 0 && trainer.steps() % every == 0; };
  auto const call = [](auto const& hook) {
    if (hook) {
      hook();
    }
  };
  while (trainer.steps() < options.steps) {
    Metrics const metrics = trainer.step(target, source);
    if (hooks.on_step) {
      hooks.on_step(metrics);
    }
    bool const last = trainer.steps() >= options.steps;
    bool const stopped = !last && hooks.stop && hooks.stop();
    if (due(options.preview_every)) {
      call(hooks.on_preview);
    }
    if (last || stopped || due(options.checkpoint_every)) {
      call(hooks.on_checkpoint);
    }
    if (stopped) {
      return FitEnd::stopped;
    }
  }
  return FitEnd::finished;
}

}  // namespace dashi::training

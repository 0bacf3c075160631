// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/exit_status.hpp>
#include <dashi/merging/private_folder.hpp>
#include <dashi/training/fit.hpp>
#include <dashi/training/state_folder.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <file_bytes.hpp>
#include <training_fixture.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::training;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;

namespace {

using Exec = Kokkos::DefaultExecutionSpace;
namespace fs = std::filesystem;

template <class P>
using NetOf = BasicDiT<Exec, P>;

RunIdentity identity() {
  Squares const data;
  return {"config 1", data.digest(), "", "base 1", {{"kronecker", "order=1"}}};
}

TrainOptions options() {
  TrainOptions o = small_options();
  o.batch = 4;
  o.flip = true;
  o.scaling.enabled = true;
  o.scaling.growth_interval = 2;
  o.learning_rate = LearningRate::cosine(1e-3, 6).warmed_up(2);
  return o;
}

/// A training of its own, from the same beginning.
template <class P>
struct Run {
  Model<NetOf<P>> model;
  Trainer<NetOf<P>> trainer;

  explicit Run(TrainOptions const& o = options(), DitConfig const& config = training_dit())
      : model(config), trainer(model.ctx, model.net, o) {}
  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      trainer.step(Squares());
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("a training that stopped and went on is one that did not stop", "[state]",
                   precision::Float32, precision::Bf16Mixed) {
  constexpr int steps = 6;
  merging::PrivateFolder const folder(fs::temp_directory_path());
  auto const whole = folder.path() / "whole.safetensors";
  Run<TestType> uninterrupted;
  uninterrupted.steps(steps);
  save_training_state(whole, uninterrupted.trainer, identity());
  auto const values = uninterrupted.model.values();
  for (int stop = 0; stop < steps; ++stop) {
    INFO("stopped after step " << stop);
    auto const state = folder.path() / "state.safetensors";
    auto const resumed = folder.path() / "resumed.safetensors";
    {
      Run<TestType> first;
      first.steps(stop);
      save_training_state(state, first.trainer, identity());
    }
    Run<TestType> second;
    using Saved = TrainingState<Trainer<NetOf<TestType>>>;
    Saved const saved(state);
    CHECK(saved.step() == stop);
    CHECK(saved.plan() == identity().plan);
    saved.restore(second.trainer, identity());
    second.steps(steps - stop);
    save_training_state(resumed, second.trainer, identity());
    CHECK(file_bytes(resumed) == file_bytes(whole));
    CHECK(second.model.values() == values);
  }
}

TEST_CASE("a resume under other settings is refused", "[state]") {
  merging::PrivateFolder const folder(fs::temp_directory_path());
  auto const path = folder.path() / "state.safetensors";
  using P = precision::Float32;
  using Saved = TrainingState<Trainer<NetOf<P>>>;
  Run<P> run;
  run.steps(1);
  save_training_state(path, run.trainer, identity());
  Saved const saved(path);
  auto const refused = [&](auto& trainer, RunIdentity const& now, char const* what) {
    try {
      saved.restore(trainer, now, {true});
      FAIL(what << " was taken");
    } catch (ConfigurationError const& error) {
      CHECK_THAT(error.what(), ContainsSubstring(what));
      CHECK(exit_status(error) == ExitStatus::bad_configuration);
    }
  };
  Run<P> other;
  auto const before = other.model.values();
  for (auto const& [what, member] : std::vector<std::pair<char const*, std::string RunIdentity::*>>{
           {"config", &RunIdentity::config},
           {"data", &RunIdentity::data},
           {"source", &RunIdentity::source},
           {"base", &RunIdentity::base}}) {
    RunIdentity now = identity();
    now.*member = "changed";
    refused(other.trainer, now, what);
  }
  RunIdentity both = identity();
  both.config = "c2";
  both.data = "d2";
  refused(other.trainer, both, "config (config 1, now c2), data (");
  CHECK(other.model.values() == before);
  CHECK(other.trainer.steps() == 0);

  for (auto const& change : std::vector<std::function<void(TrainOptions&)>>{
           [](TrainOptions& o) { o.seed = 1; }, [](TrainOptions& o) { o.beta2 = 0.99; },
           [](TrainOptions& o) { o.learning_rate.peak = 2e-3; },
           [](TrainOptions& o) { o.flip = false; }}) {
    TrainOptions changed = options();
    change(changed);
    Run<P> with(changed);
    refused(with.trainer, identity(), "options");
  }
  Run<P> frozen;
  std::vector<double> table(16 * 32, 1.0);
  frozen.model.list.find("pos_embed")->parameter.write(std::span<double const>(table));
  refused(frozen.trainer, identity(), "frozen parameters");
  CHECK_NOTHROW(saved.restore(other.trainer, identity()));
  CHECK(other.trainer.steps() == 1);
}

TEST_CASE("drift of the surroundings is refused unless allowed", "[state]") {
  merging::PrivateFolder const folder(fs::temp_directory_path());
  auto const path = folder.path() / "state.safetensors";
  using P = precision::Float32;
  using Saved = TrainingState<Trainer<NetOf<P>>>;
  Run<P> run;
  run.steps(1);
  save_training_state(path, run.trainer, identity());
  std::string bytes = file_bytes(path);
  std::string const version = "surroundings.dashi\":\"" + configuration().version;
  auto const at = bytes.find(version);
  REQUIRE(at != std::string::npos);
  bytes[at + version.size() - 1] = '?';
  std::ofstream(path, std::ios::binary) << bytes;
  Saved const saved(path);
  Run<P> other;
  CHECK_THROWS_AS(saved.restore(other.trainer, identity()), ConfigurationError);
  CHECK_NOTHROW(saved.restore(other.trainer, identity(), {true}));
}

TEST_CASE("a state of another model, or none, is bad data", "[state]") {
  merging::PrivateFolder const folder(fs::temp_directory_path());
  auto const path = folder.path() / "state.safetensors";
  using P = precision::Float32;
  using Saved = TrainingState<Trainer<NetOf<P>>>;
  {
    DitConfig wider = training_dit();
    wider.mlp_width = 128;
    Run<P> run(options(), wider);
    save_training_state(path, run.trainer, identity());
  }
  Run<P> run;
  CHECK_THROWS_AS(Saved(path).restore(run.trainer, identity()), FormatError);
  io::SafetensorsWriter writer(path, io::SafetensorsLayout({{"x", io::Dtype::u8, {0}}}),
                               {.force = true});
  writer.commit();
  CHECK_THROWS_AS(Saved(path), FormatError);
}

TEST_CASE("a folder keeps two states and falls back to the older", "[state]") {
  merging::PrivateFolder const folder(fs::temp_directory_path());
  StateFolder const states(folder.path() / "states");
  using P = precision::Float32;
  Run<P> run;
  CHECK_FALSE(states.resume(run.trainer, identity()));
  std::vector<double> at_two;
  FitOptions const fit_options{4, 1, 2};
  int previews = 0;
  int logged = 0;
  FitHooks hooks;
  hooks.on_step = [&](Metrics const&) { ++logged; };
  hooks.on_preview = [&] { ++previews; };
  hooks.on_checkpoint = [&] { states.save(run.trainer, identity()); };
  hooks.stop = [&] { return run.trainer.steps() == 3; };
  CHECK(fit(run.trainer, Squares(), fit_options, hooks) == FitEnd::stopped);
  CHECK(run.trainer.steps() == 3);
  CHECK(fit(run.trainer, Squares(), fit_options, hooks) == FitEnd::finished);
  CHECK(run.trainer.steps() == 4);
  CHECK(previews == 2);
  CHECK(logged == 4);

  auto const files = states.states();
  REQUIRE(files.size() == 2);
  CHECK(files[0].filename() == "state-0000000004.safetensors");
  CHECK(files[1].filename() == "state-0000000003.safetensors");
  Run<P> newest;
  CHECK(states.resume(newest.trainer, identity())->step == 4);
  CHECK(newest.model.values() == run.model.values());

  std::string bytes = file_bytes(files[0]);
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 1);
  std::ofstream(files[0], std::ios::binary) << bytes;
  Run<P> older;
  auto const resumed = states.resume(older.trainer, identity());
  CHECK(resumed->step == 3);
  REQUIRE(resumed->damaged.size() == 1);
  CHECK_THAT(resumed->damaged.front(), ContainsSubstring("damaged"));
  older.steps(1);
  CHECK(older.model.values() == run.model.values());

  std::ofstream(files[1], std::ios::binary) << "nothing";
  CHECK_THROWS_AS(states.resume(older.trainer, identity()), FormatError);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/configuration.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/xxh3.hpp>
#include <dashi/linalg/describe.hpp>
#include <dashi/training/train_options.hpp>
#include <dashi/training/trainer.hpp>

#include <bit>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::training {

/// What a saved training belongs to, as digests or any other text that differs when the thing does;
/// empty for what there is not.
struct RunIdentity {
  std::string config;  ///< of the text that the user wrote
  std::string data;    ///< DataSet::digest() of the target
  std::string source;  ///< of the source bank
  std::string base;    ///< of the checkpoint that was fine-tuned
  /// Choices that were measured and decide bits, by name: stored, and handed back by a resume.
  std::map<std::string, std::string> plan;
};

namespace detail {

inline void add_numbers(io::FieldHash<io::Xxh3>& hash, double const* values, Index count) {
  for (Index i = 0; i < count; ++i) {
    hash.number(std::bit_cast<std::uint64_t>(values[i]));
  }
}

/// Options that decide bits, as readable text.
inline std::string options_text(TrainOptions const& o) {
  std::string text;
  auto const add = [&](char const* name, auto value) {
    text += (text.empty() ? "" : " ") + std::string(name) + "=" + std::to_string(value);
  };
  auto const& rate = o.learning_rate;
  add("batch", o.batch);
  add("accumulate", o.accumulate);
  add("rate_shape", static_cast<int>(rate.shape));
  add("warm_up", rate.warm_up);
  add("rate_steps", rate.steps);
  add("flip", static_cast<int>(o.flip));
  add("shuffle", static_cast<int>(o.shuffle));
  add("learned_range", static_cast<int>(o.objective.learned_range));
  add("weighting", static_cast<int>(o.objective.weighting.kind));
  add("scaling", static_cast<int>(o.scaling.enabled));
  add("growth_interval", o.scaling.growth_interval);
  add("seed", o.seed);
  io::FieldHash<io::Xxh3> hash("dashi train options 1\n");
  for (double const value :
       {rate.peak, rate.last, o.beta1, o.beta2, o.epsilon, o.weight_decay, o.average_decay,
        o.clip_norm, o.label_dropout, o.objective.weighting.gamma, o.objective.weighting.k,
        o.scaling.first, o.scaling.largest}) {
    add_numbers(hash, &value, 1);
  }
  return text + " numbers=" + io::digest_text<io::Xxh3>(hash.finish());
}

/// Digest of the parameters that are not trained and hence not saved.
template <Precision P, ExecutionSpace Exec>
std::string frozen_digest(ParameterList<P, Exec> const& list) {
  io::FieldHash<io::Xxh3> hash("dashi frozen parameters 1\n");
  for (auto const& entry : list) {
    if (!entry.parameter.trained()) {
      auto const host =
          Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), entry.parameter.vector());
      hash.text(entry.name);
      hash.number(host.extent(0));
      hash.bytes(std::as_bytes(std::span(host.data(), host.extent(0))));
    }
  }
  return io::digest_text<io::Xxh3>(hash.finish());
}

/// How steps are drawn, weighted and noised, as tables.
inline std::string terms_digest(StepTerms const& terms, BatchLayout const& layout) {
  io::FieldHash<io::Xxh3> hash("dashi step terms 1\n");
  for (auto const* const part : {&terms.target, &terms.source}) {
    auto const table = part->view<Kokkos::DefaultHostExecutionSpace>();
    add_numbers(hash, table.cumulative, table.steps);
    add_numbers(hash, table.loss_weight, table.steps);
  }
  for (auto const which : {diffusion::Coefficient::beta, diffusion::Coefficient::timestep}) {
    auto const table = terms.process.table(which);
    add_numbers(hash, table.data(), static_cast<Index>(table.size()));
  }
  hash.number(static_cast<std::uint64_t>(layout.sources));
  hash.number(static_cast<std::uint64_t>(layout.chunk));
  return io::digest_text<io::Xxh3>(hash.finish());
}

}  // namespace detail

/// What must be equal on a resume, by name.
template <class Trainer>
std::map<std::string, std::string> identity_of(Trainer const& trainer,
                                               RunIdentity const& identity) {
  return {{"config", identity.config},
          {"data", identity.data},
          {"source", identity.source},
          {"base", identity.base},
          {"options", detail::options_text(trainer.options())},
          {"timesteps", detail::terms_digest(trainer.terms(), trainer.layout())},
          {"frozen parameters", detail::frozen_digest(trainer.parameters())}};
}

/// What must be equal for equal bits, by name: a resume under others has to be asked for.
template <class Trainer>
std::map<std::string, std::string> surroundings_of(Trainer const& trainer) {
  Configuration const c = configuration();
  using Execution = std::remove_cvref_t<decltype(const_cast<Trainer&>(trainer).execution())>;
  return {
      {"dashi", c.version},
      {"kokkos", c.kokkos_version},
      {"compiler", c.compiler},
      {"execution space", Trainer::Exec::name()},
      {"linear algebra", linalg::describe(trainer.context())},
      {"instruction sets", dashi::detail::joined(c.instruction_sets)},
      {"threads", Execution::any_threads ? std::string("any")
                                         : std::to_string(trainer.context().exec().concurrency())}};
}

}  // namespace dashi::training

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/training/run_identity.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace dashi::training {

struct ResumeOptions {
  bool allow_drift = false;  ///< take a state of another machine, thread count or library version
};

namespace detail {

inline constexpr std::string_view state_prefix = "dashi.training.";
inline constexpr std::string_view drift_prefix = "dashi.training.surroundings.";
inline constexpr std::string_view plan_prefix = "dashi.training.plan.";
inline constexpr std::string_view identity_prefix = "dashi.training.identity.";

/// A tensor of the state and where it lives.
template <class Trainer>
struct StateTensor {
  using Master = typename Trainer::P::master;
  std::string name;
  std::vector<std::uint64_t> shape;
  VectorOf<Master, typename Trainer::Exec> values;
};

template <class Trainer>
std::vector<StateTensor<Trainer>> state_tensors(Trainer const& trainer) {
  std::vector<StateTensor<Trainer>> tensors;
  for (auto const& slot : trainer.optimizer().slots()) {
    std::vector<std::uint64_t> const shape(slot.shape.begin(), slot.shape.end());
    tensors.push_back({"parameter." + slot.name, shape, slot.parameter.master()});
    tensors.push_back({"first_moment." + slot.name, shape, slot.first_moment});
    tensors.push_back({"second_moment." + slot.name, shape, slot.second_moment});
    if (slot.average.extent(0) > 0) {
      tensors.push_back({"average." + slot.name, shape, slot.average});
    }
  }
  return tensors;
}

template <class Master>
io::Dtype master_dtype() {
  return std::is_same_v<Master, double> ? io::Dtype::f64 : io::Dtype::f32;
}

inline void add_prefixed(std::map<std::string, std::string>& to, std::string_view prefix,
                         std::map<std::string, std::string> const& from) {
  for (auto const& [name, value] : from) {
    to[std::string(prefix) + name] = value;
  }
}

[[noreturn]] inline void refuse_state(std::filesystem::path const& path, std::string found,
                                      std::string expected, std::string advice) {
  throw FormatError({.code = "training-state",
                     .file = path.string(),
                     .place = "metadata",
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

}  // namespace detail

/// Writes everything that a resume needs besides settings, data and frozen parameters: masters,
/// moments, averages, loss scale and step, in one safetensors file by the commit protocol, in place
/// of an older one. Its bytes depend on the training alone, not on when it was written. Fences.
template <class Trainer>
void save_training_state(std::filesystem::path const& path, Trainer const& trainer,
                         RunIdentity const& identity = {}) {
  using Master = typename Trainer::P::master;
  auto const tensors = detail::state_tensors(trainer);
  auto const& scaler = trainer.scaler().state();
  std::map<std::string, std::string> metadata;
  auto const number = [&](char const* name, std::int64_t value) {
    metadata[std::string(detail::state_prefix) + name] = std::to_string(value);
  };
  number("version", 1);
  number("step", trainer.steps());
  number("loss_scale.exponent", std::ilogb(scaler.scale));
  number("loss_scale.good", scaler.good);
  number("loss_scale.skipped", scaler.skipped);
  number("loss_scale.skipped_in_row", scaler.skipped_in_row);
  detail::add_prefixed(metadata, detail::identity_prefix, identity_of(trainer, identity));
  detail::add_prefixed(metadata, detail::drift_prefix, surroundings_of(trainer));
  detail::add_prefixed(metadata, detail::plan_prefix, identity.plan);
  std::string const digest_key = std::string(detail::state_prefix) + "digest";
  metadata[digest_key] = io::placeholder_digest(io::DigestKind::xxh3);

  std::vector<io::TensorSpec> specs;
  for (auto const& tensor : tensors) {
    specs.push_back({tensor.name, detail::master_dtype<Master>(), tensor.shape});
  }
  io::SafetensorsLayout layout(std::move(specs), metadata, path.string());
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    places.push_back(layout.position(i));
  }
  io::OutputOptions output;
  output.force = true;
  io::SafetensorsWriter writer(path, std::move(layout), output);
  trainer.context().fence("dashi::training::save_training_state");
  std::vector<io::TensorDigestOf<io::Xxh3>> digests;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tensors[i].values);
    auto const bytes = std::as_bytes(std::span(host.data(), host.extent(0)));
    writer.write(places[i], 0, bytes);
    digests.push_back({tensors[i].name, detail::master_dtype<Master>(), tensors[i].shape,
                       io::digest_of<io::Xxh3>(bytes)});
  }
  metadata[digest_key] = io::member_digest<io::Xxh3>(std::move(digests));
  writer.replace_metadata(metadata);
  writer.commit();
}

/// A saved state, read and checked but not yet taken over.
template <class Trainer>
class TrainingState {
  using Master = typename Trainer::P::master;

public:
  /// Throws FormatError for a file that is damaged, and for one that is no training state.
  explicit TrainingState(std::filesystem::path const& path) : path_(path), file_(path) {
    if (!file_.header().metadata.contains(std::string(detail::state_prefix) + "version")) {
      detail::refuse_state(path_, "a safetensors file without the state of a training",
                           "a file that dashi wrote while training", "name another file");
    }
    if (number("version") != 1) {
      detail::refuse_state(path_, "version " + text("version"), "version 1",
                           "resume with the dashi that wrote it");
    }
    std::vector<io::TensorDigestOf<io::Xxh3>> digests;
    std::vector<std::byte> bytes;
    for (auto const& tensor : file_.header().tensors) {
      bytes.resize(tensor.bytes());
      file_.read(tensor, 0, bytes);
      digests.push_back({tensor.name, tensor.dtype, tensor.shape, io::digest_of<io::Xxh3>(bytes)});
    }
    if (io::member_digest<io::Xxh3>(std::move(digests)) != text("digest")) {
      detail::refuse_state(path_, "tensors of another digest than stored", text("digest"),
                           "the file is damaged; resume from an older one");
    }
  }

  Index step() const { return number("step"); }
  std::map<std::string, std::string> plan() const { return prefixed(detail::plan_prefix); }

  /// The trainer goes on from here. Throws ConfigurationError (exit status 78) that lists what has
  /// changed: settings, data, base or frozen parameters, or, without allow_drift, the surroundings;
  /// FormatError for other tensors than the trainer's. The trainer is untouched then.
  void restore(Trainer& trainer, RunIdentity const& identity,
               ResumeOptions const& options = {}) const {
    expect_equal(detail::identity_prefix, identity_of(trainer, identity), "training",
                 "resume with the settings and data that it began with, or start a new training");
    if (!options.allow_drift) {
      expect_equal(detail::drift_prefix, surroundings_of(trainer), "surroundings of a training",
                   "resume where it began, or allow drift: the result will not be the same bits");
    }
    auto const tensors = detail::state_tensors(trainer);
    if (file_.header().tensors.size() != tensors.size()) {
      detail::refuse_state(path_, std::to_string(file_.header().tensors.size()) + " tensors",
                           std::to_string(tensors.size()), "train the same parameters");
    }
    for (auto const& tensor : tensors) {
      auto const* const info = file_.header().find(tensor.name);
      if (info == nullptr || info->dtype != detail::master_dtype<Master>() ||
          info->shape != tensor.shape) {
        detail::refuse_state(path_, "no tensor " + io::in_quotes(tensor.name) + " of this model",
                             io::shape_text(tensor.shape),
                             "resume with the model that was trained");
      }
    }
    std::vector<Master> values;
    for (auto const& tensor : tensors) {
      auto const* const info = file_.header().find(tensor.name);
      values.resize(tensor.values.extent(0));
      file_.read(*info, 0, std::as_writable_bytes(std::span(values)));
      Kokkos::View<Master const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const
          host(values.data(), values.size());
      Kokkos::deep_copy(tensor.values, host);
    }
    trainer.restore(step(), {std::ldexp(1.0, static_cast<int>(number("loss_scale.exponent"))),
                             number("loss_scale.good"), number("loss_scale.skipped"),
                             number("loss_scale.skipped_in_row")});
  }

private:
  std::string text(std::string const& name) const {
    auto const at = file_.header().metadata.find(std::string(detail::state_prefix) + name);
    if (at == file_.header().metadata.end()) {
      detail::refuse_state(path_, "no value " + io::in_quotes(name), "a state that dashi wrote",
                           "resume from an older one");
    }
    return at->second;
  }
  std::int64_t number(std::string const& name) const {
    std::string const value = text(name);
    char* end = nullptr;
    auto const result = std::strtoll(value.c_str(), &end, 10);
    if (value.empty() || *end != '\0') {
      detail::refuse_state(path_, io::in_quotes(value) + " for " + name, "a number",
                           "resume from an older one");
    }
    return result;
  }
  std::map<std::string, std::string> prefixed(std::string_view prefix) const {
    std::map<std::string, std::string> values;
    for (auto const& [key, value] : file_.header().metadata) {
      if (key.starts_with(prefix)) {
        values[key.substr(prefix.size())] = value;
      }
    }
    return values;
  }
  void expect_equal(std::string_view prefix, std::map<std::string, std::string> const& now,
                    std::string const& what, std::string advice) const {
    std::vector<std::string> changed;
    auto const saved = prefixed(prefix);
    for (auto const& [name, value] : now) {
      auto const at = saved.find(name);
      std::string const before = at == saved.end() ? "" : at->second;
      if (before != value) {
        changed.push_back(name + " (" + before + ", now " + value + ")");
      }
    }
    if (!changed.empty()) {
      throw ConfigurationError(
          {.code = "resume-changed",
           .file = path_.string(),
           .place = {},
           .found = "the state of another " + what + ": " + io::listing(changed),
           .expected = {},
           .advice = std::move(advice)});
    }
  }

  std::filesystem::path path_;
  io::SafetensorsFile file_;
};

}  // namespace dashi::training

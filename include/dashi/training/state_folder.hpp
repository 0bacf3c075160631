// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/training/training_state.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::training {

/// The newest states of one training in a folder, state-0000000500.safetensors and so on: the one
/// before stays until the next is on the medium, so there is always a good one.
class StateFolder {
public:
  struct Resumed {
    std::filesystem::path path;
    Index step = 0;
    std::map<std::string, std::string> plan;
    std::vector<std::string> damaged;  ///< newer states that could not be read: one line each
  };

  /// The folder is made with the first state.
  explicit StateFolder(std::filesystem::path folder, std::size_t keep = 2)
      : folder_(std::move(folder)), keep_(keep) {
    DASHI_EXPECTS(keep > 0, "a folder of states keeps at least one");
  }

  /// Newest first.
  std::vector<std::filesystem::path> states() const {
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (auto const& entry : std::filesystem::directory_iterator(folder_, error)) {
      std::string const name = entry.path().filename().string();
      if (name.size() == name_of(0).size() && name.starts_with(prefix) && name.ends_with(suffix)) {
        paths.push_back(entry.path());
      }
    }
    std::sort(paths.rbegin(), paths.rend());
    return paths;
  }

  /// Saves, then removes all but the newest. Throws IoError; the older states are there then.
  template <class Trainer>
  std::filesystem::path save(Trainer const& trainer, RunIdentity const& identity = {}) const {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);  // the writer says what is wrong with it
    std::filesystem::path path = folder_ / name_of(trainer.steps());
    save_training_state(path, trainer, identity);
    auto const all = states();
    for (std::size_t i = keep_; i < all.size(); ++i) {
      std::filesystem::remove(all[i], error);
    }
    return path;
  }

  /// Takes over the newest state that is whole; nothing where there is no state. Throws FormatError
  /// when all are damaged, and what TrainingState::restore throws.
  template <class Trainer>
  std::optional<Resumed> resume(Trainer& trainer, RunIdentity const& identity = {},
                                ResumeOptions const& options = {}) const {
    std::vector<std::string> damaged;
    std::optional<FormatError> first;
    for (auto const& path : states()) {
      try {
        TrainingState<Trainer> const state(path);
        state.restore(trainer, identity, options);
        return Resumed{path, state.step(), state.plan(), std::move(damaged)};
      } catch (FormatError const& error) {
        damaged.emplace_back(error.what());
        if (!first) {
          first = error;
        }
      }
    }
    if (first) {
      throw *first;
    }
    return std::nullopt;
  }

private:
  static constexpr std::string_view prefix = "state-";
  static constexpr std::string_view suffix = ".safetensors";

  static std::string name_of(Index step) {
    std::string digits = std::to_string(step);
    digits.insert(0, digits.size() < 10 ? 10 - digits.size() : 0, '0');
    return std::string(prefix) + digits + std::string(suffix);
  }

  std::filesystem::path folder_;
  std::size_t keep_;
};

}  // namespace dashi::training

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace cli {

/// The folder of one training:
///
///     config.yaml                             the configuration as it was
///     metrics.jsonl, validation.jsonl
///     checkpoints/state-0000000500.safetensors  what --resume needs
///     checkpoints/step-000500/                model.safetensors and ema.safetensors of that step
///     checkpoints/latest                      the name of the newest such folder
///     previews/step-000500.png
///     model.safetensors, ema.safetensors      at the end
class RunFolder {
public:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path const& path() const noexcept { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  std::filesystem::path step_folder(dashi::Index step) const;
  std::filesystem::path preview(dashi::Index step) const;

  bool has_states() const;
  /// Makes the folders and keeps the configuration. Refuses a folder that holds a training (73)
  /// unless `resume`, and one that holds none (66) with it.
  void begin(std::filesystem::path const& config, bool resume) const;
  /// Notes the newest checkpoint and removes the folders of those whose state is gone.
  void finish_checkpoint(dashi::Index step, std::vector<std::filesystem::path> const& states) const;

private:
  std::filesystem::path folder_;
};

}  // namespace cli

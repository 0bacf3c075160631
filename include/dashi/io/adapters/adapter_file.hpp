// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/dialects/dialect_report.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dashi::io {

/// An adapter in memory, whatever file it came from or goes to.
struct AdapterFile {
  std::filesystem::path path;  ///< as given; empty for one that is made
  Dialect dialect = Dialect::unknown;
  std::vector<AdapterModule> modules;           ///< by part and path
  std::map<std::string, std::string> metadata;  ///< of the safetensors file
  std::string config;                           ///< adapter_config.json of PEFT, else empty
  /// io::checkpoint_digest of the base that it was made for; empty where the file does not say.
  std::string base_digest;
  /// Learned embeddings of new tokens by the text that stands for them: [dim].
  std::map<std::string, AdapterTensor> token_embeddings;
  /// The file that was read, from which the tensors still read; null for an adapter that is made.
  std::shared_ptr<Checkpoint const> source;
  std::vector<std::string> ignored;  ///< keys that the caller asked to ignore
};

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "train_config.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// The options of verbs that read images.
struct DataArgument {
  std::string path;
  std::int64_t size = 0;
  std::string resize = "none";
  std::int64_t channels = 0;
  std::int64_t class_depth = 1;
  std::vector<std::string> classes;
  std::int64_t label_offset = 0;
  bool invert = false;
  bool strict = false;
  std::int64_t limit = 0;  ///< images, taken evenly; 0: all
};
void add_data_options(CLI::App& verb, DataArgument& argument);
DataConfig data_config(DataArgument const& argument);

}  // namespace cli

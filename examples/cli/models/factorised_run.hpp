// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "config_map.hpp"
#include "train_config.hpp"

namespace cli {

struct TrainRun;

/// The section "factorised" of a configuration; of_file: the model comes from a file, which says
/// what it is. Throws ConfigurationError with the line.
FactorisedConfig factorised_config(ConfigMap& config, bool of_file);

/// Takes the layout of a new model, or of run.base where that is factorised, with its sizes.
/// Throws ConfigurationError for sizes that do not fit and for what factors cannot do.
void take_layout(TrainRun& run);

/// The base of run, which is factorised, as a DiT. FormatError for a file that is not whole.
void read_factorised_base(TrainRun& run);

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/io/dialects/read_dit.hpp>

#include <string>

namespace cli {

/// Rows of `inspect` on a DiT.
std::string dit_rows(dashi::io::DitModel const& model);

/// {"depth": .., "heads": .. or null, ..}; null for what the file does not tell.
Json dit_json(dashi::io::DitModel const& model);

/// "32" or "32x48", height first; UsageError for anything else.
void set_input_size(dashi::io::DitHints& hints, std::string const& text);

}  // namespace cli

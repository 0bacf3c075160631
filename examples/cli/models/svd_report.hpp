// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/checkpoints/svd_model.hpp>

#include <nlohmann/json.hpp>

#include <map>
#include <string>

namespace cli {

/// A factorised model in a few lines, and as JSON.
std::string svd_text(std::string const& path, dashi::checkpoints::FactorisedModel const& model);
Json svd_json(dashi::checkpoints::FactorisedModel const& model);

/// Leaves under the metadata key dashi.<verb> whence a file came: the digest of the input, or
/// empty.
void append_source(std::map<std::string, std::string>& metadata, std::string const& verb,
                   std::string const& digest);

}  // namespace cli

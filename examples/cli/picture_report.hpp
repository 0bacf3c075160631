// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/io/png_reader.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace cli {

/// What a PNG file holds; nothing for a file of another kind.
std::optional<dashi::io::PngContents> picture_contents(std::filesystem::path const& path);

/// Size and texts, for people and as JSON.
std::string picture_text(std::string const& file, dashi::io::PngContents const& picture);
Json picture_json(std::string const& file, dashi::io::PngContents const& picture);

}  // namespace cli

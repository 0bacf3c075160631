// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "picture_report.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/gzip.hpp>
#include <dashi/io/input_file.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <system_error>

namespace cli {

namespace io = dashi::io;

std::optional<io::PngContents> picture_contents(std::filesystem::path const& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return std::nullopt;
  }
  std::array<std::byte, 8> first{};
  {
    io::InputFile const file(path);
    if (file.size() < first.size()) {
      return std::nullopt;
    }
    file.read_exact(0, first);
  }
  if (!io::is_png(first)) {
    return std::nullopt;
  }
  constexpr std::uint64_t largest = std::uint64_t{1} << 30;
  return io::decode_png(path.string(), io::read_whole(path, largest));
}

std::string picture_text(std::string const& file, io::PngContents const& picture) {
  std::string out =
      fmt::format("{}: PNG image, {} x {}, {}\n", dashi::escaped(file), picture.raster.width,
                  picture.raster.height, picture.raster.channels == 1 ? "grey" : "RGB");
  constexpr std::size_t longest = 4096;
  for (auto const& [key, value] : picture.text) {
    out += row("text", shortened(key, 79) + ": " + shortened(value, longest));
  }
  return out;
}

Json picture_json(std::string const& file, io::PngContents const& picture) {
  return {{"verb", "inspect"},
          {"file", file},
          {"width", picture.raster.width},
          {"height", picture.raster.height},
          {"channels", picture.raster.channels},
          {"text", picture.text}};
}

}  // namespace cli

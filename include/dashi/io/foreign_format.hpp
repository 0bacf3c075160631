// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/utf8.hpp>

#include <cctype>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dashi::io {

/// What a file is that is not safetensors, and what its owner can do about it.
struct ForeignFormat {
  std::string kind;  ///< "a PyTorch checkpoint (zip with pickle)"
  std::string advice;
};

namespace detail {

struct Signature {
  std::string_view magic;
  std::string_view kind;
  std::string_view advice;
};

inline constexpr std::string_view download_again = "download the file itself again";

/// A pickle is a program that loading runs; weights_only has torch refuse most of what it could do.
/// Training checkpoints of the original DiT hold their averaged weights under 'ema'.
inline constexpr std::string_view convert_pickle =
    "convert it where PyTorch is: python3 -c \"import sys, argparse, torch, safetensors.torch; "
    "torch.serialization.add_safe_globals([argparse.Namespace]); "
    "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "safetensors.torch.save_file({k: v.contiguous() for k, v in d.get('ema', d).items()}, "
    "sys.argv[2])\" "
    "MODEL.pt MODEL.safetensors";

inline constexpr Signature signatures[] = {
    {"GGUF", "a GGUF model", "convert it to safetensors with the tool that made it"},
    {"\x89HDF\r\n\x1a\n", "an HDF5 file", "convert it to safetensors in Python (h5py)"},
    {"\x89PNG\r\n\x1a\n", "a PNG image", "give the model file, not a picture"},
    {"\xff\xd8\xff", "a JPEG image", "give the model file, not a picture"},
    {"\x1f\x8b", "a gzip archive", "decompress it first (gunzip)"},
    {"\x28\xb5\x2f\xfd", "a zstd archive", "decompress it first (unzstd)"},
    {"\xfd"
     "7zXZ",
     "an xz archive", "decompress it first (unxz)"},
    {"BZh", "a bzip2 archive", "decompress it first (bunzip2)"},
    {"\x93NUMPY", "a NumPy array (.npy)", "convert it to safetensors in Python"},
    {"version https://git-lfs", "a Git LFS pointer, not the data it stands for",
     "run 'git lfs pull' or download the file itself"},
    {"version https://hawser", "a Git LFS pointer, not the data it stands for",
     "run 'git lfs pull' or download the file itself"},
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Pickle protocol 2 to 5: PROTO, its number, then one of the opcodes with which a saved object
/// begins.
inline bool is_pickle(std::string_view text) {
  return text.size() >= 3 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5 &&
         contains("}]()cX\x8a\x8c\x95K", text.substr(2, 1));
}

/// A web page, an error message or some other text that was saved in place of the file.
inline std::optional<ForeignFormat> foreign_text(std::string_view text) {
  std::size_t const start = text.find_first_not_of(" \t\r\n");
  if (text.size() < 8 || start == std::string_view::npos) {
    return std::nullopt;
  }
  std::size_t const bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos && bad + 4 <= text.size()) {  // the last character may be cut
    return std::nullopt;
  }
  std::string lower;
  for (char const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f) {
      return std::nullopt;
    }
    lower.push_back(static_cast<char>(std::tolower(byte)));
  }
  std::string_view const body = std::string_view(lower).substr(start);
  if (body.starts_with("<!doctype html") || body.starts_with("<html") ||
      body.starts_with("<head")) {
    return ForeignFormat{"an HTML page",
                         "the download returned a web page, often a login or error page; " +
                             std::string(download_again)};
  }
  if (body.starts_with("<?xml")) {
    return ForeignFormat{"an XML document", std::string(download_again)};
  }
  if (body.starts_with("{") || body.starts_with("[")) {
    return ForeignFormat{"a JSON text",
                         "an index must be named *.safetensors.index.json; otherwise " +
                             std::string(download_again)};
  }
  return ForeignFormat{
      "a text", "a download may have returned an error message; " + std::string(download_again)};
}

}  // namespace detail

/// Names the file format of the first bytes (512 are enough) of a file that is not safetensors, or
/// nothing when they look like none of those that are commonly renamed to .safetensors.
inline std::optional<ForeignFormat> foreign_format(std::span<std::byte const> first) {
  std::string_view const text(reinterpret_cast<char const*>(first.data()), first.size());
  for (detail::Signature const& s : detail::signatures) {
    if (text.starts_with(s.magic)) {
      return ForeignFormat{std::string(s.kind), std::string(s.advice)};
    }
  }
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) {
    if (detail::contains(text, "data.pkl")) {
      return ForeignFormat{
          "a PyTorch checkpoint (a zip archive with a pickle, as torch.save writes it)",
          std::string(detail::convert_pickle)};
    }
    return ForeignFormat{"a zip archive", "unpack it and give the file inside"};
  }
  if (detail::is_pickle(text)) {
    return ForeignFormat{"a Python pickle (an old torch.save file)",
                         std::string(detail::convert_pickle)};
  }
  if (text.size() >= 262 && text.substr(257, 5) == "ustar") {
    return ForeignFormat{"a tar archive", "unpack it and give the file inside"};
  }
  return detail::foreign_text(text);
}

}  // namespace dashi::io

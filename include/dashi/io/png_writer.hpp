// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/raster.hpp>

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <filesystem>
#include <map>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

/// As PngReader: libpng is called in steps that own nothing.
class PngWriter {
public:
  PngWriter(Raster const& raster, std::map<std::string, std::string> const& text)
      : raster_(raster) {
    for (std::size_t y = 0; y < raster.height; ++y) {
      rows_.push_back(
          const_cast<png_bytep>(raster.pixels.data() + y * raster.width * raster.channels));
    }
    for (auto const& [key, value] : text) {
      bool const ascii = std::all_of(value.begin(), value.end(), [](unsigned char c) {
        return c == '\n' || (c >= 32 && c < 127);
      });
      png_text entry{};
      entry.compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
      entry.key = const_cast<char*>(key.c_str());
      entry.text = const_cast<char*>(value.c_str());
      entry.text_length = ascii ? value.size() : 0;
      entry.itxt_length = ascii ? 0 : value.size();
      texts_.push_back(entry);
    }
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_write_struct(&png_, nullptr);
      throw std::bad_alloc();
    }
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(PngWriter const&) = delete;
  PngWriter& operator=(PngWriter const&) = delete;

  std::vector<std::byte> write() {
    DASHI_EXPECTS(reached_end(), "libpng could not encode the image: " + std::string(message_));
    return std::move(bytes_);
  }

private:
  bool reached_end() {
    if (setjmp(png_jmpbuf(png_)) != 0) {
      return false;
    }
    encode(*this);
    return true;
  }

  static void encode(PngWriter& w) {
    png_set_write_fn(w.png_, &w, on_write, on_flush);
    png_set_IHDR(w.png_, w.info_, static_cast<png_uint_32>(w.raster_.width),
                 static_cast<png_uint_32>(w.raster_.height), 8,
                 w.raster_.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_text(w.png_, w.info_, w.texts_.data(), static_cast<int>(w.texts_.size()));
    png_set_rows(w.png_, w.info_, w.rows_.data());
    png_write_png(w.png_, w.info_, PNG_TRANSFORM_IDENTITY, nullptr);
  }

  static bool append(PngWriter& w, png_bytep data, std::size_t size) noexcept {
    try {
      auto const* const first = reinterpret_cast<std::byte const*>(data);
      w.bytes_.insert(w.bytes_.end(), first, first + size);
      return true;
    } catch (std::bad_alloc const&) {
      return false;
    }
  }
  static void on_write(png_structp png, png_bytep data, std::size_t size) {
    if (!append(*static_cast<PngWriter*>(png_get_io_ptr(png)), data, size)) {
      png_error(png, "out of memory");
    }
  }
  static void on_flush(png_structp) {}
  [[noreturn]] static void on_error(png_structp png, char const* message) {
    auto& w = *static_cast<PngWriter*>(png_get_error_ptr(png));
    std::copy_n(message, std::min(std::char_traits<char>::length(message), sizeof w.message_ - 1),
                w.message_);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, char const*) {}

  Raster const& raster_;
  std::vector<png_bytep> rows_;
  std::vector<png_text> texts_;
  std::vector<std::byte> bytes_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char message_[160] = {};
};

}  // namespace detail

/// The bytes of a PNG file: 8 bits, grey or RGB, with one text chunk for each entry of `text`.
///
/// Keywords are 1 to 79 printable ASCII characters without spaces at their ends; texts are UTF-8
/// without NUL. The same input gives the same bytes with the same libpng and zlib. Throws
/// PreconditionError.
inline std::vector<std::byte> encode_png(Raster const& raster,
                                         std::map<std::string, std::string> const& text = {}) {
  DASHI_EXPECTS(raster.channels == 1 || raster.channels == 3,
                "a PNG image is grey or RGB, got " + std::to_string(raster.channels) + " channels");
  DASHI_EXPECTS(raster.width > 0 && raster.height > 0 && raster.width <= 1'000'000 &&
                    raster.height <= 1'000'000,
                "a PNG image has 1 to 1000000 rows and columns");
  DASHI_EXPECTS(raster.pixels.size() == raster.width * raster.height * raster.channels,
                "the raster has another number of pixels than its extents say");
  for (auto const& [key, value] : text) {
    bool const plain =
        std::all_of(key.begin(), key.end(), [](char c) { return c >= 32 && c < 127; });
    DASHI_EXPECTS(plain && !key.empty() && key.size() < 80 && key.front() != ' ' &&
                      key.back() != ' ' && key.find("  ") == std::string::npos,
                  "'" + key + "' is no keyword of a PNG text");
    DASHI_EXPECTS(value.find('\0') == std::string::npos, "the text of '" + key + "' holds a NUL");
  }
  return detail::PngWriter(raster, text).write();
}

/// encode_png() into a file that appears complete or not at all (OutputFile). Throws IoError.
inline void write_png(std::filesystem::path const& path, Raster const& raster,
                      std::map<std::string, std::string> const& text = {},
                      OutputOptions options = {}) {
  std::vector<std::byte> const bytes = encode_png(raster, text);
  OutputFile file(path, std::move(options), bytes.size());
  file.write_at(0, bytes);
  file.commit(std::span(bytes).first(std::min<std::size_t>(bytes.size(), 64)));
}

}  // namespace dashi::io

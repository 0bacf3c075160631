// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/raster_check.hpp>

#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// What a PNG file holds.
struct PngContents {
  Raster raster;
  std::map<std::string, std::string> text;  ///< keyword -> text, of tEXt, zTXt and iTXt chunks
};

namespace detail {

/// libpng leaves its functions by longjmp. So every call into it stands in a step, a static
/// function without objects that would have to be destroyed, and what steps use lives here.
class PngReader {
public:
  PngReader(std::string const& file, std::span<std::byte const> bytes) : file_(file), left_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(PngReader const&) = delete;
  PngReader& operator=(PngReader const&) = delete;

  PngContents read() {
    std::size_t const file_bytes = left_.size();
    run(begin);
    expect_raster_size(file_, png_get_image_width(png_, info_), png_get_image_height(png_, info_));
    // Deflate makes at most 1032 bytes of one, so no small file gets much memory.
    if (png_get_rowbytes(png_, info_) * std::uint64_t{png_get_image_height(png_, info_)} / 1040 >
        file_bytes) {
      fail_image(file_,
                 "claims " + std::to_string(png_get_image_width(png_, info_)) + " x " +
                     std::to_string(png_get_image_height(png_, info_)) + " pixels in " +
                     std::to_string(file_bytes) + " bytes",
                 "a whole PNG image");
    }
    run(choose_form);
    PngContents contents;
    Raster& raster = contents.raster;
    raster.width = png_get_image_width(png_, info_);
    raster.height = png_get_image_height(png_, info_);
    raster.channels = png_get_channels(png_, info_);
    std::size_t const row = raster.width * raster.channels;
    if (png_get_rowbytes(png_, info_) != row) {
      fail_image(file_, "has rows of an unusual form", "a grey or RGB image");
    }
    raster.pixels.resize(row * raster.height);
    for (std::size_t y = 0; y < raster.height; ++y) {
      rows_.push_back(raster.pixels.data() + y * row);
    }
    run(finish);
    png_textp texts = nullptr;
    int const count = png_get_text(png_, info_, &texts, nullptr);
    for (int i = 0; i < count; ++i) {
      contents.text[texts[i].key] = texts[i].text == nullptr ? "" : texts[i].text;
    }
    return contents;
  }

private:
  using Step = void (*)(PngReader&);

  void run(Step step) {
    if (!reached_end(step)) {
      fail_image(file_, message_, "a whole PNG image");
    }
  }

  bool reached_end(Step step) {
    if (setjmp(png_jmpbuf(png_)) != 0) {
      return false;
    }
    step(*this);
    return true;
  }

  static void begin(PngReader& r) {
    png_set_read_fn(r.png_, &r, on_read);
    png_set_user_limits(r.png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(r.png_, 8'000'000);
    png_set_chunk_cache_max(r.png_, 1000);
    png_read_info(r.png_, r.info_);
  }

  /// 8 bits, grey or RGB, alpha dropped, stored values as they are (no gamma).
  static void choose_form(PngReader& r) {
    png_set_scale_16(r.png_);
    png_set_expand(r.png_);
    png_set_strip_alpha(r.png_);
    png_set_interlace_handling(r.png_);
    png_read_update_info(r.png_, r.info_);
  }

  static void finish(PngReader& r) {
    png_read_image(r.png_, r.rows_.data());
    png_read_end(r.png_, r.info_);
  }

  static void on_read(png_structp png, png_bytep out, std::size_t size) {
    auto& r = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > r.left_.size()) {
      png_error(png, "the file ends early");
    }
    std::memcpy(out, r.left_.data(), size);
    r.left_ = r.left_.subspan(size);
  }

  [[noreturn]] static void on_error(png_structp png, char const* message) {
    auto& r = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::strncpy(r.message_, message, sizeof r.message_ - 1);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, char const*) {}

  std::string const& file_;
  std::span<std::byte const> left_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::vector<png_bytep> rows_;
  char message_[160] = {};
};

}  // namespace detail

/// Whether the bytes begin as a PNG file does.
inline bool is_png(std::span<std::byte const> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) == 0;
}

/// Decodes a PNG file that lies in memory; `file` is its name for messages.
///
/// Grey and RGB with 1 to 16 bits, palettes, interlaced. Sixteen bits are rounded to eight,
/// transparency is dropped, colour profiles and gamma are not looked at. Throws FormatError for
/// anything that is not a whole image, and for sizes above largest_raster_pixels or beyond what the
/// bytes could hold, before memory is taken.
inline PngContents decode_png(std::string const& file, std::span<std::byte const> bytes) {
  if (!is_png(bytes)) {
    detail::fail_image(file, "does not begin as a PNG file", "a PNG image");
  }
  return detail::PngReader(file, bytes).read();
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "image_output.hpp"

#include <dashi/core/error.hpp>
#include <dashi/data/image_grid.hpp>
#include <dashi/io/png_writer.hpp>
#include <dashi/io/safetensors_writer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

namespace cli {

namespace io = dashi::io;
namespace fs = std::filesystem;

namespace {

/// An npy file, format 1.0, little-endian float32 (NumPy's NEP 1): the header is padded with spaces
/// so that the numbers begin at a multiple of 64.
void write_npy(fs::path const& path, MadeImages const& images, io::OutputOptions const& output) {
  std::string header = fmt::format(
      "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}, {}), }}",
      images.labels.size(), images.shape.channels, images.shape.height, images.shape.width);
  constexpr std::size_t before = 10;
  header.append((64 - (before + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string first = std::string("\x93NUMPY\x01\x00", 8);
  first += static_cast<char>(header.size() % 256);
  first += static_cast<char>(header.size() / 256);
  first += header;
  auto const numbers = std::as_bytes(std::span(images.values));
  auto const head = std::as_bytes(std::span(first));
  io::OutputFile file(path, output, head.size() + numbers.size());
  file.write_at(0, head);
  file.write_at(head.size(), numbers);
  file.commit(head);
}

void write_latents(fs::path const& path, MadeImages const& images,
                   io::OutputOptions const& output) {
  auto const extent = [](dashi::Index n) { return static_cast<std::uint64_t>(n); };
  std::uint64_t const count = images.labels.size();
  io::SafetensorsLayout layout({{"latents",
                                 io::Dtype::f32,
                                 {count, extent(images.shape.channels), extent(images.shape.height),
                                  extent(images.shape.width)}},
                                {"labels", io::Dtype::i64, {count}}},
                               images.text, path.string());
  std::size_t const latents = layout.position(0);
  std::size_t const labels = layout.position(1);
  io::SafetensorsWriter writer(path, std::move(layout), output);
  writer.write(latents, 0, std::as_bytes(std::span(images.values)));
  writer.write(labels, 0, std::as_bytes(std::span(images.labels)));
  writer.commit();
}

}  // namespace

std::string image_format_of(fs::path const& path) {
  std::string const extension = path.extension().string();
  return extension == ".npy" || extension == ".safetensors" ? extension.substr(1) : "png";
}

MadeImages shown_channels(MadeImages const& images) {
  MadeImages shown = images;
  shown.shape.channels = images.shape.channels >= 3 ? 3 : 1;
  auto const from = static_cast<std::size_t>(images.shape.size());
  auto const to = static_cast<std::size_t>(shown.shape.size());
  shown.values.resize(images.labels.size() * to);
  for (std::size_t i = 0; i < images.labels.size(); ++i) {
    std::copy_n(images.values.begin() + static_cast<std::ptrdiff_t>(i * from), to,
                shown.values.begin() + static_cast<std::ptrdiff_t>(i * to));
  }
  return shown;
}

void write_images(fs::path const& path, std::string const& format, MadeImages const& images,
                  dashi::Index columns, io::OutputOptions const& output) {
  if (format == "npy") {
    write_npy(path, images, output);
  } else if (format == "safetensors") {
    write_latents(path, images, output);
  } else {
    MadeImages const shown = shown_channels(images);
    io::write_png(path, dashi::data::image_grid(shown.values, shown.shape, {.columns = columns}),
                  shown.text, output);
  }
}

void write_each(fs::path const& folder, MadeImages const& images, bool force) {
  std::error_code error;
  fs::create_directories(folder, error);  // the writer says what is wrong with it
  MadeImages const shown = shown_channels(images);
  auto const size = static_cast<std::size_t>(shown.shape.size());
  for (std::size_t i = 0; i < shown.labels.size(); ++i) {
    auto text = shown.text;
    text["dashi.sample_number"] = std::to_string(i);
    io::write_png(folder / fmt::format("{:04}-class-{}.png", i, shown.labels[i]),
                  dashi::data::image_grid(std::span(shown.values).subspan(i * size, size),
                                          shown.shape, {.columns = 1, .gap = 0}),
                  text, {.force = force});
  }
}

}  // namespace cli

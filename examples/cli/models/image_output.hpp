// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_shape.hpp>
#include <dashi/io/output_file.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace cli {

/// Images that were made, and what is told about them in the files.
struct MadeImages {
  dashi::data::ImageShape shape;
  std::vector<float> values;         ///< [count, channels, height, width]
  std::vector<std::int64_t> labels;  ///< [count]
  std::map<std::string, std::string> text;
};

/// "png", "npy" or "safetensors": by the file's name, png for others.
std::string image_format_of(std::filesystem::path const& path);

/// What a picture can show of images: one channel, or the first three.
MadeImages shown_channels(MadeImages const& images);

/// A grid as PNG, the values alone as npy, or values and labels as safetensors tensors `latents`
/// and `labels`, which data sets are read from.
void write_images(std::filesystem::path const& path, std::string const& format,
                  MadeImages const& images, dashi::Index columns,
                  dashi::io::OutputOptions const& output);

/// Each image as "0007-class-3.png" in a folder, which is made.
void write_each(std::filesystem::path const& folder, MadeImages const& images, bool force);

}  // namespace cli

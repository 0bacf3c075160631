// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/data/resize.hpp>
#include <dashi/io/progress.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dashi::data {

/// How load() reads. The first group is for everything, the others for what they name.
struct LoadOptions {
  bool invert = false;                 ///< negate every value (black on white to white on black)
  Index label_offset = 0;              ///< added to every label
  std::vector<std::string> classes{};  ///< which classes, labelled in this order; empty: all
  /// Of folders: leading folders of a path that name its class, joined by '/'. 0 for all kinds of
  /// data: no labels, one class.
  Index class_depth = 1;

  Index channels = 0;            ///< of images: 1 (grey), 3 (RGB), 0: as in the files
  Index size = 0;                ///< of images: height and width wanted; 0: as stored
  Resize resize = Resize::none;  ///< of images: how `size` is reached
  bool strict = false;           ///< of folders: a broken file is an error, not left out
  /// Of folders: most bytes for decoded images; what does not fit is decoded whenever it is read.
  std::uint64_t memory = std::uint64_t{1} << 32;
  std::size_t threads = 0;           ///< of folders: that decode; 0: as many as the machine runs
  io::Progress* progress = nullptr;  ///< of folders: gets bytes of files as they are decoded

  std::filesystem::path labels{};  ///< of arrays: file of labels, when not beside the array
  Index class_count = 0;           ///< of arrays: labels must lie below it; 0: largest label + 1
  double maximum = 255;            ///< of CSV: the value that stands for 1; 0 stands for -1
  bool label_first = false;        ///< of CSV: the label is the first column, not the last
};

}  // namespace dashi::data

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Data sets for training. Reading them needs libpng, TurboJPEG, zlib and libzip: link
/// dashi::images. Not part of dashi.hpp for that reason.
#include <dashi/data/array_files.hpp>
#include <dashi/data/array_set.hpp>
#include <dashi/data/byte_pixels.hpp>
#include <dashi/data/channels.hpp>
#include <dashi/data/class_table.hpp>
#include <dashi/data/csv_set.hpp>
#include <dashi/data/decode_image.hpp>
#include <dashi/data/file_pixels.hpp>
#include <dashi/data/float_pixels.hpp>
#include <dashi/data/folder_files.hpp>
#include <dashi/data/guess_procedural.hpp>
#include <dashi/data/idx.hpp>
#include <dashi/data/image_array.hpp>
#include <dashi/data/image_files.hpp>
#include <dashi/data/image_grid.hpp>
#include <dashi/data/image_pixels.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/image_set_digest.hpp>
#include <dashi/data/image_shape.hpp>
#include <dashi/data/label_files.hpp>
#include <dashi/data/latents_set.hpp>
#include <dashi/data/load.hpp>
#include <dashi/data/load_files.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/parse_labels.hpp>
#include <dashi/data/procedural.hpp>
#include <dashi/data/procedural_item.hpp>
#include <dashi/data/procedural_options.hpp>
#include <dashi/data/procedural_shapes.hpp>
#include <dashi/data/resample.hpp>
#include <dashi/data/resize.hpp>
#include <dashi/data/zip_files.hpp>

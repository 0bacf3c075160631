// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

/// Reading and writing of PNG files. Needs libpng: link dashi::images.
#include <dashi/io/png_reader.hpp>
#include <dashi/io/png_writer.hpp>

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/commit_beside.hpp>
#include <dashi/io/output_file.hpp>

#include <cstddef>
#include <span>

namespace dashi::io {

/// A writer's files and, beside them, a text such as config.json appear together, or neither does.
template <class Writer>
void commit_with_text(Writer& writer, OutputFile& file, std::span<std::byte const> text) {
  file.prepare(text);
  commit_beside(file, writer);
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/commit_section.hpp>
#include <dashi/io/output_file.hpp>

namespace dashi::io {

/// A prepared file and, right after it, the files of a writer appear, or none of them does.
template <class Writer>
void commit_beside(OutputFile& prepared, Writer& writer) {
  CommitSection const section;
  prepared.publish();
  try {
    prepared.sync_directory();
    writer.commit();
  } catch (...) {
    prepared.retract();
    throw;
  }
  prepared.finish();
}

}  // namespace dashi::io

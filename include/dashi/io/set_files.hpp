// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/file_identity.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/shard_name.hpp>
#include <dashi/io/shard_plan.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// The index of the set `stem` in the directory, if there is one, and then its shards, also those
/// of several counts.
inline std::vector<std::string> set_files(OutputDirectory const& directory,
                                          std::string const& stem) {
  std::vector<std::string> files;
  for (std::string& name : directory.entries()) {
    if (name == index_file_name(stem)) {
      files.insert(files.begin(), std::move(name));
    } else if (shard_stem(name) == stem) {
      files.push_back(std::move(name));
    }
  }
  return files;
}

/// Throws IoError create (73) if `name` must not be replaced or removed: it is one of the inputs or
/// a folder, or force is not given.
inline void expect_replaceable(OutputDirectory const& directory, std::string const& name,
                               OutputOptions const& options) {
  auto const s = directory.find(name, 0);
  if (s && std::any_of(options.inputs.begin(), options.inputs.end(),
                       [&](auto const& input) { return same_file(input, file_identity(*s)); })) {
    directory.fail(0, name + " is one of the inputs and would be replaced",
                   "choose another directory or name");
  }
  if (s && S_ISDIR(s->st_mode)) {
    directory.fail(EISDIR, name + " is in the way", "choose another directory or name");
  }
  if (!options.force) {
    directory.fail(EEXIST, "the checkpoint has a file already: " + name,
                   "choose another directory or name, or give --force");
  }
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/file_descriptor.hpp>
#include <dashi/io/output_directory.hpp>

#include <fcntl.h>
#include <sys/file.h>

namespace dashi::io {

/// While it exists, no other DirectoryLock of the same directory does, in this process or another
/// one: writers that change several names of a directory come one after the other. The constructor
/// waits. A file system without locks gives none.
class DirectoryLock {
public:
  explicit DirectoryLock(OutputDirectory const& directory)
      : descriptor_(retry_interrupted([&] {
          return ::openat(directory.descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        })) {
    if (descriptor_) {
      retry_interrupted([&] { return ::flock(descriptor_.get(), LOCK_EX); });
    }
  }
  DirectoryLock(DirectoryLock const&) = delete;
  DirectoryLock& operator=(DirectoryLock const&) = delete;
  /// Does not rely on close, which may report an error of the medium and leave the lock behind.
  ~DirectoryLock() {
    if (descriptor_) {
      ::flock(descriptor_.get(), LOCK_UN);
    }
  }

private:
  FileDescriptor descriptor_;  ///< its own: a lock belongs to one opening of the directory
};

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace dashi::io {

/// Owns an open file descriptor; -1 owns nothing.
class FileDescriptor {
public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  FileDescriptor(FileDescriptor const&) = delete;
  FileDescriptor& operator=(FileDescriptor const&) = delete;
  /// An interrupted close() has closed on Linux and is not repeated; errno is kept.
  ~FileDescriptor() {
    if (descriptor_ >= 0) {
      int const kept = errno;
      ::close(descriptor_);
      errno = kept;
    }
  }

  int get() const noexcept { return descriptor_; }
  explicit operator bool() const noexcept { return descriptor_ >= 0; }

private:
  int descriptor_ = -1;
};

/// Repeats a system call while a signal interrupts it; errno and result are those of the last try.
template <class Call>
auto retry_interrupted(Call call) {
  for (;;) {
    auto const result = call();
    if (result >= 0 || errno != EINTR) {
      return result;
    }
  }
}

}  // namespace dashi::io

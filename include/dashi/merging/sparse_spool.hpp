// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/temporary_file.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Keeps lists of bytes whose lengths are not known beforehand: in memory up to a limit, beyond it
/// in a temporary file beside the output that never gets a name of its own.
///
/// Every list is appended to by one thread at a time; different lists by different threads.
class SparseSpool {
public:
  SparseSpool(std::filesystem::path output, std::size_t lists, std::size_t memory_limit)
      : output_(std::move(output)), lists_(lists), limit_(memory_limit) {}

  void append(std::size_t list, std::span<std::byte const> bytes) {
    if (bytes.empty()) {
      return;
    }
    std::scoped_lock const lock(mutex_);
    if (bytes.size() <= limit_ - memory_.size()) {
      lists_[list].push_back({memory_.size(), bytes.size(), false});
      memory_.insert(memory_.end(), bytes.begin(), bytes.end());
      return;
    }
    if (!file_) {
      directory_ = std::make_unique<io::OutputDirectory>(output_);
      file_ = std::make_unique<io::TemporaryFile>(*directory_, 0600, false);
    }
    for (std::size_t done = 0; done < bytes.size();) {
      ssize_t const put = ::pwrite(file_->descriptor(), bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(end_ + done));
      if (put > 0) {
        done += static_cast<std::size_t>(put);
      } else if (put == 0 || errno != EINTR) {
        fail(put == 0 ? EIO : errno, "cannot write temporary data");
      }
    }
    lists_[list].push_back({end_, bytes.size(), true});
    end_ += bytes.size();
  }

  std::uint64_t bytes(std::size_t list) const {
    std::uint64_t sum = 0;
    for (Block const& block : lists_[list]) {
      sum += block.size;
    }
    return sum;
  }

  /// Copies a list to byte `offset` of the output.
  void write_to(io::OutputFile& output, std::size_t list, std::uint64_t offset) const {
    std::vector<std::byte> buffer;
    for (Block const& block : lists_[list]) {
      if (!block.in_file) {
        output.write_at(offset, std::span(memory_).subspan(static_cast<std::size_t>(block.begin),
                                                           static_cast<std::size_t>(block.size)));
      } else {
        buffer.resize(static_cast<std::size_t>(block.size));
        read(block.begin, buffer);
        output.write_at(offset, buffer);
      }
      offset += block.size;
    }
  }

private:
  struct Block {
    std::uint64_t begin;
    std::uint64_t size;
    bool in_file;
  };

  void read(std::uint64_t offset, std::span<std::byte> out) const {
    for (std::size_t done = 0; done < out.size();) {
      ssize_t const got = ::pread(file_->descriptor(), out.data() + done, out.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got > 0) {
        done += static_cast<std::size_t>(got);
      } else if (got == 0 || errno != EINTR) {
        fail(got == 0 ? EIO : errno, "cannot read temporary data");
      }
    }
  }

  [[noreturn]] void fail(int error, char const* found) const {
    throw IoError(IoStage::transfer, error,
                  {.code = "write-failed",
                   .file = output_.string(),
                   .place = {},
                   .found = found,
                   .expected = {},
                   .advice = "free some space or check the disk"});
  }

  std::filesystem::path output_;
  std::vector<std::vector<Block>> lists_;
  std::size_t limit_;
  std::mutex mutex_;
  std::vector<std::byte> memory_;
  std::unique_ptr<io::OutputDirectory> directory_;
  std::unique_ptr<io::TemporaryFile> file_;
  std::uint64_t end_ = 0;
};

}  // namespace dashi::merging

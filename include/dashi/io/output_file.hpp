// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/commit_section.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/temporary_file.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

struct OutputOptions {
  bool force = false;                  ///< replace an existing output
  std::vector<FileIdentity> inputs{};  ///< files that the output must not be, even with force
  bool named_temporary = false;        ///< never use unnamed temporary files; for tests
};

/// A file that appears under its name complete and durable, or not at all: the one way in which
/// dashi writes files.
///
/// Construction opens the directory, removes what killed runs left for the same output, checks the
/// name, opens a temporary file and reserves the whole size, so that a full disk fails here. Bytes
/// are then written in any order by any threads. commit() syncs the file, reads its first bytes
/// back, gives it its name and syncs the directory. Until then, and after any error, the output is
/// what it was before; the destructor abandons what was not committed.
///
/// A new file gets mode 0666 without the umask's bits. A replaced regular file hands on its
/// permission bits, and its owner and group as far as the process may set them; extended attributes
/// and other hard links stay with the old file. A symbolic link is replaced, not followed.
///
/// A process killed in the middle leaves no temporary file, or one hidden file named
/// `.NAME.dashi-XXXXXX.tmp`, which the next writer of NAME removes.
///
/// Throws IoError: create (73; 77 without permission) for the name and the directory, transfer (74)
/// for the data and whenever the medium is the cause.
class OutputFile {
public:
  OutputFile(std::filesystem::path const& path, OutputOptions options, std::uint64_t size)
      : options_(std::move(options)), size_(size), directory_(path) {
    std::vector<std::string> const variants = directory_.tidy();
    replaced_ = directory_.find(directory_.name(), AT_SYMLINK_NOFOLLOW);
    check_target(variants);
    mode_t const mode = keeps_mode() ? 0600U : 0666U;
    file_.emplace(directory_, mode, options_.named_temporary);
    reserve();
  }
  OutputFile(OutputFile const&) = delete;
  OutputFile& operator=(OutputFile const&) = delete;

  std::filesystem::path const& path() const noexcept { return directory_.output(); }
  std::uint64_t size() const noexcept { return size_; }

  /// Writes at byte `offset`; the range must lie inside the size. Thread-safe; transparent to short
  /// writes and signals.
  void write_at(std::uint64_t offset, std::span<std::byte const> bytes) {
    DASHI_EXPECTS(file_.has_value() && !prepared_, "the output is already committed or abandoned");
    DASHI_EXPECTS(offset <= size_ && bytes.size() <= size_ - offset, "write beyond the end");
    for (std::size_t done = 0; done < bytes.size();) {
      std::size_t const step = std::min(bytes.size() - done, largest_transfer);
      auto const at = static_cast<off_t>(offset + done);
      ssize_t const written = ::pwrite(file_->descriptor(), bytes.data() + done, step, at);
      if (written > 0) {
        done += static_cast<std::size_t>(written);
      } else if (written == 0 || errno != EINTR) {
        failed_ = true;
        fail_transfer(written == 0 ? EIO : errno, "byte " + std::to_string(offset + done),
                      "cannot write " + std::to_string(bytes.size() - done) + " bytes");
      }
    }
    start_write_back(bytes.size());
  }

  /// Raises the size and reserves the new bytes, before commit(). Not at the same time as
  /// write_at().
  void grow(std::uint64_t size) {
    DASHI_EXPECTS(file_.has_value() && !prepared_, "the output is already committed or abandoned");
    DASHI_EXPECTS(size >= size_, "an output grows, it does not shrink");
    size_ = size;
    reserve();
  }

  /// Reads back what was written. Thread-safe.
  void read_at(std::uint64_t offset, std::span<std::byte> bytes) const {
    DASHI_EXPECTS(file_.has_value(), "the output is already committed or abandoned");
    for (std::size_t done = 0; done < bytes.size();) {
      std::size_t const step = std::min(bytes.size() - done, largest_transfer);
      auto const at = static_cast<off_t>(offset + done);
      ssize_t const got = ::pread(file_->descriptor(), bytes.data() + done, step, at);
      if (got > 0) {
        done += static_cast<std::size_t>(got);
      } else if (got == 0 || errno != EINTR) {
        fail_transfer(got == 0 ? 0 : errno, "byte " + std::to_string(offset + done),
                      "cannot read back what was written");
      }
    }
  }

  /// Makes the file durable and visible; `first_bytes` are compared with those on the medium.
  void commit(std::span<std::byte const> first_bytes = {}) {
    prepare(first_bytes);
    CommitSection const section;
    publish();
    try {
      sync_directory();
    } catch (...) {
      retract();
      throw;
    }
    finish();
  }

  /// The steps of commit(), for sets of files: prepare() all, then publish() all, then
  /// sync_directory(), then finish() all; on an error retract() those that are published.
  void prepare(std::span<std::byte const> first_bytes = {}) {
    DASHI_EXPECTS(file_.has_value() && !prepared_, "the output is already committed or abandoned");
    DASHI_EXPECTS(!failed_, "writing the output failed before");
    prepared_ = true;  // an error on the way is final
    if (keeps_mode()) {
      keep_owner_and_mode();
    }
    if (retry_interrupted([&] { return ::fsync(file_->descriptor()); }) != 0) {
      fail_transfer(errno, {}, "cannot make the data durable");
    }
    struct stat s {};
    if (retry_interrupted([&] { return ::fstat(file_->descriptor(), &s); }) != 0) {
      fail_transfer(errno, {}, "cannot look at the temporary file");
    }
    if (static_cast<std::uint64_t>(s.st_size) != size_) {
      fail_transfer(0, {}, "the temporary file changed its size");
    }
    std::vector<std::byte> read_back(first_bytes.size());
    read_at(0, read_back);
    if (!std::equal(read_back.begin(), read_back.end(), first_bytes.begin())) {
      fail_transfer(0, {},
                    "the first " + std::to_string(first_bytes.size()) +
                        " bytes read back differ from those written");
    }
  }

  void publish() {
    DASHI_EXPECTS(file_.has_value() && prepared_, "prepare() the output first");
    if (!options_.force) {
      file_->publish_new();
      return;
    }
    replaced_ = directory_.find(directory_.name(), AT_SYMLINK_NOFOLLOW);
    check_target({});
    file_->publish_over(replaced_.has_value());
  }
  void sync_directory() const { directory_.sync(); }
  void retract() noexcept {
    if (file_.has_value()) {
      file_->retract();
    }
    abandon();
  }
  void finish() noexcept { file_.reset(); }

  /// Gives up: nothing of this file remains. What the destructor does, sooner.
  void abandon() noexcept { file_.reset(); }

private:
  static constexpr std::size_t largest_transfer = std::size_t{1} << 30;  // Linux stops below 2^31

  /// Lets the disk begin while the rest is still being computed, so that the one fsync at the end
  /// finds little left. Only a hint: its result does not matter, fsync reports what fails.
  void start_write_back(std::uint64_t bytes) {
    constexpr std::uint64_t step = std::uint64_t{16} << 20;
    std::uint64_t const before = given_to_system_.fetch_add(bytes, std::memory_order_relaxed);
    if (before / step != (before + bytes) / step) {
      ::sync_file_range(file_->descriptor(), 0, 0, SYNC_FILE_RANGE_WRITE);
    }
  }

  bool keeps_mode() const noexcept { return replaced_ && S_ISREG(replaced_->st_mode); }

  void check_target(std::vector<std::string> const& variants) const {
    if (!replaced_) {
      return;
    }
    auto const target = directory_.find(directory_.name(), 0);
    for (FileIdentity const& input : options_.inputs) {
      if (target && same_file(input, file_identity(*target))) {
        directory_.fail(0, "the output is one of the inputs", "choose another output");
      }
    }
    if (!S_ISREG(replaced_->st_mode) && !S_ISLNK(replaced_->st_mode)) {
      directory_.fail(0, "the output is " + std::string(file_kind(replaced_->st_mode)),
                      "choose another output");
    }
    if (!variants.empty()) {
      directory_.fail(0, "the file system takes the name for that of " + variants.front(),
                      "choose a name that differs in more than upper and lower case");
    }
    if (!options_.force) {
      directory_.fail(EEXIST, "cannot create the output", "choose another name or give --force");
    }
  }

  void reserve() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size_ > limit.rlim_cur) {  // the kernel would also send SIGXFSZ
      fail_transfer(EFBIG, {}, reservation());
    }
    if (size_ > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
      fail_transfer(EFBIG, {}, reservation());
    }
    // In steps, so that a process that gets signals all the time still comes to an end.
    std::uint64_t const step = largest_transfer;
    for (std::uint64_t at = 0; at < size_; at += step) {
      auto const length = static_cast<off_t>(std::min(step, size_ - at));
      if (retry_interrupted([&] {
            return ::fallocate(file_->descriptor(), 0, static_cast<off_t>(at), length);
          }) != 0) {
        if (errno != EOPNOTSUPP && errno != ENOSYS) {
          fail_transfer(errno, {}, reservation());
        }
        break;
      }
    }
    if (retry_interrupted(
            [&] { return ::ftruncate(file_->descriptor(), static_cast<off_t>(size_)); }) != 0) {
      fail_transfer(errno, {}, reservation());
    }
  }

  std::string reservation() const { return "cannot reserve " + std::to_string(size_) + " bytes"; }

  void keep_owner_and_mode() {
    int const file = file_->descriptor();
    struct stat mine {};
    if (::fstat(file, &mine) == 0 &&
        (mine.st_uid != replaced_->st_uid || mine.st_gid != replaced_->st_gid)) {
      // Only root may give files away; the result then belongs to who wrote it.
      [[maybe_unused]] int const ignored = ::fchown(file, replaced_->st_uid, replaced_->st_gid);
    }
    if (retry_interrupted([&] { return ::fchmod(file, replaced_->st_mode & 0777U); }) != 0) {
      directory_.fail(errno, "cannot keep the permissions of the replaced file", "remove it first");
    }
  }

  [[noreturn]] void fail_transfer(int error, std::string place, std::string found) const {
    throw IoError(
        IoStage::transfer, error,
        {.code = error == ENOSPC || error == EDQUOT ? "no-space" : "write-failed",
         .file = path().string(),
         .place = std::move(place),
         .found = std::move(found),
         .expected = {},
         .advice = error == ENOSPC || error == EDQUOT ? "free some space or choose another disk"
                   : error == EFBIG ? "raise the file size limit or choose another disk"
                                    : "check the disk or the network file system"});
  }

  OutputOptions options_;
  std::uint64_t size_;
  OutputDirectory directory_;
  std::optional<TemporaryFile> file_;
  std::optional<struct stat> replaced_;
  bool prepared_ = false;
  std::atomic<bool> failed_{false};                ///< a write did: there is nothing to commit
  std::atomic<std::uint64_t> given_to_system_{0};  ///< bytes written so far
};

}  // namespace dashi::io

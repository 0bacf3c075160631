// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/merging/ledger_file.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <utility>

namespace dashi::merging {

namespace detail {

/// False where the file system has no locks; IoError (73) when another process holds it.
inline bool lock_ledger(int descriptor, std::filesystem::path const& path) {
  int result = 0;
  do {
    result = ::flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno == EWOULDBLOCK) {
    throw IoError(IoStage::create, 0,
                  {.code = "ledger-busy",
                   .file = path.string(),
                   .place = {},
                   .found = "another process is changing this soup",
                   .expected = {},
                   .advice = "run again when it is done"});
  }
  return result == 0;
}

}  // namespace detail

/// Holds the lock of whatever file a new ledger replaces, so that nobody changes it meanwhile.
/// Nothing is held when there is none, or a link, which is replaced itself. IoError (73) as for
/// LockedLedger.
class ReplacedLedgerLock {
public:
  explicit ReplacedLedgerLock(std::filesystem::path const& path) {
    for (;;) {
      struct stat found {};
      if (::lstat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
        return;
      }
      descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (descriptor_ < 0) {
        return;
      }
      bool locked = false;
      try {
        locked = detail::lock_ledger(descriptor_, path);
      } catch (...) {
        ::close(descriptor_);
        throw;
      }
      struct stat mine {};
      struct stat now {};
      if (!locked || (::fstat(descriptor_, &mine) == 0 && ::lstat(path.c_str(), &now) == 0 &&
                      io::same_file(io::file_identity(mine), io::file_identity(now)))) {
        return;
      }
      ::close(std::exchange(descriptor_, -1));
    }
  }
  ReplacedLedgerLock(ReplacedLedgerLock const&) = delete;
  ReplacedLedgerLock& operator=(ReplacedLedgerLock const&) = delete;
  ~ReplacedLedgerLock() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }

private:
  int descriptor_ = -1;
};

/// A ledger that this process alone may change while the object lives: two changes at once would
/// lose one of them. IoError (73) when another process holds it. Where the file system has no
/// locks, none.
class LockedLedger {
public:
  explicit LockedLedger(std::filesystem::path const& path) {
    for (;;) {
      file_ = std::make_unique<LedgerFile>(path);
      bool const locked = detail::lock_ledger(file_->file().descriptor(), path);
      if (!locked || file_->is_current()) {
        return;
      }
    }
  }

  LedgerFile const& operator*() const noexcept { return *file_; }
  LedgerFile const* operator->() const noexcept { return file_.get(); }

private:
  std::unique_ptr<LedgerFile> file_;
};

}  // namespace dashi::merging

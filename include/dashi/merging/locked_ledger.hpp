// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/merging/ledger_file.hpp>

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>

namespace dashi::merging {

/// A ledger that this process alone may change while the object lives: two changes at once would
/// lose one of them. IoError (73) when another process holds it. Where the file system has no
/// locks, none.
class LockedLedger {
public:
  explicit LockedLedger(std::filesystem::path const& path) {
    for (;;) {
      file_ = std::make_unique<LedgerFile>(path);
      int result = 0;
      do {
        result = ::flock(file_->file().descriptor(), LOCK_EX | LOCK_NB);
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
      struct stat now {};
      bool const current = ::stat(path.c_str(), &now) == 0 &&
                           io::same_file(io::file_identity(now), file_->file().identity());
      if (current || result != 0) {
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

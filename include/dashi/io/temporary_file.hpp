// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/output_directory.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

namespace dashi::io {

/// An empty file that has no visible name yet, and the step that gives it the output's name.
///
/// Unnamed (O_TMPFILE) where the file system can, so that even a killed process leaves nothing;
/// else a hidden name beside the output, created exclusively, never through a link, and locked
/// while this object lives. The destructor removes what was not published.
class TemporaryFile {
public:
  /// `mode` as for open(2): the process' umask applies. `named` forces the hidden name.
  TemporaryFile(OutputDirectory const& directory, mode_t mode, bool named) : directory_(directory) {
    if (!named) {
      open_unnamed(mode);
    }
    if (!file_) {
      open_named(mode);
    }
  }
  TemporaryFile(TemporaryFile const&) = delete;
  TemporaryFile& operator=(TemporaryFile const&) = delete;
  ~TemporaryFile() { remove_name(); }

  int descriptor() const noexcept { return file_.get(); }

  /// Gives the file the output's name unless that name is taken: then IoError create (73).
  void publish_new() {
    std::string const& output = directory_.name();
    if (name_.empty()) {
      if (link_unnamed(output) != 0) {
        fail_publish(errno);
      }
    } else if (int error = rename_with(RENAME_NOREPLACE, output); error != 0) {
      if (error != EINVAL && error != ENOSYS) {
        fail_publish(error);
      }
      publish_new_without_flags();
    } else {
      name_.clear();
    }
    state_ = State::new_entry;
  }

  /// Gives the file the output's name, whatever had it before. What had it (`replaces`: something
  /// did) is kept under a hidden name until finish() or retract(), where the file system can
  /// exchange names.
  void publish_over(bool replaces) {
    if (name_.empty()) {
      std::string temporary;
      do {
        temporary = directory_.temporary_name();
        if (link_unnamed(temporary) == 0) {
          name_ = std::move(temporary);
        } else if (errno != EEXIST) {
          fail_publish(errno);
        }
      } while (name_.empty());
    }
    int error = replaces ? rename_with(RENAME_EXCHANGE, directory_.name()) : EINVAL;
    if (error == 0) {
      state_ = State::exchanged;  // name_ now is the old file's
      return;
    }
    if (error == EINVAL || error == ENOSYS || error == ENOENT) {
      error = rename_with(0, directory_.name());
    }
    if (error != 0) {
      fail_publish(error);
    }
    name_.clear();
    state_ = replaces ? State::replaced : State::new_entry;
  }

  /// Takes publishing back: the output is what it was before, except after a replacement on a file
  /// system that cannot exchange names; there the new file stays.
  void retract() noexcept {
    std::string const& output = directory_.name();
    if (state_ == State::exchanged && rename_with(RENAME_EXCHANGE, output) == 0) {
      state_ = State::unpublished;
    } else if (state_ == State::new_entry && directory_.holds(output, identity_)) {
      ::unlinkat(directory_.descriptor(), output.c_str(), 0);
      state_ = State::unpublished;
    }
  }

  /// Removes the old entry kept by publish_over().
  void finish() noexcept { remove_name(); }

private:
  enum class State { unpublished, new_entry, exchanged, replaced };

  void open_unnamed(mode_t mode) {
    file_ = FileDescriptor(retry_interrupted([&] {
      return ::openat(directory_.descriptor(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    }));
    if (!file_) {
      if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOSYS) {
        fail_create(errno);
      }
      return;
    }
    lock();  // for the moment in which publish_over() names it
    identify();
    if (::access(proc_path().c_str(), F_OK) != 0) {
      file_ = FileDescriptor();  // without /proc it could never be given a name
    }
  }

  void open_named(mode_t mode) {
    constexpr int most_attempts = 100;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
      std::string name = directory_.temporary_name();
      file_ = FileDescriptor(retry_interrupted([&] {
        return ::openat(directory_.descriptor(), name.c_str(),
                        O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, mode);
      }));
      if (file_) {
        name_ = std::move(name);
        bool const locked = lock();
        identify();
        if (locked && identity_.st_nlink > 0) {
          return;
        }
        name_.clear();  // another run that tidied up came before the lock; it removes the file
      } else if (errno != EEXIST) {
        fail_create(errno);
      }
    }
    fail_create(EEXIST);
  }

  /// False when another process holds the lock; file systems without locks do not matter here.
  bool lock() const noexcept {
    return retry_interrupted([&] { return ::flock(file_.get(), LOCK_EX | LOCK_NB); }) == 0 ||
           errno != EWOULDBLOCK;
  }

  void identify() {
    if (retry_interrupted([&] { return ::fstat(file_.get(), &identity_); }) != 0) {
      int const error = errno;
      remove_name();
      directory_.fail(error, "cannot look at the temporary file", "check the file system");
    }
  }

  std::string proc_path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

  /// 0, or -1 and errno. A link that an interrupted call has made already counts as made.
  int link_unnamed(std::string const& name) const {
    std::string const source = proc_path();
    int const result = retry_interrupted([&] {
      return ::linkat(AT_FDCWD, source.c_str(), directory_.descriptor(), name.c_str(),
                      AT_SYMLINK_FOLLOW);
    });
    return result != 0 && errno == EEXIST && directory_.holds(name, identity_) ? 0 : result;
  }

  /// 0 or the errno value.
  int rename_with(unsigned flags, std::string const& output) const noexcept {
    int const directory = directory_.descriptor();
    for (;;) {
      int const result =
          flags == 0 ? ::renameat(directory, name_.c_str(), directory, output.c_str())
                     : ::renameat2(directory, name_.c_str(), directory, output.c_str(), flags);
      if (result == 0) {
        return 0;
      }
      int const error = errno;
      if (error != EINTR) {
        return error;
      }
    }
  }

  /// For file systems without the flags of renameat2: link(2) does not replace either. Where there
  /// are no hard links, looking first is all that is left; a writer in between is then replaced.
  void publish_new_without_flags() {
    int const directory = directory_.descriptor();
    std::string const& output = directory_.name();
    int const linked = retry_interrupted(
        [&] { return ::linkat(directory, name_.c_str(), directory, output.c_str(), 0); });
    if (linked == 0 || (errno == EEXIST && directory_.holds(output, identity_))) {
      remove_name();
      return;
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) {
      fail_publish(errno);
    }
    if (directory_.find(output, AT_SYMLINK_NOFOLLOW)) {
      fail_publish(EEXIST);
    }
    if (int const error = rename_with(0, output); error != 0) {
      fail_publish(error);
    }
    name_.clear();
  }

  void remove_name() noexcept {
    if (!name_.empty()) {
      ::unlinkat(directory_.descriptor(), name_.c_str(), 0);
      name_.clear();
    }
  }

  [[noreturn]] void fail_create(int error) const {
    directory_.fail(error, "cannot create a file in the output's directory",
                    "check the directory's permissions and free space, or choose another");
  }
  [[noreturn]] void fail_publish(int error) const {
    directory_.fail(error, "cannot give the finished file its name",
                    error == EEXIST ? "choose another name or give --force"
                                    : "check the directory's permissions and free space");
  }

  OutputDirectory const& directory_;
  FileDescriptor file_;
  std::string name_;  ///< hidden name in the directory; empty while there is none
  struct stat identity_ {};
  State state_ = State::unpublished;
};

}  // namespace dashi::io

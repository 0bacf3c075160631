// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/file_descriptor.hpp>
#include <dashi/io/file_identity.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// The open directory of one output file, and the names beside it that belong to that output.
///
/// All work goes through the directory handle, so a directory that is renamed meanwhile does no
/// harm. Errors are IoError: create (73; 77 without permission), or transfer (74) when the cause is
/// the medium: no space, quota, size limit, I/O error.
class OutputDirectory {
public:
  explicit OutputDirectory(std::filesystem::path output) : output_(std::move(output)) {
    name_ = output_.filename().string();
    if (name_.empty() || name_ == "." || name_ == "..") {
      fail(EISDIR, "cannot create the output", "give the name of a file");
    }
    std::filesystem::path const parent = output_.has_parent_path() ? output_.parent_path() : ".";
    descriptor_ = FileDescriptor(retry_interrupted(
        [&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!descriptor_) {
      fail(errno, "cannot open the output's directory " + parent.string(),
           errno == ENOENT ? "create the directory first" : "check the path and its permissions");
    }
  }

  int descriptor() const noexcept { return descriptor_.get(); }
  std::filesystem::path const& output() const noexcept { return output_; }  ///< as given
  std::string const& name() const noexcept { return name_; }  ///< of the output in this directory

  /// What `entry` is, or nullopt; `flags` are those of fstatat(2).
  std::optional<struct stat> find(std::string const& entry, int flags) const {
    struct stat s {};
    if (retry_interrupted([&] { return ::fstatat(descriptor(), entry.c_str(), &s, flags); }) == 0) {
      return s;
    }
    // A link to nowhere or in a circle is there, but leads to no file.
    if (errno == ENOENT || (errno == ELOOP && (flags & AT_SYMLINK_NOFOLLOW) == 0)) {
      return std::nullopt;
    }
    fail(errno, "cannot look at the output", "check the path and its permissions");
  }

  /// Whether `entry` is this very file (device and inode), links not followed. False on any error.
  bool holds(std::string const& entry, struct stat const& file) const noexcept {
    struct stat s {};
    return retry_interrupted([&] {
             return ::fstatat(descriptor(), entry.c_str(), &s, AT_SYMLINK_NOFOLLOW);
           }) == 0 &&
           same_file(file_identity(s), file_identity(file));
  }

  /// A fresh name `.NAME.dashi-XXXXXX.tmp`; who creates it must do so exclusively and try again.
  std::string temporary_name() const {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    static std::atomic<std::uint64_t> count{0};
    auto const now = std::chrono::steady_clock::now().time_since_epoch().count();
    std::uint64_t x = static_cast<std::uint64_t>(now) +
                      (static_cast<std::uint64_t>(::getpid()) << 40) +
                      ++count * 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;  // the mixing steps of SplitMix64
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    x ^= x >> 31;
    std::string out = temporary_prefix();
    for (std::size_t i = 0; i < random_letters; ++i, x /= letters.size()) {
      out.push_back(letters[x % letters.size()]);
    }
    return out.append(temporary_suffix);
  }

  /// Names in the directory, in no order; none when it cannot be listed.
  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    int const listed = retry_interrupted(
        [&] { return ::openat(descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    std::unique_ptr<DIR, int (*)(DIR*)> const directory(listed < 0 ? nullptr : ::fdopendir(listed),
                                                        [](DIR* d) { return ::closedir(d); });
    if (!directory && listed >= 0) {
      ::close(listed);
    }
    while (dirent const* const entry = directory ? ::readdir(directory.get()) : nullptr) {
      names.emplace_back(entry->d_name);
    }
    return names;
  }

  /// Removes what killed writers of the same output left: entries with the name of a temporary of
  /// this output that are regular files nobody holds a lock on (a living writer does), or links.
  /// Whatever cannot be removed stays. Returns every entry that differs from the output's name in
  /// the case of ASCII letters alone, if the name itself is not among the entries.
  std::vector<std::string> tidy() const {
    std::vector<std::string> variants;
    bool exact = false;
    for (std::string& found : entries()) {
      if (is_temporary(found)) {
        remove_if_abandoned(found);
      } else if (found == name_) {
        exact = true;
      } else if (equal_but_for_case(found, name_)) {
        variants.push_back(std::move(found));
      }
    }
    if (exact) {
      variants.clear();
    }
    return variants;
  }

  /// Makes renames and links in this directory durable. Any error is final.
  void sync() const {
    if (retry_interrupted([&] { return ::fsync(descriptor()); }) != 0 && errno != EINVAL) {
      throw IoError(IoStage::transfer, errno,
                    {.code = "sync-failed",
                     .file = output_.string(),
                     .place = {},
                     .found = "cannot make the new directory entry durable",
                     .expected = {},
                     .advice = "check the disk and its free space, then run again"});
    }
  }

  [[noreturn]] void fail(int system_error, std::string found, std::string advice) const {
    bool const medium = system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG ||
                        system_error == EIO;
    throw IoError(medium ? IoStage::transfer : IoStage::create, system_error,
                  {.code = "cannot-create",
                   .file = output_.string(),
                   .place = {},
                   .found = std::move(found),
                   .expected = {},
                   .advice = std::move(advice)});
  }

private:
  static constexpr std::size_t random_letters = 6;
  static constexpr std::string_view temporary_suffix = ".tmp";

  /// Names too long to be framed are cut, and told apart by a hash (FNV-1a) of the whole.
  std::string temporary_prefix() const {
    constexpr std::size_t longest = 200;
    std::string out = "." + name_;
    if (name_.size() > longest) {
      std::uint64_t hash = 0xcbf29ce484222325U;
      for (char const c : name_) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
      }
      std::array<char, 18> text{};
      std::snprintf(text.data(), text.size(), "~%016llx", static_cast<unsigned long long>(hash));
      out = out.substr(0, longest) + text.data();
    }
    return out + ".dashi-";
  }

  bool is_temporary(std::string_view entry) const {
    std::string const prefix = temporary_prefix();
    if (entry.size() != prefix.size() + random_letters + temporary_suffix.size() ||
        !entry.starts_with(prefix) || !entry.ends_with(temporary_suffix)) {
      return false;
    }
    std::string_view const random = entry.substr(prefix.size(), random_letters);
    return std::all_of(random.begin(), random.end(),
                       [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  }

  static bool equal_but_for_case(std::string_view a, std::string_view b) {
    auto const lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return a != b && std::equal(a.begin(), a.end(), b.begin(), b.end(),
                                [&](char x, char y) { return lower(x) == lower(y); });
  }

  /// A link can only be what TemporaryFile::publish_over() moved out of the way.
  void remove_if_abandoned(std::string const& entry) const noexcept {
    struct stat s {};
    if (::fstatat(descriptor(), entry.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) {
      return;
    }
    if (S_ISLNK(s.st_mode)) {
      ::unlinkat(descriptor(), entry.c_str(), 0);
      return;
    }
    FileDescriptor file;
    for (int const access : {O_RDWR, O_RDONLY}) {  // NFS locks exclusively only what is writable
      if (!file) {
        file = FileDescriptor(retry_interrupted([&] {
          return ::openat(descriptor(), entry.c_str(),
                          access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        }));
      }
    }
    if (file && ::fstat(file.get(), &s) == 0 && S_ISREG(s.st_mode) &&
        ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && holds(entry, s)) {
      ::unlinkat(descriptor(), entry.c_str(), 0);
    }
  }

  std::filesystem::path output_;
  std::string name_;
  FileDescriptor descriptor_;
};

}  // namespace dashi::io

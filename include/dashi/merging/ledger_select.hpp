// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/member_scan.hpp>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace dashi::merging {

namespace detail {

/// An absolute path without links, as the system resolves it.
inline std::filesystem::path resolved(std::filesystem::path const& path) {
  std::error_code error;
  std::filesystem::path const absolute = std::filesystem::absolute(path);
  std::filesystem::path out = std::filesystem::weakly_canonical(absolute, error);
  return error || out.empty() ? absolute.lexically_normal() : out.lexically_normal();
}

}  // namespace detail

/// A member's name in a ledger: the file's path relative to the ledger's folder. Links to folders
/// are followed, since ".." in the name will be; one in place of the file is not. UsageError when
/// it is not UTF-8.
inline std::string member_name(std::filesystem::path const& file,
                               std::filesystem::path const& folder) {
  namespace fs = std::filesystem;
  fs::path absolute = fs::absolute(file);
  if (!absolute.has_filename()) {  // a folder given with a slash at its end
    absolute = absolute.parent_path();
  }
  fs::path const last = absolute.filename();
  absolute = last == "." || last == ".." ? detail::resolved(absolute)
                                         : detail::resolved(absolute.parent_path()) / last;
  std::string name = absolute.lexically_proximate(detail::resolved(folder)).generic_string();
  if (io::first_invalid_utf8(name) != std::string::npos) {
    throw UsageError({.code = "bad-path",
                      .file = file.string(),
                      .place = {},
                      .found = "a path that is not UTF-8",
                      .expected = "a path that a ledger can name",
                      .advice = "rename the file"});
  }
  return name;
}

/// Which member a person means, and the file they gave for it.
struct SelectedMember {
  std::size_t index = 0;
  std::filesystem::path file;  ///< where the member's content is said to be
  bool exists = false;         ///< whether there is something at `file`
  bool verified = false;       ///< the content there has been hashed and is the member's
};

namespace detail {

inline std::string member_list(Manifest const& manifest) {
  std::vector<std::string> lines;
  for (LedgerMember const& member : manifest.members) {
    lines.push_back(member.digest.substr(0, 12) + " " + member.name);
  }
  return lines.empty() ? "none, the soup is empty" : io::listing(lines);
}

[[noreturn]] inline void no_such_member(std::string const& file, std::string found,
                                        Manifest const& manifest) {
  throw FormatError({.code = "no-such-member",
                     .file = file,
                     .place = {},
                     .found = std::move(found),
                     .expected = "one of the members: " + member_list(manifest),
                     .advice = "see dashi soup list"});
}

/// Members that nothing tells apart: one file that was added twice with one weight.
inline bool interchangeable(LedgerMember const& a, LedgerMember const& b) {
  return a.digest == b.digest && a.weight == b.weight && a.name == b.name &&
         a.keys.entries() == b.keys.entries();
}

/// The member that matches; of several that are interchangeable the first.
template <class Matches>
std::optional<std::size_t> only_member(Manifest const& manifest, std::string const& text,
                                       Matches&& matches) {
  std::optional<std::size_t> found;
  for (std::size_t m = 0; m < manifest.members.size(); ++m) {
    if (!matches(manifest.members[m])) {
      continue;
    }
    if (found && interchangeable(manifest.members[*found], manifest.members[m])) {
      continue;
    }
    if (found) {
      no_such_member({}, io::in_quotes(text) + " stands for several members", manifest);
    }
    found = m;
  }
  return found;
}

}  // namespace detail

/// Finds the member that `text` names: a file, or without such a file the beginning of a digest (at
/// least 4 digits) or a recorded name.
///
/// A file under a recorded name stands for that member; its content is checked here with
/// `verify_named`, else by the pass that reads it. A file under another name is hashed, and its
/// digest decides. FormatError (65) when that is no member's; IoError (66) when nothing is found at
/// all.
inline SelectedMember select_member(Manifest const& manifest, std::string const& text,
                                    std::filesystem::path const& folder, bool verify_named,
                                    int workers, io::ReadOptions const& read,
                                    io::Progress& progress = io::no_progress()) {
  std::error_code ignored;
  std::filesystem::path const path(text);
  bool const exists = !text.empty() && std::filesystem::exists(path, ignored);
  auto const by_name = [&](std::string const& name) {
    return detail::only_member(manifest, text,
                               [&](LedgerMember const& m) { return m.name == name; });
  };
  if (exists) {
    std::optional<std::size_t> const named = by_name(member_name(path, folder));
    if (named && !verify_named) {
      return {*named, path, true, false};
    }
    std::string const digest = scan_member(io::Checkpoint(path, read), workers, false, progress);
    if (named) {
      if (manifest.members[*named].digest != digest) {
        throw FormatError({.code = "digest-mismatch",
                           .file = text,
                           .place = {},
                           .found = "content with digest " + digest,
                           .expected = "the member with digest " + manifest.members[*named].digest,
                           .advice =
                               "the file is not the one that was added; give the beginning of the "
                               "digest to remove the member without its file"});
      }
      return {*named, path, true, true};
    }
    std::optional<std::size_t> const at = detail::only_member(
        manifest, text, [&](LedgerMember const& m) { return m.digest == digest; });
    if (!at) {
      detail::no_such_member(text, "content with digest " + digest, manifest);
    }
    return {*at, path, true, true};
  }
  constexpr std::size_t shortest_prefix = 4;
  bool const hex = text.size() >= shortest_prefix && text.size() <= 64 &&
                   text.find_first_not_of("0123456789abcdef") == std::string::npos;
  std::optional<std::size_t> at;
  if (hex) {
    at = detail::only_member(manifest, text,
                             [&](LedgerMember const& m) { return m.digest.starts_with(text); });
  }
  if (!at) {
    at = by_name(text);
  }
  if (!at && !text.empty()) {
    at = by_name(member_name(path, folder));
  }
  if (at) {
    std::filesystem::path const file = folder / manifest.members[*at].name;
    return {*at, file, std::filesystem::exists(file, ignored), false};
  }
  if (hex) {
    detail::no_such_member({}, "no member whose digest begins with " + text, manifest);
  }
  throw IoError(IoStage::input, ENOENT,
                {.code = "no-such-file",
                 .file = text,
                 .place = {},
                 .found = "cannot open the file",
                 .expected = "a member: " + detail::member_list(manifest),
                 .advice = "check the path and its permissions"});
}

}  // namespace dashi::merging

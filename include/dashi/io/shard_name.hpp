// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cctype>
#include <string>
#include <string_view>

namespace dashi::io {

/// Why a shard name of an index is refused, or null for a bare name of a file in the index's own
/// directory. An index comes from elsewhere and has no signature: its names must not reach files
/// outside that directory on any operating system.
inline char const* shard_name_fault(std::string_view name) noexcept {
  if (name.empty()) {
    return "an empty name";
  }
  for (char const c : name) {
    if (c == '\0') {
      return "a name with a NUL byte";
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return "a name with a control character";
    }
  }
  if (name.front() == '/' || name.front() == '\\') {
    return "an absolute path";
  }
  if (name.find("://") != std::string_view::npos) {
    return "a URL";
  }
  if (name.size() >= 2 && name[1] == ':' &&
      std::isalpha(static_cast<unsigned char>(name[0])) != 0) {
    return "a path with a drive letter";
  }
  if (name.find_first_of("/\\") != std::string_view::npos) {
    return name.find("..") != std::string_view::npos ? "a path with '..'"
                                                     : "a path with a separator";
  }
  if (name == "." || name.starts_with("..")) {
    return "a path with '.' or '..'";
  }
  if (name.find(':') != std::string_view::npos) {
    return "a name with ':' (a URL scheme or a data stream)";
  }
  if (name.front() == '~') {
    return "a path with '~'";
  }
  return nullptr;
}

/// "model" of "model-00001-of-00003.safetensors"; empty for a name of another form.
inline std::string_view shard_stem(std::string_view name) noexcept {
  constexpr std::string_view suffix = ".safetensors";
  if (!name.ends_with(suffix)) {
    return {};
  }
  name.remove_suffix(suffix.size());
  auto const drop_digits = [&] {
    std::size_t count = 0;
    while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0) {
      name.remove_suffix(1);
      ++count;
    }
    return count > 0;
  };
  auto const drop = [&](std::string_view end) {
    bool const has = name.ends_with(end);
    name.remove_suffix(has ? end.size() : 0);
    return has;
  };
  return drop_digits() && drop("-of-") && drop_digits() && drop("-") ? name : std::string_view();
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::merging {

/// How a member's tensors are called in the merged checkpoint: {theirs: ours}. A name that is not
/// listed keeps its own. No two names of theirs may become one of ours: UsageError.
class KeyMap {
public:
  using Entries = std::map<std::string, std::string, std::less<>>;

  KeyMap() = default;
  explicit KeyMap(Entries theirs_to_ours) : entries_(std::move(theirs_to_ours)) {
    std::map<std::string_view, std::string_view> seen;
    for (auto const& [theirs, ours] : entries_) {
      auto const [at, fresh] = seen.emplace(ours, theirs);
      if (!fresh) {
        throw UsageError({.code = "bad-key-map",
                          .file = {},
                          .place = "key map",
                          .found = io::in_quotes(at->second) + " and " + io::in_quotes(theirs) +
                                   " both become " + io::in_quotes(ours),
                          .expected = "a different name for each",
                          .advice = {}});
      }
    }
  }

  /// Our name of their tensor.
  std::string_view ours(std::string_view theirs) const {
    auto const at = entries_.find(theirs);
    return at == entries_.end() ? theirs : std::string_view(at->second);
  }

  Entries const& entries() const noexcept { return entries_; }
  bool empty() const noexcept { return entries_.empty(); }
  friend bool operator==(KeyMap const&, KeyMap const&) = default;

private:
  Entries entries_;
};

}  // namespace dashi::merging

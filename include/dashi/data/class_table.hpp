// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

/// Classes by name, and the labels that LoadOptions gives them.
class ClassTable {
public:
  /// `found`: the names of the classes in the data, in the order of their labels without
  /// options. `where`: the path, for messages. Throws UsageError for a class that is not there or
  /// is asked for twice.
  ClassTable(std::string const& where, std::vector<std::string> found, LoadOptions const& options) {
    for (std::string const& name : options.classes) {
      bool const twice = std::count(options.classes.begin(), options.classes.end(), name) > 1;
      if (twice || std::find(found.begin(), found.end(), name) == found.end()) {
        throw UsageError({.code = twice ? "class-twice" : "unknown-class",
                          .file = where,
                          .place = {},
                          .found = "class " + io::in_quotes(name) +
                                   (twice ? " is chosen twice" : " is not there"),
                          .expected = twice ? std::string() : "one of " + io::listing(found),
                          .advice = {}});
      }
    }
    names_.resize(static_cast<std::size_t>(options.label_offset));
    if (!options.classes.empty()) {
      found = options.classes;
    }
    for (std::string& name : found) {
      labels_[name] = static_cast<std::int64_t>(names_.size());
      names_.push_back(std::move(name));
    }
  }

  /// By label, empty below the offset.
  std::vector<std::string> const& names() const noexcept { return names_; }

  /// The label of a class; -1 for one that was not chosen.
  std::int64_t label(std::string const& name) const {
    auto const at = labels_.find(name);
    return at == labels_.end() ? -1 : at->second;
  }

private:
  std::vector<std::string> names_;
  std::map<std::string, std::int64_t> labels_;
};

}  // namespace dashi::data

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/manifest_text.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::merging {

namespace detail {

/// Reads manifest_text(); what is not checked here is by the comparison with the canonical text.
class ManifestParser {
public:
  ManifestParser(std::string_view text, std::string const& file) : cursor_(text, file, 0, 6) {}

  Manifest parse() {
    cursor_.set_subject("metadata", &subject_);
    std::uint64_t version = 0;
    bool has_mode = false;
    cursor_.begin_object();
    while (cursor_.next_member(key_)) {
      if (key_ == "members") {
        parse_members();
      } else if (key_ == "mode") {
        has_mode = true;
        parse_mode();
      } else if (key_ == "places") {
        cursor_.read_integer(DecimalWeight::most_places);
      } else if (key_ == "tensors") {
        parse_tensors();
      } else if (key_ == "version") {
        version = cursor_.read_integer(1'000'000);
      } else {
        cursor_.fail("bad-ledger", "an unknown field", "a field of a ledger",
                     "a newer dashi may have written it");
      }
    }
    cursor_.finish();
    if (version != manifest_version) {
      cursor_.fail("ledger-version", "ledger version " + std::to_string(version),
                   "version " + std::to_string(manifest_version), "use the dashi that wrote it");
    }
    if (!has_mode) {
      cursor_.fail("bad-ledger", "no field 'mode'", "recompute or accumulate");
    }
    spread();
    return std::move(manifest_);
  }

private:
  void parse_mode() {
    cursor_.read_string(value_);
    if (value_ != "recompute" && value_ != "accumulate") {
      cursor_.fail("bad-ledger", "an unknown mode", "recompute or accumulate");
    }
    manifest_.mode = value_ == "recompute" ? LedgerMode::recompute : LedgerMode::accumulate;
  }

  void parse_members() {
    cursor_.begin_array();
    while (cursor_.next_element()) {
      LedgerMember member;
      cursor_.begin_object();
      while (cursor_.next_member(key_)) {
        if (key_ == "digest") {
          cursor_.read_string(member.digest);
        } else if (key_ == "keys") {
          member.keys = parse_keys();
        } else if (key_ == "metadata") {
          parse_map(member.metadata);
        } else if (key_ == "name") {
          cursor_.read_string(member.name);
        } else if (key_ == "weight") {
          cursor_.read_string(value_);
          member.weight = parse_member_weight();
        } else {
          cursor_.fail("bad-ledger", "an unknown field of a member",
                       "digest, keys, metadata, name, weight");
        }
      }
      bool const is_hex = member.digest.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (member.digest.size() != 64 || !is_hex) {
        cursor_.fail("bad-ledger", "a digest that is not SHA-256",
                     "64 lower-case hexadecimal digits");
      }
      manifest_.members.push_back(std::move(member));
    }
  }

  DecimalWeight parse_member_weight() {
    try {
      return parse_weight(value_);
    } catch (UsageError const& error) {
      cursor_.fail("bad-ledger", error.diagnosis().place + ": " + error.diagnosis().found,
                   error.diagnosis().expected);
    }
  }

  KeyMap parse_keys() {
    std::map<std::string, std::string, std::less<>> entries;
    parse_map(entries);
    try {
      return KeyMap(std::move(entries));
    } catch (UsageError const& error) {
      cursor_.fail("bad-ledger", "key map: " + error.diagnosis().found, error.diagnosis().expected);
    }
  }

  template <class Map>
  void parse_map(Map& out) {
    std::string key;
    cursor_.begin_object();
    while (cursor_.next_member(key)) {
      cursor_.read_string(value_);
      out.emplace(key, value_);
    }
  }

  void parse_tensors() {
    cursor_.begin_object();
    while (cursor_.next_member(key_)) {
      manifest_.tensors.push_back({.name = key_, .shape = {}});
      dtypes_.emplace_back();
      alphas_.emplace_back();
      cursor_.begin_object();
      while (cursor_.next_member(key_)) {
        if (key_ == "dtype") {
          parse_dtypes(dtypes_.back());
        } else if (key_ == "shape") {
          parse_shape(manifest_.tensors.back());
        } else if (key_ == "words") {
          cursor_.read_string(value_);
        } else {
          cursor_.fail("bad-ledger", "an unknown field of a tensor", "dtype, shape, words");
        }
      }
    }
  }

  void parse_dtypes(std::vector<io::Dtype>& out) {
    auto const read = [&] {
      cursor_.read_string(value_);
      std::optional<io::Dtype> const dtype = io::parse_dtype(value_);
      if (!dtype) {
        cursor_.fail("bad-ledger", "an unknown dtype", "one of " + io::dtype_names());
      }
      out.push_back(*dtype);
    };
    if (cursor_.peek() != '[') {
      read();
      return;
    }
    cursor_.begin_array();
    while (cursor_.next_element()) {
      read();
    }
  }

  void parse_shape(LedgerTensor& tensor) {
    std::uint64_t product = 1;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      if (cursor_.peek() == '[') {
        parse_alpha_shape(tensor);
        continue;
      }
      std::uint64_t const extent = cursor_.read_integer(io::largest_number);
      if (extent != 0 && product > io::largest_number / extent) {
        cursor_.fail("bad-ledger", "a shape of more than 2^48 elements", "fewer");
      }
      product *= extent == 0 ? 1 : extent;
      tensor.shape.push_back(extent);
    }
    if (!tensor.shape.empty() && !alphas_.back().empty()) {
      cursor_.fail("bad-ledger", "extents beside shapes", "one shape, or one for each member");
    }
  }

  /// One of a list of shapes, one for each member.
  void parse_alpha_shape(LedgerTensor const& tensor) {
    std::size_t extents = 0;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      extents += cursor_.read_integer(io::largest_number) == 1 ? 1U : 2U;
    }
    if (extents > 1 || !is_alpha_scalar(tensor.name, {})) {
      cursor_.fail("bad-ledger", "members with different shapes", "[] or [1] of an alpha scalar");
    }
    alphas_.back().push_back(extents == 1);
  }

  /// From tensors to members.
  void spread() {
    std::uint64_t const members = manifest_.members.size();
    if (!dtypes_.empty() && members > most_ledger_pairs / dtypes_.size()) {
      cursor_.fail("bad-ledger",
                   std::to_string(members) + " members with " + std::to_string(dtypes_.size()) +
                       " tensors each",
                   "at most 2^25 pairs of a member and a tensor");
    }
    for (std::size_t t = 0; t < dtypes_.size(); ++t) {
      LedgerTensor const& tensor = manifest_.tensors[t];
      if (alphas_[t].empty() && is_alpha_scalar(tensor.name, tensor.shape)) {
        alphas_[t].assign(manifest_.members.size(), !tensor.shape.empty());
      }
      if (!alphas_[t].empty() && alphas_[t].size() != manifest_.members.size()) {
        cursor_.fail("bad-ledger", std::to_string(alphas_[t].size()) + " shapes of one tensor",
                     "one, or one for each member");
      }
      for (std::size_t m = 0; m < alphas_[t].size(); ++m) {
        if (alphas_[t][m]) {
          manifest_.members[m].vector_alphas.push_back(t);
        }
      }
      if (dtypes_[t].size() != 1 && dtypes_[t].size() != manifest_.members.size()) {
        cursor_.fail("bad-ledger", std::to_string(dtypes_[t].size()) + " dtypes of one tensor",
                     "one, or one for each member");
      }
      for (std::size_t m = 0; m < manifest_.members.size(); ++m) {
        manifest_.members[m].dtypes.push_back(dtypes_[t][dtypes_[t].size() == 1 ? 0 : m]);
      }
    }
  }

  io::JsonCursor cursor_;
  std::string subject_ = "dashi.ledger";
  Manifest manifest_;
  std::vector<std::vector<io::Dtype>> dtypes_;
  std::vector<std::vector<bool>> alphas_;  // of each tensor: which members store it as [1]
  std::string key_;
  std::string value_;
};

}  // namespace detail

}  // namespace dashi::merging

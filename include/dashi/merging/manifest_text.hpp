// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/merging/manifest.hpp>

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

inline constexpr std::uint64_t manifest_version = 1;

namespace detail {

template <class Map>
void append_text_map(std::string& out, Map const& map) {
  out += '{';
  char const* comma = "";
  for (auto const& [key, value] : map) {
    out += std::exchange(comma, ",");
    io::append_quoted(out, key);
    out += ':';
    io::append_quoted(out, value);
  }
  out += '}';
}

inline void append_member(std::string& out, Manifest const& manifest, LedgerMember const& member) {
  out += "{\"digest\":";
  io::append_quoted(out, member.digest);
  if (!member.keys.empty()) {
    out += ",\"keys\":";
    append_text_map(out, member.keys.entries());
  }
  if (manifest.mode == LedgerMode::accumulate && !member.metadata.empty()) {
    out += ",\"metadata\":";
    append_text_map(out, member.metadata);
  }
  out += ",\"name\":";
  io::append_quoted(out, member.name);
  out += ",\"weight\":";
  io::append_quoted(out, text(member.weight));
  out += '}';
}

/// One dtype when all members agree, else a list in the order of the members.
inline void append_dtypes(std::string& out, Manifest const& manifest, std::size_t tensor) {
  bool same = true;
  for (LedgerMember const& member : manifest.members) {
    same = same && member.dtypes[tensor] == manifest.members.front().dtypes[tensor];
  }
  std::size_t const count = same ? 1 : manifest.members.size();
  out += same ? "" : "[";
  for (std::size_t m = 0; m < count; ++m) {
    out += m == 0 ? "" : ",";
    io::append_quoted(out, io::name(manifest.members[m].dtypes[tensor]));
  }
  out += same ? "" : "]";
}

}  // namespace detail

/// The one JSON text of a manifest: keys in order, no white space. The manifest must be canonical.
///
///     {"members":[{"digest":"..","keys":{theirs:ours},"metadata":{..},"name":"..","weight":"0.5"}],
///      "mode":"accumulate","places":1,
///      "tensors":{"NAME":{"dtype":"F16","shape":[2,3],"words":"int64"}},"version":1}
///
/// `keys` and `metadata` are absent when empty; `metadata`, `places` and `tensors` belong to
/// accumulate mode.
inline std::string manifest_text(Manifest const& manifest) {
  std::string out = "{\"members\":[";
  for (LedgerMember const& member : manifest.members) {
    out += out.back() == '[' ? "" : ",";
    detail::append_member(out, manifest, member);
  }
  out += "],\"mode\":";
  io::append_quoted(out, name(manifest.mode));
  if (manifest.mode == LedgerMode::accumulate) {
    LedgerScale const scale = ledger_scale(manifest);
    out += ",\"places\":" + std::to_string(scale.places) + ",\"tensors\":{";
    for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
      out += t == 0 ? "" : ",";
      io::append_quoted(out, manifest.tensors[t].name);
      out += ":{\"dtype\":";
      detail::append_dtypes(out, manifest, t);
      out += ",\"shape\":[";
      char const* comma = "";
      for (std::uint64_t const extent : manifest.tensors[t].shape) {
        out += std::exchange(comma, ",") + std::to_string(extent);
      }
      out += "],\"words\":";
      io::append_quoted(out, name(word_kind(manifest, scale, t)));
      out += '}';
    }
    out += '}';
  }
  return out + ",\"version\":" + std::to_string(manifest_version) + "}";
}

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
    spread_dtypes();
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
      cursor_.begin_object();
      while (cursor_.next_member(key_)) {
        if (key_ == "dtype") {
          parse_dtypes(dtypes_.back());
        } else if (key_ == "shape") {
          parse_shape(manifest_.tensors.back().shape);
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

  void parse_shape(std::vector<std::uint64_t>& out) {
    std::uint64_t product = 1;
    cursor_.begin_array();
    while (cursor_.next_element()) {
      std::uint64_t const extent = cursor_.read_integer(io::largest_number);
      if (extent != 0 && product > io::largest_number / extent) {
        cursor_.fail("bad-ledger", "a shape of more than 2^48 elements", "fewer");
      }
      product *= extent == 0 ? 1 : extent;
      out.push_back(extent);
    }
  }

  void spread_dtypes() {
    std::uint64_t const members = manifest_.members.size();
    if (!dtypes_.empty() && members > most_ledger_pairs / dtypes_.size()) {
      cursor_.fail("bad-ledger",
                   std::to_string(members) + " members with " + std::to_string(dtypes_.size()) +
                       " tensors each",
                   "at most 2^25 pairs of a member and a tensor");
    }
    for (std::size_t t = 0; t < dtypes_.size(); ++t) {
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
  std::string key_;
  std::string value_;
};

}  // namespace detail

/// Reads a manifest and insists on its canonical text. FormatError (65) otherwise, as for sums that
/// no member set can have. `file` is for messages.
inline Manifest parse_manifest(std::string_view text, std::string const& file) {
  auto const refuse = [&](std::string found, std::string expected) {
    throw FormatError({.code = "bad-ledger",
                       .file = file,
                       .place = "metadata 'dashi.ledger'",
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = "the ledger was edited or damaged; restore it or make it anew"});
  };
  Manifest manifest = detail::ManifestParser(text, file).parse();
  if (manifest.members.empty() && !manifest.tensors.empty()) {
    refuse("tensors without members", "no tensors in an empty soup");
  }
  for (LedgerMember const& member : manifest.members) {
    for (io::Dtype const dtype : member.dtypes) {
      if (dtype == io::Dtype::f64) {
        refuse("an accumulated F64 tensor", "F16, BF16 or F32");
      }
    }
    for (auto const& [theirs, ours] : member.keys.entries()) {
      if (theirs == ours) {
        refuse("a key map entry that changes nothing", "only names that differ");
      }
    }
  }
  for (std::size_t t = 1; t < manifest.tensors.size(); ++t) {
    if (manifest.tensors[t].name <= manifest.tensors[t - 1].name) {
      refuse("tensors out of order", "each name once, in order");
    }
  }
  for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
    for (LedgerMember const& member : manifest.members) {
      io::Dtype const first = manifest.members.front().dtypes[t];
      if (member.dtypes[t] != first &&
          !(io::is_averaged(first) && io::is_averaged(member.dtypes[t]))) {
        refuse("a copied tensor with two dtypes", "one dtype");
      }
    }
  }
  Manifest sorted = manifest;
  sorted.sort();
  std::string canonical;
  try {
    canonical = manifest_text(sorted);
  } catch (UsageError const& error) {
    refuse(error.diagnosis().found, error.diagnosis().expected);
  }
  if (canonical != text) {
    refuse("a text that is not in canonical form", "exactly what dashi writes for these members");
  }
  return manifest;
}

}  // namespace dashi::merging

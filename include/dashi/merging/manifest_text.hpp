// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/json_text.hpp>
#include <dashi/merging/manifest.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

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

/// One shape when all members agree, else (alpha scalars) a list in the order of the members.
inline void append_shape(std::string& out, Manifest const& manifest, std::size_t tensor) {
  std::size_t const vectors = manifest.vector_alphas(tensor);
  out += '[';
  char const* comma = "";
  if (vectors > 0 && vectors < manifest.members.size()) {
    for (LedgerMember const& member : manifest.members) {
      out += std::exchange(comma, ",");
      out += member.has_vector_alpha(tensor) ? "[1]" : "[]";
    }
  } else {
    for (std::uint64_t const extent : manifest.tensors[tensor].shape) {
      out += std::exchange(comma, ",") + std::to_string(extent);
    }
  }
  out += ']';
}

}  // namespace detail

/// The one JSON text of a manifest: keys in order, no white space. The manifest must be canonical.
///
///     {"members":[{"digest":"..","keys":{theirs:ours},"metadata":{..},"name":"..","weight":"0.5"}],
///      "mode":"accumulate","places":1,
///      "tensors":{"NAME":{"dtype":"F16","shape":[2,3],"words":"int64"}},"version":1}
///
/// `keys` and `metadata` are absent when empty; `metadata`, `places` and `tensors` belong to
/// accumulate mode. Where members disagree, `dtype` is a list with one of each member, and so is
/// the `shape` of an alpha scalar: `[[],[1]]`.
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
      out += ",\"shape\":";
      detail::append_shape(out, manifest, t);
      out += ",\"words\":";
      io::append_quoted(out, name(word_kind(manifest, scale, t)));
      out += '}';
    }
    out += '}';
  }
  return out + ",\"version\":" + std::to_string(manifest_version) + "}";
}

}  // namespace dashi::merging

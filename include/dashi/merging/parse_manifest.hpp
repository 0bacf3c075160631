// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/manifest_parser.hpp>
#include <dashi/merging/manifest_text.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::merging {

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

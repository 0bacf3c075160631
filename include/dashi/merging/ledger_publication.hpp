// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_spec.hpp>
#include <dashi/kernels/mean_weights.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/provenance.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// What an accumulating soup publishes, known from its manifest alone.
struct LedgerPublication {
  std::vector<io::TensorSpec> specs;            ///< one a tensor, in the manifest's order
  std::map<std::string, std::string> metadata;  ///< common to the members, and provenance
  LedgerScale scale;
};

/// The members' common metadata and their recipe; the same for both modes.
inline std::map<std::string, std::string> soup_metadata(Manifest const& manifest,
                                                        std::map<std::string, std::string> common,
                                                        std::optional<io::Dtype> dtype) {
  Recipe recipe{.method = "linear", .members = {}, .base = {}, .dtype = dtype};
  for (LedgerMember const& member : manifest.members) {
    recipe.members.push_back({member.name, member.weight, member.digest});
  }
  return published_metadata(std::move(common), recipe);
}

/// Accumulate mode. UsageError (2) without members or with a total weight that is not positive;
/// FormatError (65) when members disagree on a dtype and none is given.
inline LedgerPublication plan_ledger_publication(Manifest const& manifest,
                                                 MergeOptions const& options,
                                                 std::string const& file) {
  LedgerPublication out{.specs = {}, .metadata = {}, .scale = ledger_scale(manifest)};
  if (manifest.members.empty()) {
    throw UsageError({.code = "no-members",
                      .file = file,
                      .place = {},
                      .found = "nothing to merge",
                      .expected = "at least one checkpoint",
                      .advice = "add members first"});
  }
  expect_averaged_dtype(options);
  kernels::MeanWeights const check(out.scale.weights);
  for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
    LedgerTensor const& tensor = manifest.tensors[t];
    io::Dtype const first = manifest.members.front().dtypes[t];
    for (LedgerMember const& member : manifest.members) {
      if (member.dtypes[t] != first && (!options.dtype || options.strict_dtype)) {
        throw FormatError(
            {.code = "dtype-mismatch",
             .file = file,
             .place = "tensor " + io::in_quotes(tensor.name),
             .found = std::string(io::name(member.dtypes[t])) + " in " + member.name,
             .expected = std::string(io::name(first)) + " as in " + manifest.members.front().name,
             .advice = options.strict_dtype
                           ? "leave out --strict-dtype and give --dtype to average them"
                           : "give --dtype to say what the result is stored as"});
      }
    }
    out.specs.push_back({tensor.name,
                         io::is_averaged(first) && options.dtype ? *options.dtype : first,
                         tensor.shape});
  }
  std::map<std::string, std::string> common = manifest.members.front().metadata;
  for (LedgerMember const& member : manifest.members) {
    std::erase_if(common, [&](auto const& pair) {
      auto const at = member.metadata.find(pair.first);
      return at == member.metadata.end() || at->second != pair.second;
    });
  }
  out.metadata = soup_metadata(manifest, std::move(common), options.dtype);
  return out;
}

}  // namespace dashi::merging

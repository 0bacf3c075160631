// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/core/version.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/float_dtypes.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// How a DiT is written.
struct SaveDit {
  io::Dialect dialect = io::Dialect::dit_original;
  io::Dtype dtype = io::Dtype::f32;               ///< one of io::convertible_names()
  io::DitVariant variant{};                       ///< what the shapes do not tell, for the metadata
  std::map<std::string, std::string> metadata{};  ///< more of it
  io::CheckpointOutput output{};
};

namespace detail {

/// A piece of a parameter under the name that a file has for it.
struct DitPiece {
  std::size_t entry;
  std::size_t first;  ///< element
  std::size_t count;
  io::TensorSpec spec;
};

inline std::vector<std::uint64_t> extents(std::vector<Index> const& shape) {
  return {shape.begin(), shape.end()};
}

/// What the parameter becomes in a file: one tensor, three thirds, or a copy a block.
inline void append_pieces(std::vector<DitPiece>& pieces, std::size_t entry,
                          DitParameterName const& name, std::vector<Index> const& shape,
                          std::size_t count, io::DitNames const& names, SaveDit const& save) {
  auto const* const place = names.find_original(name.original);
  DASHI_EXPECTS(place != nullptr, "no tensor of a DiT is called '" + name.original + "'");
  auto const add = [&](std::string const& file_name, std::size_t first, std::size_t size,
                       std::vector<std::uint64_t> file_shape) {
    pieces.push_back({entry, first, size, {file_name, save.dtype, std::move(file_shape)}});
  };
  if (save.dialect == io::Dialect::dit_original) {
    add(name.original, 0, count, extents(shape));
    return;
  }
  io::DitName const& known = names.entries()[place->entry];
  switch (known.how) {
    case io::DitStorage::same: add(known.diffusers.front(), 0, count, extents(shape)); break;
    case io::DitStorage::row_thirds:
      for (std::size_t part = 0; part < 3; ++part) {
        auto third = extents(shape);
        third.front() /= 3;
        add(known.diffusers[part], part * count / 3, count / 3, std::move(third));
      }
      break;
    case io::DitStorage::every_block:
      for (std::size_t block = 0; block < known.diffusers.size(); ++block) {
        if (name.embedder < 0 || static_cast<std::size_t>(name.embedder) == block) {
          add(known.diffusers[block], 0, count, extents(shape));
        }
      }
      break;
    case io::DitStorage::absent: break;
  }
}

}  // namespace detail

/// Writes the parameters of a DiT backbone under original or diffusers names, through the commit
/// protocol of all outputs. Adapters on it are left out. `read` gives the numbers of an entry of
/// the list, for instance a moving average; empty: the parameters' masters. Throws FormatError for
/// embedders per block under original names, which have one; IoError.
template <Precision P, ExecutionSpace Exec>
std::filesystem::path save_dit(std::filesystem::path const& path, DitConfig const& config,
                               ParameterList<P, Exec> const& list, SaveDit save,
                               std::function<void(std::size_t entry, std::span<float>)> read = {}) {
  save.variant.embedders = config.embedders == Embedders::shared ? io::DitEmbedders::shared
                                                                 : io::DitEmbedders::per_block;
  if (config.embedders == Embedders::per_block && save.dialect == io::Dialect::dit_original) {
    throw FormatError({.code = "embedders-differ",
                       .file = path.string(),
                       .place = {},
                       .found = "a model with a timestep and class embedder in every block",
                       .expected = "one embedder, as original names have it",
                       .advice = "write it under diffusers names"});
  }
  io::DitNames const names(config.depth);
  std::vector<detail::DitPiece> pieces;
  std::vector<io::TensorSpec> specs;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto const& entry = list[i];
    if (entry.kind != ParameterKind::adapter && entry.kind != ParameterKind::scale &&
        entry.kind != ParameterKind::shared) {
      detail::append_pieces(pieces, i, DitParameterName(entry.name), entry.shape,
                            static_cast<std::size_t>(entry.parameter.size()), names, save);
    }
  }
  for (detail::DitPiece const& piece : pieces) {
    specs.push_back(piece.spec);
  }
  auto metadata = std::move(save.metadata);
  metadata.insert_or_assign("format", "pt");
  metadata.insert_or_assign("dashi.version", DASHI_VERSION);
  io::append_dit_metadata(metadata, dit_configuration(config), save.variant);
  io::CheckpointWriter writer(path, std::move(specs), metadata, save.output);
  std::vector<float> values;
  std::size_t held = list.size();
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    detail::DitPiece const& piece = pieces[p];
    if (piece.entry != held) {
      held = piece.entry;
      values.resize(static_cast<std::size_t>(list[held].parameter.size()));
      if (read) {
        read(held, std::span<float>(values));
      } else {
        list[held].parameter.read(std::span<float>(values));
      }
    }
    with_float_type(save.dtype, [&]<class To>() {
      std::vector<To> out(piece.count);
      for (std::size_t i = 0; i < piece.count; ++i) {
        out[i] = convert<To>(values[piece.first + i]);
      }
      writer.write(p, 0, std::as_bytes(std::span<To const>(out)));
    });
  }
  writer.commit();
  return writer.path();
}

}  // namespace dashi::checkpoints

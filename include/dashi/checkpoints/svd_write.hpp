// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/save_dit.hpp>
#include <dashi/checkpoints/svd_factors.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/tensor_spec.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What was written.
struct SvdResult {
  std::filesystem::path path;  ///< the file, or the index
  std::size_t shards = 1;
  std::uint64_t parameters = 0;  ///< elements of all tensors
};

/// A factorised model that is made of another file, and where its numbers come from.
struct SvdOutput {
  FactorisedModel model{};
  std::function<io::Dtype(FactorisedTensor const&)> dtype{};
  std::function<std::vector<double>(FactorisedTensor const&)> values{};
};

namespace detail {

inline std::uint64_t bytes_of(std::vector<io::TensorSpec> const& specs, std::string const& file) {
  std::uint64_t total = 0;
  for (io::TensorSpec const& spec : specs) {
    total += io::tensor_bytes(spec, file);
  }
  return total;
}

inline SvdResult finish_svd(io::Checkpoint const& checkpoint, io::CheckpointWriter& writer,
                            std::vector<io::TensorSpec> const& specs) {
  checkpoint.expect_unchanged();
  writer.commit();
  SvdResult result{writer.path(), writer.shards(), 0};
  for (io::TensorSpec const& spec : specs) {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : spec.shape) {
      count *= extent;
    }
    result.parameters += count;
  }
  return result;
}

inline void protect_input(io::Checkpoint const& checkpoint, io::CheckpointOutput& output) {
  for (io::FileIdentity const& input : input_identities(checkpoint)) {
    output.file.inputs.push_back(input);
  }
}

}  // namespace detail

/// Writes a factorised model tensor by tensor. `checkpoint`, from which values come, cannot be
/// replaced. Throws FormatError, IoError.
inline SvdResult write_factorised(io::Checkpoint const& checkpoint, SvdOutput const& from,
                                  std::map<std::string, std::string> metadata,
                                  std::filesystem::path const& path, io::CheckpointOutput output,
                                  io::Progress& progress = io::no_progress()) {
  std::vector<FactorisedTensor> const tensors = factorised_tensors(from.model);
  std::vector<io::TensorSpec> specs;
  for (FactorisedTensor const& tensor : tensors) {
    specs.push_back({tensor.name, from.dtype(tensor), tensor.shape});
  }
  detail::protect_input(checkpoint, output);
  append_factorised_metadata(metadata, from.model);
  io::CheckpointWriter writer(path, specs, metadata, output);
  progress.start(detail::bytes_of(specs, path.string()));
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    write_numbers(writer, t, specs[t], from.values(tensors[t]));
    progress.advance(static_cast<std::size_t>(io::tensor_bytes(specs[t], path.string())));
  }
  return detail::finish_svd(checkpoint, writer, specs);
}

/// Writes the dense DiT that the factors stand for with the tailors of `groups`. `dense(name)`:
/// numbers of the tensors that are no weights of factors; `model`: sizes of the result; dtype: of
/// the weights, default that of their factors. Throws FormatError, IoError.
inline SvdResult write_dense_svd(
    Context<Kokkos::DefaultHostExecutionSpace>& ctx, io::Checkpoint const& checkpoint,
    FactorReader const& reader, FactorisedModel const& model, std::span<Index const> groups,
    std::optional<io::Dtype> dtype,
    std::function<std::vector<double>(std::string const&)> const& dense,
    std::map<std::string, std::string> metadata, std::filesystem::path const& path,
    io::CheckpointOutput output, io::Progress& progress = io::no_progress()) {
  auto const& c = model.configuration;
  bool const per_block = model.variant.embedders == io::DitEmbedders::per_block;
  SaveDit save;
  save.dialect = per_block ? io::Dialect::dit_diffusers : io::Dialect::dit_original;
  struct Source {
    std::string name;
    std::int64_t block = -1;  // -1: a dense tensor
    std::size_t site = 0;     // of the first third, or the only one
  };
  std::vector<Source> sources;
  std::vector<detail::DitPiece> pieces;
  io::DitNames const names(c.depth);
  auto const add = [&](std::string const& name, std::vector<std::uint64_t> const& shape,
                       io::Dtype kept, std::int64_t block = -1, std::size_t site = 0) {
    std::vector<Index> const extents(shape.begin(), shape.end());
    std::size_t count = 1;
    for (Index const extent : extents) {
      count *= static_cast<std::size_t>(extent);
    }
    save.dtype = kept;
    detail::append_pieces(pieces, sources.size(), DitParameterName(name), extents, count, names,
                          save);
    sources.push_back({name, block, site});
  };
  for (FactorisedTensor const& tensor : factorised_tensors(model)) {
    if (tensor.site == factorised_sites.size()) {
      add(tensor.name, tensor.shape, reader.find(tensor.name)->info.dtype);
    }
  }
  for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
    FactorisedSite const& site = factorised_sites[s];
    for (std::int64_t b = 0; site.third <= 0 && b < c.depth; ++b) {
      std::string const name = "blocks." + std::to_string(b) + "." + std::string(site.weight);
      bool const kind = model.layout.method == SvdMethod::kind;
      auto const* factor =
          reader.find(factor_path(s, kind ? b : -1) + (kind ? ".learngene.u" : ".u"));
      factor = factor == nullptr ? reader.find(factor_path(s, b) + ".tailors.u") : factor;
      add(name, io::dit_shape(c, name), dtype.value_or(factor->info.dtype), b, s);
    }
  }
  std::vector<io::TensorSpec> specs;
  for (detail::DitPiece const& piece : pieces) {
    specs.push_back(piece.spec);
  }
  detail::protect_input(checkpoint, output);
  metadata = without_factorised_metadata(std::move(metadata));
  metadata["format"] = "pt";
  metadata["dashi.version"] = DASHI_VERSION;
  io::append_dit_metadata(metadata, c, model.variant);
  io::CheckpointWriter writer(path, specs, metadata, output);
  progress.start(detail::bytes_of(specs, path.string()));
  std::vector<double> values;
  std::size_t held = sources.size();
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    detail::DitPiece const& piece = pieces[p];
    if (piece.entry != held) {
      held = piece.entry;
      Source const& source = sources[held];
      if (source.block < 0) {
        values = dense(source.name);
      } else {
        std::size_t const parts = factorised_sites[source.site].third == 0 ? 3 : 1;
        LinearShape const shape = factorised_sites[source.site].shape(c.width, c.mlp_width);
        auto const count = static_cast<std::size_t>(shape.out * shape.in);
        values.resize(parts * count);
        for (std::size_t k = 0; k < parts; ++k) {
          reader.materialise(ctx, source.site + k, source.block, groups,
                             std::span(values).subspan(k * count, count));
        }
      }
    }
    write_numbers(writer, p, piece.spec,
                  std::span<double const>(values).subspan(piece.first, piece.count));
    progress.advance(static_cast<std::size_t>(io::tensor_bytes(piece.spec, path.string())));
  }
  return detail::finish_svd(checkpoint, writer, specs);
}

}  // namespace dashi::checkpoints

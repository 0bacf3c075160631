// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_names.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io::detail {

/// Reads a DiT's sizes off the names and shapes of its tensors.
class DitReader {
public:
  /// `dialect` is one of the two of DiT, as io::dialect() says.
  DitReader(Checkpoint const& checkpoint, Dialect dialect)
      : checkpoint_(checkpoint), dialect_(dialect), names_(count_blocks(checkpoint, dialect)) {}

  DitNames const& names() const noexcept { return names_; }

  /// All that shapes tell, without the input's size in diffusers names; `null_class` is the
  /// caller's to know. Every tensor is there, and has the shape that follows from the first.
  DitConfiguration read(bool null_class) const {
    expect_names();
    DitConfiguration c;
    c.depth = names_.depth();
    c.null_class = null_class;
    auto const patch = shape("x_embedder.proj.weight", 4);
    c.width = patch[0];
    c.channels = patch[1];
    c.patch = patch[2];
    c.frequency_size = shape("t_embedder.mlp.0.weight", 2)[1];
    c.classes = shape("y_embedder.embedding_table.weight", 2)[0] - (null_class ? 1 : 0);
    c.mlp_width = shape("blocks.0.mlp.fc1.weight", 2)[0];
    std::int64_t const rows = shape("final_layer.linear.weight", 2)[0];
    std::int64_t const area = c.patch * c.patch;
    c.learn_sigma = rows == 2 * area * c.channels;
    expect(c.width > 0 && c.width % 4 == 0, "x_embedder.proj.weight",
           "a width that is a multiple of 4, which the table of positions needs");
    expect(c.patch > 0 && c.channels > 0, "x_embedder.proj.weight", "patches that are not empty");
    expect(c.classes > 0, "y_embedder.embedding_table.weight",
           null_class ? "at least one class beside the null class" : "at least one class");
    expect(c.mlp_width > 0, "blocks.0.mlp.fc1.weight", "an MLP that is not empty");
    expect(c.frequency_size > 0 && c.frequency_size % 2 == 0, "t_embedder.mlp.0.weight",
           "an even number of timestep features");
    expect(c.learn_sigma || rows == area * c.channels, "final_layer.linear.weight",
           "patch * patch * channels rows (" + std::to_string(area * c.channels) +
               "), or twice as many with a learned variance");
    expect_shapes(c);
    return c;
  }

  /// Extents of the stored position table. Original names only.
  std::vector<std::int64_t> positions() const { return shape("pos_embed", 3); }

  /// FormatError at a tensor, given by its original name.
  [[noreturn]] void fail(std::string_view original, std::string expected,
                         std::string advice = {}) const {
    TensorInfo const& info = tensor(original).info;
    throw FormatError({.code = "shape-mismatch",
                       .file = checkpoint_.path().string(),
                       .place = "tensor " + in_quotes(info.name),
                       .found = "shape " + shape_text(info.shape),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

private:
  /// Blocks 0, 1, ... that have a modulation; what is beyond a gap is unknown.
  static std::int64_t count_blocks(Checkpoint const& checkpoint, Dialect dialect) {
    bool const original = dialect == Dialect::dit_original;
    std::int64_t depth = 0;
    while (checkpoint.find(original
                               ? "blocks." + std::to_string(depth) + ".adaLN_modulation.1.weight"
                               : "transformer_blocks." + std::to_string(depth) +
                                     ".norm1.linear.weight") != nullptr) {
      ++depth;
    }
    return depth;
  }

  void expect_names() const {
    std::vector<std::string> found;
    for (TensorRef const& ref : checkpoint_.tensors()) {
      found.push_back(ref.info.name);
    }
    DitNameDifference const difference = compare_names(names_, dialect_, found);
    std::string const model =
        "the " +
        std::to_string(found.size() - difference.unknown.size() + difference.missing.size()) +
        " tensors of a " + std::string(name(dialect_)) + ", with " +
        std::to_string(names_.depth()) + " blocks";
    auto const refuse = [&](char const* code, std::string found_text, std::string advice) {
      throw FormatError({.code = code,
                         .file = checkpoint_.path().string(),
                         .place = {},
                         .found = std::move(found_text),
                         .expected = model,
                         .advice = std::move(advice)});
    };
    if (!difference.unknown.empty()) {
      refuse("unknown-tensors",
             std::to_string(difference.unknown.size()) +
                 " tensors with no place in it: " + listing(difference.unknown),
             "take them out first, they would be lost");
    }
    if (!difference.missing.empty()) {
      refuse("missing-tensors",
             std::to_string(difference.missing.size()) +
                 " tensors are not there: " + listing(difference.missing),
             "give the whole checkpoint");
    }
  }

  void expect_shapes(DitConfiguration const& c) const {
    for (DitName const& entry : names_.entries()) {
      if (entry.how == DitStorage::absent) {
        continue;  // a table of positions has the length that it has
      }
      std::vector<std::uint64_t> const expected = dit_shape(c, dialect_, entry);
      std::vector<std::string> const originals{entry.original};
      for (std::string const& stored :
           dialect_ == Dialect::dit_original ? originals : entry.diffusers) {
        TensorInfo const& info = checkpoint_.find(stored)->info;
        if (info.shape != expected) {
          throw FormatError({.code = "shape-mismatch",
                             .file = checkpoint_.path().string(),
                             .place = "tensor " + in_quotes(info.name),
                             .found = "shape " + shape_text(info.shape),
                             .expected = shape_text(expected) + ", as the other tensors say",
                             .advice = {}});
        }
      }
    }
  }

  void expect(bool condition, std::string_view original, std::string const& expected) const {
    if (!condition) {
      fail(original, expected);
    }
  }

  TensorRef const& tensor(std::string_view original) const {
    DitName const& entry = names_.entries()[names_.find_original(original)->entry];
    return *checkpoint_.find(dialect_ == Dialect::dit_original ? entry.original
                                                               : entry.diffusers.front());
  }

  /// Extents of a tensor of that rank; each below 2^24, so that products of two fit.
  std::vector<std::int64_t> shape(std::string_view original, std::size_t rank) const {
    constexpr std::uint64_t most = std::uint64_t{1} << 24;
    std::vector<std::int64_t> out;
    for (std::uint64_t const extent : tensor(original).info.shape) {
      if (extent >= most) {
        fail(original, "extents below " + std::to_string(most));
      }
      out.push_back(static_cast<std::int64_t>(extent));
    }
    if (out.size() != rank) {
      fail(original, std::to_string(rank) + " extents");
    }
    return out;
  }

  Checkpoint const& checkpoint_;
  Dialect dialect_;
  DitNames names_;
};

}  // namespace dashi::io::detail

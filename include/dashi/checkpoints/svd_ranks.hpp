// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_model.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace dashi::checkpoints::detail {

/// Looks at the tensors of a file that should hold a factorised DiT, and says what is wrong.
class FactorisedFile {
protected:
  explicit FactorisedFile(io::Checkpoint const& checkpoint) : checkpoint_(checkpoint) {}

  [[noreturn]] void fail(char const* code, std::string place, std::string found,
                         std::string expected, std::string advice = {}) const {
    throw FormatError({.code = code,
                       .file = checkpoint_.path().string(),
                       .place = std::move(place),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }
  [[noreturn]] void fail_shape(io::TensorInfo const& info, std::string expected) const {
    fail("shape-mismatch", "tensor " + io::in_quotes(info.name),
         "shape " + io::shape_text(info.shape), std::move(expected));
  }
  static std::string text(std::int64_t number) { return std::to_string(number); }

  io::TensorInfo const& tensor(std::string const& name, std::size_t rank) const {
    io::TensorRef const* const ref = checkpoint_.find(name);
    if (ref == nullptr) {
      fail("missing-tensors", "tensor " + io::in_quotes(name), "no such tensor",
           "what every factorised DiT has", "give the whole file");
    }
    if (ref->info.shape.size() != rank) {
      fail_shape(ref->info, text(static_cast<std::int64_t>(rank)) + " extents");
    }
    for (std::uint64_t const extent : ref->info.shape) {
      if (extent == 0 || extent >= (std::uint64_t{1} << 24)) {
        fail_shape(ref->info, "extents from 1 to 2^24 - 1");
      }
    }
    return ref->info;
  }
  std::int64_t extent(std::string const& name, std::size_t rank, std::size_t at) const {
    return static_cast<std::int64_t>(tensor(name, rank).shape[at]);
  }

  io::Checkpoint const& checkpoint_;
};

/// How many components a site has; the same in all blocks.
class FactorisedRanks : FactorisedFile {
public:
  FactorisedRanks(io::Checkpoint const& checkpoint, FactorisedModel const& model, std::size_t site)
      : FactorisedFile(checkpoint),
        layout_(model.layout),
        site_(site),
        depth_(model.configuration.depth),
        shape_(factorised_sites[site].shape(model.configuration.width,
                                            model.configuration.mlp_width)) {}

  FactorisedLayout::Ranks read() const {
    return layout_.method == SvdMethod::kind ? kind_ranks() : fine_ranks();
  }

private:
  /// Components that u, v and sigma of one place hold; 0 where none of the three is there.
  Index components(std::string const& u, std::string const& v, std::string const& sigma) const {
    if (checkpoint_.find(u) == nullptr && checkpoint_.find(v) == nullptr &&
        checkpoint_.find(sigma) == nullptr) {
      return 0;
    }
    for (std::string const& name : {u, v, sigma}) {
      if (checkpoint_.find(name) == nullptr) {
        fail("missing-factor", "tensor " + io::in_quotes(name), "no such tensor",
             "u, v and sigma, or none of the three", "give the whole file");
      }
    }
    io::TensorInfo const& left = tensor(u, 2);
    io::TensorInfo const& right = tensor(v, 2);
    io::TensorInfo const& values = tensor(sigma, 1);
    auto const rank = static_cast<std::int64_t>(left.shape[0]);
    auto const size = [](Index n) { return static_cast<std::uint64_t>(n); };
    if (left.shape[1] != size(shape_.out)) {
      fail_shape(left, "vectors of " + text(shape_.out) + ", the outputs of the map");
    }
    if (right.shape[1] != size(shape_.in)) {
      fail_shape(right, "vectors of " + text(shape_.in) + ", the inputs of the map");
    }
    if (right.shape[0] != left.shape[0]) {
      fail_shape(right, text(rank) + " components, as " + io::in_quotes(u) + " has");
    }
    if (values.shape[0] != left.shape[0]) {
      fail_shape(values,
                 text(rank) + " singular values, as " + io::in_quotes(u) + " has components");
    }
    return rank;
  }

  FactorisedLayout::Ranks kind_ranks() const {
    FactorisedLayout::Ranks first;
    for (std::int64_t b = 0; b < depth_; ++b) {
      FactorisedLayout::Ranks here;
      std::string const path = factor_path(site_, b);
      for (auto const& [part, rank] :
           {std::pair(".learngene", &here.learngene), std::pair(".tailors", &here.tailors)}) {
        std::string const at = path + part;
        *rank = components(at + ".u", at + ".v", at + ".sigma");
      }
      first = b == 0 ? here : first;
      std::string const place = "map " + io::in_quotes(path);
      if (here.learngene != first.learngene) {
        fail("learngene-size", place, "a learngene of " + text(here.learngene) + " components",
             text(first.learngene) + ", as in block 0");
      }
      if (here.tailors != first.tailors) {
        fail("tailors-size", place, text(here.tailors) + " tailors",
             text(first.tailors) + ", as in block 0");
      }
      if (here.tailors % layout_.groups != 0) {
        fail("tailors-size", place, text(here.tailors) + " tailors",
             "a multiple of the " + text(layout_.groups) + " groups");
      }
      if (here.total() == 0) {
        fail("missing-tensors", place, "neither a learngene nor tailors", "at least one component");
      }
    }
    return first;
  }

  FactorisedLayout::Ranks fine_ranks() const {
    std::string const shared = factor_path(site_, -1);
    Index rank = 0;
    for (std::int64_t b = 0; b < depth_; ++b) {
      rank = components(shared + ".u", shared + ".v", factor_path(site_, b) + ".sigma");
    }
    if (rank == 0) {
      fail("missing-tensors", "tensor " + io::in_quotes(shared + ".u"), "no such tensor",
           "the vectors that all blocks share");
    }
    return {rank, 0};
  }

  FactorisedLayout const& layout_;
  std::size_t site_;
  std::int64_t depth_;
  LinearShape shape_;
};

}  // namespace dashi::checkpoints::detail

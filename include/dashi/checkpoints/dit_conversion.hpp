// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_embedders.hpp>
#include <dashi/checkpoints/dit_positions.hpp>
#include <dashi/checkpoints/dit_record.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/read_dit.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/tensor_spec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Bytes of a tensor of the input.
struct DitSource {
  io::TensorRef const* ref = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
};

/// A tensor of the output: its sources one after the other, or, without any, the table of
/// positions.
struct DitTarget {
  io::TensorSpec spec;
  std::vector<DitSource> sources;
  std::uint64_t bytes = 0;
};

/// What a conversion between the names of DiT will do; made from headers.
struct DitConversion {
  io::Checkpoint const* checkpoint = nullptr;  ///< must outlive the plan
  io::DitModel model{};                        ///< the input's
  io::Dialect to = io::Dialect::dit_original;
  std::vector<DitTarget> tensors;    ///< by name
  std::uint64_t bytes_to_write = 0;  ///< of tensor data
  /// The model's; always there, since original names are on one side.
  std::optional<SincosPosition> positions{};

  std::vector<io::TensorSpec> specs() const {
    std::vector<io::TensorSpec> out;
    out.reserve(tensors.size());
    for (DitTarget const& tensor : tensors) {
      out.push_back(tensor.spec);
    }
    return out;
  }

  /// Fills `out` from byte `offset` of the `tensor`-th tensor of the output; both whole elements.
  /// Thread-safe.
  void read(std::size_t tensor, std::uint64_t offset, std::span<std::byte> out) const {
    DitTarget const& target = tensors[tensor];
    if (target.sources.empty()) {
      auto const width = static_cast<std::uint64_t>(io::bits(target.spec.dtype)) / 8;
      fill_positions(*positions, target.spec.dtype, offset / width, out);
      return;
    }
    for (DitSource const& source : target.sources) {
      if (offset >= source.bytes) {
        offset -= source.bytes;
        continue;
      }
      auto const count =
          static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), source.bytes - offset));
      checkpoint->read(*source.ref, source.begin + offset, out.first(count));
      out = out.subspan(count);
      offset = 0;
      if (out.empty()) {
        return;
      }
    }
  }
};

namespace detail {

class DitPlanner {
public:
  DitPlanner(DitConversion& plan, io::DitNames const& names) : plan_(plan), names_(names) {}

  void run() {
    for (io::DitName const& entry : names_.entries()) {
      if (plan_.to == io::Dialect::dit_diffusers) {
        add_diffusers(entry);
      } else {
        add_original(entry);
      }
    }
    std::sort(plan_.tensors.begin(), plan_.tensors.end(),
              [](DitTarget const& a, DitTarget const& b) { return a.spec.name < b.spec.name; });
  }

private:
  io::TensorRef const& find(std::string const& name) const { return *plan_.checkpoint->find(name); }

  void add_diffusers(io::DitName const& entry) {
    io::TensorRef const& ref = find(entry.original);
    std::uint64_t const parts = entry.how == io::DitStorage::row_thirds ? 3 : 1;
    auto const shape = dit_shape(plan_.model.configuration, io::Dialect::dit_diffusers, entry);
    for (std::size_t i = 0; i < entry.diffusers.size(); ++i) {
      std::uint64_t const bytes = ref.info.bytes() / parts;
      add({entry.diffusers[i], ref.info.dtype, shape}, {{&ref, parts == 3 ? i * bytes : 0, bytes}});
    }
  }

  void add_original(io::DitName const& entry) {
    std::vector<std::uint64_t> const shape = dit_shape(plan_.model.configuration, entry.original);
    if (entry.how == io::DitStorage::absent) {
      add({entry.original, position_dtype(), shape}, {});
      return;
    }
    io::TensorRef const& first = find(entry.diffusers.front());
    std::vector<DitSource> sources;
    std::size_t const parts = entry.how == io::DitStorage::row_thirds ? 3 : 1;
    for (std::size_t i = 0; i < parts; ++i) {
      io::TensorRef const& ref = find(entry.diffusers[i]);
      if (ref.info.dtype != first.info.dtype) {
        fail(ref, "dtype " + std::string(io::name(ref.info.dtype)),
             std::string(io::name(first.info.dtype)) + " as query, key and value become one tensor",
             "dashi convert --dtype makes them equal");
      }
      sources.push_back({&ref, 0, ref.info.bytes()});
    }
    add({entry.original, first.info.dtype, shape}, std::move(sources));
  }

  /// What the input's record says, if it came from original names; else that of the patches.
  io::Dtype position_dtype() const {
    io::TensorRef const& patch = find("pos_embed.proj.weight");
    io::Dtype const dtype = stated_position_dtype(*plan_.checkpoint).value_or(patch.info.dtype);
    if (!is_convertible(dtype)) {
      fail(patch, "dtype " + std::string(io::name(dtype)),
           "one of " + io::convertible_names() + ", in which the table of positions can be written",
           "convert the weights first");
    }
    return dtype;
  }

  void add(io::TensorSpec spec, std::vector<DitSource> sources) {
    std::uint64_t const bytes = io::tensor_bytes(spec, plan_.checkpoint->path().string());
    plan_.tensors.push_back({std::move(spec), std::move(sources), bytes});
    plan_.bytes_to_write += bytes;
  }

  [[noreturn]] void fail(io::TensorRef const& ref, std::string found, std::string expected,
                         std::string advice) const {
    throw FormatError({.code = "cannot-rename",
                       .file = plan_.checkpoint->path().string(),
                       .place = "tensor " + io::in_quotes(ref.info.name),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

  DitConversion& plan_;
  io::DitNames const& names_;
};

}  // namespace detail

/// `to` is the other one of the two dialects of DiT. Throws what io::read_dit() throws, and
/// FormatError for a checkpoint that has these names already, for one in diffusers names whose
/// image size nothing tells, for query, key and value of different dtypes, and for a ledger.
inline DitConversion plan_dit_conversion(io::Checkpoint const& checkpoint, io::Dialect to,
                                         io::DitHints const& hints = {}) {
  expect_no_ledger(checkpoint);
  DitConversion plan;
  plan.checkpoint = &checkpoint;
  plan.to = to;
  plan.model = io::read_dit(checkpoint, hints);
  if (plan.model.dialect == to) {
    throw FormatError({.code = "named-so-already",
                       .file = checkpoint.path().string(),
                       .place = {},
                       .found = std::string(io::name(to)),
                       .expected = "the other names of a DiT",
                       .advice = "use the file as it is"});
  }
  io::DitConfiguration const& c = plan.model.configuration;
  if (to == io::Dialect::dit_original) {
    io::expect_input(c, checkpoint);
  }
  plan.positions.emplace(c.input_height / c.patch, c.input_width / c.patch, c.width);
  detail::DitPlanner(plan, io::DitNames(c.depth)).run();
  return plan;
}

/// What the bytes of the input say before anything is written. FormatError when the conversion
/// would lose some: embedders that differ between blocks, or, unless `drop_positions`, a table of
/// positions other than the one that is computed. Returns how the table differs.
inline PositionDifference check_dit_conversion(DitConversion const& plan, bool drop_positions,
                                               StreamOptions const& options = {}) {
  io::Checkpoint const& checkpoint = *plan.checkpoint;
  if (plan.to == io::Dialect::dit_original) {
    expect_equal_embedders(checkpoint, io::DitNames(plan.model.configuration.depth), options);
    return {};
  }
  io::TensorRef const& stored = *checkpoint.find("pos_embed");
  auto const refuse = [&](std::string place, std::string found, std::string advice) {
    throw FormatError({.code = "positions-differ",
                       .file = checkpoint.path().string(),
                       .place = "tensor 'pos_embed'" + place,
                       .found = std::move(found),
                       .expected = "the sine and cosine table itself, bit for bit, since diffusers "
                                   "keeps none and computes it",
                       .advice = std::move(advice)});
  };
  if (!is_convertible(stored.info.dtype)) {
    refuse({}, "dtype " + std::string(io::name(stored.info.dtype)), {});
  }
  PositionDifference const difference =
      compare_positions(checkpoint, stored, *plan.positions, options);
  if (difference.count > 0 && !drop_positions) {
    refuse(" element " + std::to_string(difference.first),
           std::to_string(difference.count) + " of " + std::to_string(difference.entries) +
               " entries that differ, by up to " + io::detail::decimal_text(difference.largest),
           "--drop-positions leaves it out all the same (averaging in training moves it by some "
           "1e-7; more is a table that was learned)");
  }
  return difference;
}

}  // namespace dashi::checkpoints

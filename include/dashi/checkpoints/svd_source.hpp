// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_positions.hpp>
#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/read_numbers.hpp>
#include <dashi/checkpoints/svd_model.hpp>
#include <dashi/core/sincos_position.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::checkpoints {

/// Reads a dense DiT, in either dialect, as what a factorised one is made of.
class FactoriseSource {
public:
  FactoriseSource(io::Checkpoint const& checkpoint, io::DitModel const& model)
      : checkpoint_(checkpoint),
        model_(model),
        reader_(checkpoint, model),
        names_(model.configuration.depth) {}

  /// Fills `out`, [out, in] of the site, with the weight of its map in a block.
  void read_weight(std::size_t site, std::int64_t block, std::span<double> out) const {
    Index const third = factorised_sites[site].third;
    std::vector<io::TensorRef const*> const refs = stored(weight_name(site, block));
    bool const apart = refs.size() > 1;
    io::TensorRef const& ref = *refs[apart && third > 0 ? static_cast<std::size_t>(third) : 0];
    std::uint64_t const first =
        !apart && third > 0 ? static_cast<std::uint64_t>(third) * out.size() : 0;
    read_numbers(checkpoint_, ref, first, out);
  }

  /// F64 where any of the stored tensors is, else F32: what keeps the digits of a decomposition.
  io::Dtype factor_dtype(std::size_t site) const {
    for (std::int64_t b = 0; b < model_.configuration.depth; ++b) {
      for (io::TensorRef const* const ref : stored(weight_name(site, b))) {
        if (ref->info.dtype == io::Dtype::f64) {
          return io::Dtype::f64;
        }
      }
    }
    return io::Dtype::f32;
  }

  /// The numbers of a dense tensor by its name in a factorised file; a table of positions that the
  /// file lacks is computed.
  std::vector<double> read_dense(FactorisedTensor const& tensor) const {
    std::size_t count = 1;
    for (std::uint64_t const extent : tensor.shape) {
      count *= static_cast<std::size_t>(extent);
    }
    std::vector<double> values(count);
    if (lacks_positions(tensor.name)) {
      auto const& c = model_.configuration;
      fill_positions(SincosPosition(c.input_height / c.patch, c.input_width / c.patch, c.width),
                     io::Dtype::f64, 0, std::as_writable_bytes(std::span(values)));
    } else {
      reader_.read(DitParameterName(tensor.name), std::span<double>(values));
    }
    return values;
  }

  /// That of the stored tensor; F64, which holds all, where query, key and value differ.
  io::Dtype dense_dtype(FactorisedTensor const& tensor) const {
    if (lacks_positions(tensor.name)) {
      return io::Dtype::f32;
    }
    auto const refs = stored(DitParameterName(tensor.name).original);
    bool const equal = std::all_of(refs.begin(), refs.end(), [&](io::TensorRef const* ref) {
      return ref->info.dtype == refs.front()->info.dtype;
    });
    return equal ? refs.front()->info.dtype : io::Dtype::f64;
  }

private:
  static std::string weight_name(std::size_t site, std::int64_t block) {
    return "blocks." + std::to_string(block) + "." + std::string(factorised_sites[site].weight);
  }
  bool lacks_positions(std::string_view name) const {
    return name == "pos_embed" && model_.dialect == io::Dialect::dit_diffusers;
  }
  /// The tensors that hold one of the original's: itself, or its thirds.
  std::vector<io::TensorRef const*> stored(std::string const& original) const {
    io::DitName const& entry = names_.entries()[names_.find_original(original)->entry];
    if (model_.dialect == io::Dialect::dit_original) {
      return {checkpoint_.find(original)};
    }
    std::vector<io::TensorRef const*> refs;
    std::size_t const parts = entry.how == io::DitStorage::row_thirds ? 3 : 1;
    for (std::size_t part = 0; part < parts; ++part) {
      refs.push_back(checkpoint_.find(entry.diffusers[part]));
    }
    return refs;
  }

  io::Checkpoint const& checkpoint_;
  io::DitModel const& model_;
  detail::DitTensorReader reader_;
  io::DitNames names_;
};

}  // namespace dashi::checkpoints

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/read_numbers.hpp>
#include <dashi/core/parameter_list.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

/// Reads tensors of a DiT as numbers.
class DitTensorReader {
public:
  DitTensorReader(io::Checkpoint const& checkpoint, io::DitModel const& model)
      : checkpoint_(checkpoint), dialect_(model.dialect), names_(model.configuration.depth) {}

  /// Fills `to` with the tensor of that original name, of block `embedder`'s embedder where that is
  /// not negative.
  template <class T>
  void read(DitParameterName const& name, std::span<T> to) const {
    auto const* const place = names_.find_original(name.original);
    DASHI_EXPECTS(place != nullptr, "no tensor of a DiT is called '" + name.original + "'");
    if (dialect_ == io::Dialect::dit_original) {
      read_tensor(name.original, to);
      return;
    }
    io::DitName const& entry = names_.entries()[place->entry];
    if (entry.how == io::DitStorage::row_thirds) {
      std::size_t const third = to.size() / 3;
      for (std::size_t part = 0; part < 3; ++part) {
        read_tensor(entry.diffusers[part], to.subspan(part * third, third));
      }
      return;
    }
    auto const copy = entry.how == io::DitStorage::every_block && name.embedder > 0
                          ? static_cast<std::size_t>(name.embedder)
                          : std::size_t{0};
    read_tensor(entry.diffusers[copy], to);
  }

private:
  template <class T>
  void read_tensor(std::string const& name, std::span<T> to) const {
    io::TensorRef const* const ref = checkpoint_.find(name);
    DASHI_EXPECTS(ref != nullptr && ref->info.elements() == to.size(),
                  "tensor '" + name + "' was checked to be there in this size");
    read_numbers(checkpoint_, *ref, 0, to);
  }

  io::Checkpoint const& checkpoint_;
  io::Dialect dialect_;
  io::DitNames names_;
};

struct KeepValues {
  template <class T>
  void operator()(std::string const&, std::vector<Index> const&, std::span<T>) const {}
};

}  // namespace detail

/// Fills the parameters of a DiT backbone from a checkpoint in original or diffusers names, each
/// rounded once to what the backbone keeps. `list` is the net's, made for dit_config of the model;
/// adapters on it keep what they hold. A position table in the file is taken as it is; files in
/// diffusers names have none, and the regenerated one stays. edit(name, shape, values) may change
/// the numbers of a parameter before that. Fences. Throws FormatError for numbers that are not
/// finite or of a type that is not converted.
template <Precision P, ExecutionSpace Exec, class Edit = detail::KeepValues>
void load_dit(io::Checkpoint const& checkpoint, io::DitModel const& model,
              ParameterList<P, Exec> const& list, Edit const& edit = {}) {
  using Number = std::conditional_t<std::is_same_v<typename P::master, double>, double, float>;
  detail::DitTensorReader const reader(checkpoint, model);
  for (auto const& entry : list) {
    bool const added = entry.kind == ParameterKind::adapter || entry.kind == ParameterKind::scale ||
                       entry.kind == ParameterKind::shared;
    if (added || (entry.name == "pos_embed" && model.dialect == io::Dialect::dit_diffusers)) {
      continue;
    }
    std::vector<Number> values(static_cast<std::size_t>(entry.parameter.size()));
    reader.read(DitParameterName(entry.name), std::span<Number>(values));
    edit(entry.name, entry.shape, std::span<Number>(values));
    entry.parameter.write(std::span<Number const>(values));
  }
}

}  // namespace dashi::checkpoints

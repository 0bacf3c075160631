// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/factorised_dit.hpp>
#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/svd_write.hpp>
#include <dashi/core/parameter_list.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Fills the parameters of a FactorisedDit, made for the configuration and layout of `model`, from
/// its file, each rounded once to what the net keeps. Gates follow from the layout. Fences. Throws
/// FormatError for numbers that are not finite.
template <Precision P, ExecutionSpace Exec>
void load_factorised(io::Checkpoint const& checkpoint, ParameterList<P, Exec> const& list) {
  using Number = std::conditional_t<std::is_same_v<typename P::master, double>, double, float>;
  for (auto const& entry : list) {
    if (entry.name.ends_with(".gates")) {
      continue;
    }
    io::TensorRef const* const ref = checkpoint.find(entry.name);
    DASHI_EXPECTS(ref != nullptr, "tensor '" + entry.name + "' was checked to be there");
    std::vector<Number> values(static_cast<std::size_t>(entry.parameter.size()));
    read_numbers(checkpoint, *ref, 0, std::span<Number>(values));
    entry.parameter.write(std::span<Number const>(values));
  }
}

/// Writes a FactorisedDit as a file of its own form. `read` gives the numbers of an entry of the
/// list, for instance a moving average; empty: the parameters' masters. Throws IoError.
template <Precision P, ExecutionSpace Exec>
std::filesystem::path save_factorised(
    std::filesystem::path const& path, FactorisedModel const& model,
    ParameterList<P, Exec> const& list, std::map<std::string, std::string> metadata,
    io::CheckpointOutput const& output = {}, io::Dtype dtype = io::Dtype::f32,
    std::function<void(std::size_t entry, std::span<float>)> const& read = {}) {
  std::vector<io::TensorSpec> specs;
  std::vector<std::size_t> entries;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].name.ends_with(".gates")) {
      specs.push_back({list[i].name, dtype, {list[i].shape.begin(), list[i].shape.end()}});
      entries.push_back(i);
    }
  }
  append_factorised_metadata(metadata, model);
  io::CheckpointWriter writer(path, specs, metadata, output);
  for (std::size_t t = 0; t < specs.size(); ++t) {
    auto const& parameter = list[entries[t]].parameter;
    std::vector<double> values(static_cast<std::size_t>(parameter.size()));
    if (read) {
      std::vector<float> single(values.size());
      read(entries[t], std::span<float>(single));
      values.assign(single.begin(), single.end());
    } else {
      parameter.read(std::span<double>(values));
    }
    write_numbers(writer, t, specs[t], values);
  }
  writer.commit();
  return writer.path();
}

}  // namespace dashi::checkpoints

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/safetensors_writer.hpp>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "input_scale.hpp"

template <class P, class Exec>
std::vector<float> values_of(dashi::Parameter<P, Exec> const& parameter) {
  std::vector<float> values(static_cast<std::size_t>(parameter.size()));
  parameter.read(std::span(values));
  return values;
}

/// What is trained, under its own names: the file of the adapter.
template <class P, class Exec>
void save(dashi::ParameterList<P, Exec> const& list, std::filesystem::path const& file) {
  std::vector<dashi::io::TensorSpec> specs;
  std::vector<std::vector<float>> values;
  for (auto const& entry : list) {
    if (entry.kind == dashi::ParameterKind::scale) {
      specs.push_back(
          {entry.name, dashi::io::Dtype::f32, {entry.shape.begin(), entry.shape.end()}});
      values.push_back(values_of(entry.parameter));
    }
  }
  dashi::io::SafetensorsLayout layout(specs);
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    places.push_back(layout.position(i));
  }
  dashi::io::SafetensorsWriter writer(file, std::move(layout), {.force = true});
  for (std::size_t i = 0; i < specs.size(); ++i) {
    writer.write(places[i], 0, std::as_bytes(std::span(values[i])));
  }
  writer.commit();
}

/// Puts the scales of a file into a net that has them, and into the weights of one that has not.
template <class P, class Exec>
void fuse(dashi::Context<Exec>& ctx, dashi::io::SafetensorsFile const& file,
          dashi::ParameterList<P, Exec> const& adapted,
          dashi::ParameterList<P, Exec> const& plain) {
  for (auto const& tensor : file.header().tensors) {
    std::vector<float> scale(tensor.elements());
    file.read(tensor, 0, std::as_writable_bytes(std::span(scale)));
    adapted.find(tensor.name)->parameter.write(std::span<float const>(scale));
    std::string const map = tensor.name.substr(0, tensor.name.rfind('.'));
    auto const weight = plain.find(map + ".weight")->parameter;
    dashi::NothingShared<P, Exec> nothing;
    InputScaleLayer<P, Exec> const layer(ctx, {weight.rows(), weight.cols()}, {}, nothing);
    dashi::ParameterList<P, Exec> own;
    layer.parameters(own);
    own[0].parameter.write(std::span<float const>(scale));
    layer.materialise(ctx, {}, weight.matrix(), plain.find(map + ".bias")->parameter.vector());
    ctx.fence();
  }
}

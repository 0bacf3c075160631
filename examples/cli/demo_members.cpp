// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "demo_members.hpp"

#include "failure.hpp"

#include <dashi/core/float_convert.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/io/dialects/detect.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace cli {

namespace {

namespace io = dashi::io;
using Shape = std::vector<std::uint64_t>;

std::vector<io::TensorSpec> small_dit() {
  constexpr std::uint64_t width = 384, patch = 2, channels = 4, tokens = 256, classes = 1000;
  std::vector<io::TensorSpec> out;
  auto const add = [&](std::string const& name, Shape shape) {
    out.push_back({name, io::Dtype::bf16, std::move(shape)});
  };
  auto const linear = [&](std::string const& name, std::uint64_t rows, std::uint64_t columns) {
    add(name + ".weight", {rows, columns});
    add(name + ".bias", {rows});
  };
  add("pos_embed", {1, tokens, width});
  add("x_embedder.proj.weight", {width, channels, patch, patch});
  add("x_embedder.proj.bias", {width});
  linear("t_embedder.mlp.0", width, 256);
  linear("t_embedder.mlp.2", width, width);
  add("y_embedder.embedding_table.weight", {classes + 1, width});
  for (int d = 0; d < 6; ++d) {
    std::string const block = "blocks." + std::to_string(d) + ".";
    linear(block + "attn.qkv", 3 * width, width);
    linear(block + "attn.proj", width, width);
    linear(block + "mlp.fc1", 4 * width, width);
    linear(block + "mlp.fc2", width, 4 * width);
    linear(block + "adaLN_modulation.1", 6 * width, width);
  }
  linear("final_layer.adaLN_modulation.1", 2 * width, width);
  linear("final_layer.linear", patch * patch * channels * 2, width);
  return out;
}

enum Purpose : std::uint16_t { base_weights = 1, fine_tuning = 2 };

/// Equal for checkpoints with the same tensor names, dtypes and shapes.
std::string form_of(io::SafetensorsHeader const& header) {
  std::string out;
  for (std::uint32_t const i : header.by_name) {
    io::TensorInfo const& tensor = header.tensors[i];
    out += std::to_string(tensor.name.size()) + " " + tensor.name + " " +
           std::string(io::name(tensor.dtype)) + io::shape_text(tensor.shape) + "\n";
  }
  return out;
}

}  // namespace

std::vector<std::filesystem::path> make_members(std::filesystem::path const& folder, int count,
                                                std::uint64_t seed, int threads,
                                                dashi::io::Progress& progress) {
  std::vector<io::TensorSpec> const specs = small_dit();
  std::vector<std::filesystem::path> paths;
  std::vector<std::unique_ptr<io::SafetensorsWriter>> writers;
  for (int k = 0; k < count; ++k) {
    paths.push_back(folder / ("member_" + std::to_string(k + 1) + ".safetensors"));
    io::OutputOptions options;
    options.force = true;
    writers.push_back(std::make_unique<io::SafetensorsWriter>(
        paths.back(), io::SafetensorsLayout(specs, {{"format", "pt"}}), std::move(options)));
  }
  std::uint64_t total = 0;
  for (io::TensorSpec const& spec : specs) {
    total += io::tensor_bytes(spec) * static_cast<std::uint64_t>(count);
  }
  progress.start(total);
  dashi::merging::run_chunks(specs.size(), threads, [&](int, std::uint64_t t) {
    std::size_t const size = io::tensor_bytes(specs[t]) / sizeof(dashi::BFloat16);
    dashi::Philox const base(seed, {base_weights, t, 0});
    std::vector<float> common(size);
    for (std::size_t i = 0; i < size; ++i) {
      common[i] = 0.02F * base.normal<float>(i);
    }
    std::vector<dashi::BFloat16> values(size);
    for (int k = 0; k < count; ++k) {
      dashi::Philox const change(seed, {fine_tuning, t, static_cast<std::uint32_t>(k)});
      for (std::size_t i = 0; i < size; ++i) {
        values[i] = dashi::convert<dashi::BFloat16>(common[i] + 0.002F * change.normal<float>(i));
      }
      io::SafetensorsWriter& writer = *writers[static_cast<std::size_t>(k)];
      writer.write(writer.layout().position(t), 0, std::as_bytes(std::span(values)));
      progress.advance(size * sizeof(dashi::BFloat16));
    }
  });
  for (auto const& writer : writers) {
    writer->commit();
  }
  return paths;
}

FoundMembers find_members(std::filesystem::path const& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") {
      paths.push_back(entry.path());
    }
  }
  if (error) {
    throw dashi::IoError(dashi::IoStage::input, error.value(),
                         {.code = "cannot-open",
                          .file = folder.string(),
                          .place = {},
                          .found = "cannot list the folder",
                          .expected = {},
                          .advice = "give a folder of checkpoints"});
  }
  std::sort(paths.begin(), paths.end());
  std::map<std::string, std::vector<std::filesystem::path>> alike;
  std::string largest;
  for (std::filesystem::path const& path : paths) {
    io::SafetensorsFile const file(path);
    if (file.header().metadata.contains(std::string(io::ledger_metadata_key))) {
      continue;
    }
    std::string const form = form_of(file.header());
    std::vector<std::filesystem::path>& group = alike[form];
    group.push_back(path);
    if (largest.empty() || group.size() > alike[largest].size()) {
      largest = form;
    }
  }
  FoundMembers found{alike[largest], {}};
  if (found.members.size() < 3) {
    usage_error(
        "too-few-members",
        std::to_string(found.members.size()) + " checkpoints of one model in " + folder.string(),
        "at least 3", "give a folder of fine-tuned checkpoints");
  }
  for (auto const& [form, group] : alike) {
    if (form != largest) {
      found.others.insert(found.others.end(), group.begin(), group.end());
    }
  }
  std::sort(found.others.begin(), found.others.end());
  return found;
}

}  // namespace cli

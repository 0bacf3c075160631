// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/svd_factorise.hpp>
#include <dashi/checkpoints/svd_recombine.hpp>
#include <dashi/checkpoints/svd_transfer.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/digest.hpp>

#include <dit_files.hpp>
#include <merge_files.hpp>

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace dashi::test {

/// A DiT of normal numbers, in F32, under original names.
inline std::vector<FileTensor> drawn_dit(io::DitConfiguration const& c, unsigned seed,
                                         float scale = 0.3F) {
  auto tensors = original_dit(c, io::Dtype::f32, seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  for (FileTensor& tensor : tensors) {
    if (tensor.name != "pos_embed") {
      std::vector<float> values(element_count(tensor.shape));
      for (float& value : values) {
        value = normal(random);
      }
      tensor.bytes = file_tensor(tensor.name, tensor.dtype, tensor.shape, values).bytes;
    }
  }
  return tensors;
}

inline std::map<std::string, std::string> dit_metadata_of(io::DitConfiguration const& c) {
  std::map<std::string, std::string> metadata;
  io::append_dit_metadata(metadata, c, io::DitVariant::original());
  return metadata;
}

/// Files of a factorised model in a folder of its own.
class SvdFiles {
public:
  std::filesystem::path path(std::string const& name) const { return folder_.path() / name; }

  /// Writes a dense DiT and factorises it.
  checkpoints::FactoriseResult factorise(std::vector<FileTensor> const& tensors,
                                         io::DitConfiguration const& c,
                                         checkpoints::FactoriseOptions const& options,
                                         std::string const& to = "factorised.safetensors") {
    (void)write_member(path("dense.safetensors"), tensors, "1", dit_metadata_of(c));
    io::Checkpoint const checkpoint(path("dense.safetensors"));
    io::DitModel const model = checkpoints::read_dit_model(checkpoint);
    return checkpoints::factorise(ctx_, checkpoints::plan_factorise(checkpoint, model, options),
                                  checkpoint.metadata(), path(to), forced());
  }
  checkpoints::SvdResult recombine(checkpoints::RecombineOptions const& options,
                                   std::string const& from = "factorised.safetensors",
                                   std::string const& to = "recombined.safetensors") {
    io::Checkpoint const checkpoint(path(from));
    return checkpoints::recombine(
        ctx_, checkpoint,
        checkpoints::plan_recombine(checkpoints::read_factorised(checkpoint), options),
        checkpoint.metadata(), path(to), forced());
  }
  checkpoints::SvdResult transfer(checkpoints::TransferOptions const& options,
                                  std::string const& from = "factorised.safetensors",
                                  std::string const& to = "transferred.safetensors") {
    io::Checkpoint const checkpoint(path(from));
    return checkpoints::transfer(
        checkpoint, checkpoints::plan_transfer(checkpoints::read_factorised(checkpoint), options),
        checkpoint.metadata(), path(to), forced());
  }

  static io::CheckpointOutput forced() {
    io::CheckpointOutput output;
    output.file.force = true;
    return output;
  }

private:
  merging::PrivateFolder folder_{std::filesystem::temp_directory_path()};
  Context<Kokkos::DefaultHostExecutionSpace> ctx_;
};

/// The largest absolute difference of two F32 tensors.
inline double largest_difference(io::Checkpoint const& a, io::Checkpoint const& b,
                                 std::string const& name) {
  auto const x = read_values<float>(a, name);
  auto const y = read_values<float>(b, name);
  double largest = x.size() == y.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < x.size() && largest < HUGE_VAL; ++i) {
    largest = std::fmax(largest, std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  }
  return largest;
}

}  // namespace dashi::test

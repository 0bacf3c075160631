// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/io/tensor_spec.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Where a published file is not what its soup publishes.
struct SoupDifference {
  std::string place;  ///< "tensor 'a.weight' element 7", "metadata", "header"
  std::string found;
  std::string expected;
};

/// Compares what a pass would write with a file that is there. Holds one part at a time.
class CompareSink final : public TensorSink {
public:
  /// `specs`: the tensors in the order of the pass.
  CompareSink(std::filesystem::path const& published, std::vector<io::TensorSpec> specs,
              std::map<std::string, std::string> const& metadata, io::ReadOptions const& options)
      : checkpoint_(published, options), specs_(std::move(specs)) {
    compare_headers(metadata);
  }

  /// Whether the headers agree, so that a pass makes sense.
  bool comparable() const noexcept { return !header_difference_; }

  void write(std::size_t tensor, std::uint64_t byte_offset,
             std::span<std::byte const> bytes) override {
    thread_local std::vector<std::byte> found;
    found.resize(bytes.size());
    checkpoint_.read(*refs_[tensor], byte_offset, found);
    auto const [a, b] = std::mismatch(bytes.begin(), bytes.end(), found.begin());
    if (a == bytes.end()) {
      return;
    }
    std::uint64_t const at = byte_offset + static_cast<std::uint64_t>(a - bytes.begin());
    auto const width =
        std::max<std::uint64_t>(1, static_cast<std::uint64_t>(io::bits(specs_[tensor].dtype)) / 8);
    auto const first = static_cast<std::size_t>(at / width * width - byte_offset);
    auto const value = [&](std::span<std::byte const> from) {
      std::vector<std::byte> word(from.begin() + static_cast<std::ptrdiff_t>(first),
                                  from.begin() + static_cast<std::ptrdiff_t>(first + width));
      std::reverse(word.begin(), word.end());
      return "bits 0x" + io::hex(word);
    };
    std::scoped_lock const lock(mutex_);
    auto const key = std::pair(specs_[tensor].name, at);
    if (!first_ || key < *first_) {
      first_ = key;
      difference_ = {
          "tensor " + io::in_quotes(specs_[tensor].name) + " element " + std::to_string(at / width),
          value(found), value(bytes)};
    }
  }

  /// The first difference by tensor name and element; nothing when the file is the same, byte for
  /// byte.
  std::optional<SoupDifference> difference() const {
    return header_difference_ ? header_difference_ : difference_;
  }
  io::Checkpoint const& checkpoint() const noexcept { return checkpoint_; }

private:
  void compare_headers(std::map<std::string, std::string> const& metadata) {
    for (io::TensorSpec const& spec : specs_) {
      io::TensorRef const* const ref = checkpoint_.find(spec.name);
      std::string const expected =
          std::string(io::name(spec.dtype)) + " " + io::shape_text(spec.shape);
      if (ref == nullptr || ref->info.dtype != spec.dtype || ref->info.shape != spec.shape) {
        header_difference_ = {"tensor " + io::in_quotes(spec.name),
                              ref == nullptr ? "nothing"
                                             : std::string(io::name(ref->info.dtype)) + " " +
                                                   io::shape_text(ref->info.shape),
                              expected};
        return;
      }
      refs_.push_back(ref);
    }
    if (checkpoint_.tensors().size() != specs_.size()) {
      header_difference_ = {"header", std::to_string(checkpoint_.tensors().size()) + " tensors",
                            std::to_string(specs_.size())};
      return;
    }
    for (auto const& [key, value] : metadata) {
      auto const at = checkpoint_.metadata().find(key);
      if (at == checkpoint_.metadata().end() || at->second != value) {
        header_difference_ = {"metadata " + io::in_quotes(key),
                              at == checkpoint_.metadata().end() ? "nothing" : at->second, value};
        return;
      }
    }
    if (checkpoint_.is_sharded()) {
      return;  // the same tensors and metadata, cut into files
    }
    io::SafetensorsLayout const layout(specs_, metadata);
    io::InputFile const& file = checkpoint_.files().front().file();
    std::vector<std::byte> found(
        static_cast<std::size_t>(std::min<std::uint64_t>(layout.header().size(), file.size())));
    file.read_exact(0, found);
    if (file.size() != layout.file_size() ||
        !std::equal(found.begin(), found.end(), layout.header().begin(), layout.header().end())) {
      header_difference_ = {"header", "the same tensors written in another way",
                            "the bytes that dashi soup publish writes"};
    }
  }

  io::Checkpoint checkpoint_;
  std::vector<io::TensorSpec> specs_;
  std::vector<io::TensorRef const*> refs_;
  std::optional<SoupDifference> header_difference_;
  std::mutex mutex_;
  std::optional<std::pair<std::string, std::uint64_t>> first_;
  std::optional<SoupDifference> difference_;
};

}  // namespace dashi::merging

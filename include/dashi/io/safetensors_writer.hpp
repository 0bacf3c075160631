// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/byte_coverage.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>

namespace dashi::io {

/// Writes one safetensors file by the protocol of OutputFile: the header at once, tensor data in
/// any order from any threads, each byte exactly once. What is written depends on the layout and
/// the data alone. Throws IoError, and PreconditionError for a byte written twice or never.
class SafetensorsWriter {
public:
  SafetensorsWriter(std::filesystem::path const& path, SafetensorsLayout layout,
                    OutputOptions options = {})
      : layout_(std::move(layout)),
        output_(path, std::move(options), layout_.file_size()),
        written_(layout_.data_bytes()) {
    output_.write_at(0, layout_.header());
  }

  SafetensorsLayout const& layout() const noexcept { return layout_; }
  std::filesystem::path const& path() const noexcept { return output_.path(); }

  /// Writes bytes of layout().tensors()[tensor], beginning at `byte_offset` of the tensor.
  /// Thread-safe.
  void write(std::size_t tensor, std::uint64_t byte_offset, std::span<std::byte const> bytes) {
    DASHI_EXPECTS(tensor < layout_.tensors().size(), "no such tensor");
    TensorInfo const& info = layout_.tensors()[tensor];
    DASHI_EXPECTS(byte_offset <= info.bytes() && bytes.size() <= info.bytes() - byte_offset,
                  "write beyond the end of tensor " + in_quotes(info.name));
    std::uint64_t const begin = info.begin + byte_offset;
    DASHI_EXPECTS(written_.add(begin, begin + bytes.size()),
                  "a byte of tensor " + in_quotes(info.name) + " is written twice");
    output_.write_at(layout_.data_begin() + begin, bytes);
  }

  /// Writes the header again with other metadata of the same length.
  void replace_metadata(std::map<std::string, std::string> metadata) {
    layout_.replace_metadata(std::move(metadata), path().string());
    output_.write_at(0, layout_.header());
  }

  /// Requires that every byte was written, then makes the file durable and visible.
  void commit() {
    expect_complete();
    output_.commit(layout_.header());
  }

  /// The steps of commit() for sets of files; see OutputFile.
  void prepare() {
    expect_complete();
    output_.prepare(layout_.header());
  }
  OutputFile& output() noexcept { return output_; }

private:
  void expect_complete() const {
    std::uint64_t const gap = written_.first_gap();
    auto const missing = std::find_if(layout_.tensors().begin(), layout_.tensors().end(),
                                      [&](TensorInfo const& tensor) { return tensor.end > gap; });
    DASHI_EXPECTS(missing == layout_.tensors().end(), "tensor " + in_quotes(missing->name) +
                                                          " was not written from byte " +
                                                          std::to_string(gap - missing->begin));
  }

  SafetensorsLayout layout_;
  OutputFile output_;
  ByteCoverage written_;
};

}  // namespace dashi::io

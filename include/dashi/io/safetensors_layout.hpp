// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/tensor_info.hpp>
#include <dashi/io/tensor_spec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// The header of a safetensors file and where each tensor's bytes go: a pure function of the set of
/// tensors and the metadata, whatever order they come in.
///
/// Tensors lie by descending element width, then by the bytes of their names, so that every tensor
/// is aligned to its element; metadata keys are sorted and `__metadata__` is left out when there
/// are none; the header is padded with spaces so that the data begin at a multiple of 4096.
class SafetensorsLayout {
public:
  static constexpr std::uint64_t alignment = 4096;

  /// Throws FormatError, with `file` as its file, for a tensor that cannot be written
  /// (tensor_bytes()), two tensors of one name, metadata that is not UTF-8, a header above 100 MB,
  /// data above 2^48 bytes.
  explicit SafetensorsLayout(std::vector<TensorSpec> specs,
                             std::map<std::string, std::string> metadata = {},
                             std::string_view file = {})
      : metadata_(std::move(metadata)) {
    place(std::move(specs), file);
    write_header(file);
  }

  std::vector<TensorInfo> const& tensors() const noexcept { return tensors_; }  ///< as in the file
  std::map<std::string, std::string> const& metadata() const noexcept { return metadata_; }

  /// Index into tensors() of the spec that was the i-th of the constructor's.
  std::size_t position(std::size_t i) const {
    DASHI_EXPECTS(i < positions_.size(), "no such tensor");
    return positions_[i];
  }
  /// Index into tensors() of the tensor of that name.
  std::optional<std::size_t> find(std::string_view name) const {
    auto const at = std::lower_bound(
        by_name_.begin(), by_name_.end(), name,
        [&](std::size_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
    if (at == by_name_.end() || tensors_[*at].name != name) {
      return std::nullopt;
    }
    return *at;
  }

  /// Other metadata of the same length: no tensor moves. For values that are known after the data,
  /// such as digests.
  void replace_metadata(std::map<std::string, std::string> metadata, std::string_view file = {}) {
    std::uint64_t const size = data_begin();
    metadata_ = std::move(metadata);
    write_header(file);
    DASHI_EXPECTS(data_begin() == size, "the header must keep its size");
  }

  /// The file's first data_begin() bytes: eight of length, then the JSON text and its padding.
  std::span<std::byte const> header() const noexcept { return std::as_bytes(std::span(header_)); }
  std::uint64_t data_begin() const noexcept { return header_.size(); }
  std::uint64_t data_bytes() const noexcept { return tensors_.empty() ? 0 : tensors_.back().end; }
  std::uint64_t file_size() const noexcept { return data_begin() + data_bytes(); }

private:
  void place(std::vector<TensorSpec> specs, std::string_view file) {
    std::vector<std::size_t> order(specs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      int const width = bits(specs[a].dtype) - bits(specs[b].dtype);
      return width != 0 ? width > 0 : specs[a].name < specs[b].name;
    });
    positions_.resize(specs.size());
    tensors_.reserve(specs.size());
    std::uint64_t end = 0;
    for (std::size_t const i : order) {
      TensorSpec& spec = specs[i];
      std::uint64_t const begin = end;
      end += tensor_bytes(spec, file);  // no overflow: both are at most 2^48
      if (end > largest_number) {
        detail::refuse_tensor(file, spec.name, "more than 2^48 bytes of data up to here",
                              "at most 2^48 bytes in a file", "write shards");
      }
      positions_[i] = tensors_.size();
      tensors_.push_back({.name = std::move(spec.name),
                          .dtype = spec.dtype,
                          .shape = std::move(spec.shape),
                          .begin = begin,
                          .end = end});
    }
    by_name_.resize(tensors_.size());
    std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
    for (std::size_t i = 1; i < by_name_.size(); ++i) {
      std::string const& name = tensors_[by_name_[i]].name;
      if (name == tensors_[by_name_[i - 1]].name) {
        detail::refuse_tensor(file, name, "the name is used twice", "each name once",
                              "rename one of the two");
      }
    }
  }

  void write_header(std::string_view file) {
    std::string& text = header_;
    text.assign(8, '\0');
    text += '{';
    auto const separate = [&](char opening) {
      if (text.back() != opening) {
        text += ',';
      }
    };
    if (!metadata_.empty()) {
      text += "\"__metadata__\":{";
      for (auto const& [key, value] : metadata_) {
        expect_utf8(key, file);
        expect_utf8(value, file);
        separate('{');
        append_quoted(text, key);
        text += ':';
        append_quoted(text, value);
      }
      text += '}';
    }
    for (TensorInfo const& tensor : tensors_) {
      separate('{');
      append_quoted(text, tensor.name);
      text += ":{\"dtype\":\"";
      text += name(tensor.dtype);
      text += "\",\"shape\":[";
      for (std::uint64_t const extent : tensor.shape) {
        separate('[');
        text += std::to_string(extent);
      }
      text += "],\"data_offsets\":[" + std::to_string(tensor.begin) + ',' +
              std::to_string(tensor.end) + "]}";
    }
    text += '}';
    text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
    std::uint64_t length = text.size() - 8;
    if (length > largest_header_bytes) {
      throw FormatError({.code = "header-too-large",
                         .file = std::string(file),
                         .place = "header",
                         .found = std::to_string(length) + " bytes for " +
                                  std::to_string(tensors_.size()) + " tensors",
                         .expected = "at most " + std::to_string(largest_header_bytes) +
                                     " bytes, the format's limit",
                         .advice = "write shards"});
    }
    for (std::size_t i = 0; i < 8; ++i, length >>= 8) {
      text[i] = static_cast<char>(length & 0xffU);
    }
  }

  static void expect_utf8(std::string const& text, std::string_view file) {
    if (first_invalid_utf8(text) != std::string_view::npos) {
      throw FormatError({.code = "invalid-utf8",
                         .file = std::string(file),
                         .place = "metadata",
                         .found = in_quotes(text) + " is not UTF-8",
                         .expected = "UTF-8 text",
                         .advice = "remove or convert it"});
    }
  }

  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::size_t> positions_;  ///< of the constructor's specs in tensors_
  std::vector<std::size_t> by_name_;    ///< indices of tensors_
  std::string header_;
};

}  // namespace dashi::io

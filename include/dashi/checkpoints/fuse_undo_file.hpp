// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_bits.hpp>
#include <dashi/checkpoints/fuse_undo_record.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/safetensors_parser.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// One file of a base as an undo file keeps it: everything but the tensors' bytes.
struct UndoneFile {
  std::string name;
  std::vector<std::byte> prefix;  ///< its first bytes, up to the tensor data
  io::SafetensorsHeader header;

  std::uint64_t size() const noexcept { return prefix.size() + header.data_bytes(); }
};

/// An undo file, opened: FuseUndoWriter has the form. Throws IoError; FormatError for a file that
/// is none or is damaged. Reads are thread-safe.
class FuseUndoFile {
public:
  explicit FuseUndoFile(std::filesystem::path const& path) : file_(path) {
    auto const& metadata = file_.header().metadata;
    auto const record = metadata.find(undo_key);
    if (record == metadata.end()) {
      fail("metadata", "no 'dashi.undo'", "a file that dashi fuse --undo wrote");
    }
    record_ = parse_undo(record->second, path.string());
    for (std::size_t f = 0; f < record_.files.size(); ++f) {
      UndoneFile& undone = files_.emplace_back();
      undone.name = record_.files[f];
      undone.prefix = whole("header." + std::to_string(f));
      undone.header = io::parse_safetensors_header(undone.name, undone.prefix,
                                                   undone.prefix.size() + record_.data_bytes[f]);
    }
    if (!record_.index.empty()) {
      index_ = whole("index");
    }
  }

  FuseUndoRecord const& record() const noexcept { return record_; }
  std::vector<UndoneFile> const& files() const noexcept { return files_; }
  std::vector<std::byte> const& index() const noexcept { return index_; }
  io::InputFile const& file() const noexcept { return file_.file(); }

  /// Whether the tensor changed.
  bool changed(std::string const& tensor) const {
    return file_.header().find("bits." + tensor) != nullptr;
  }
  std::size_t changed_count() const {
    std::size_t count = 0;
    for (io::TensorInfo const& info : file_.header().tensors) {
      count += info.name.starts_with("bits.") ? 1U : 0U;
    }
    return count;
  }

  /// Where the pieces of a changed tensor lie, and the end; FormatError when there are not
  /// `pieces`.
  std::vector<std::uint64_t> places(std::string const& tensor, std::size_t pieces) const {
    io::TensorInfo const& info = *file_.header().find("bits." + tensor);
    std::vector<std::uint64_t> out{4 * pieces};
    if (info.bytes() < out.front()) {
      fail(info.name, "too few bytes", "a size for each piece");
    }
    std::vector<std::byte> table(4 * pieces);
    file_.read(info, 0, table);
    for (std::size_t p = 0; p < pieces; ++p) {
      std::uint64_t size = 0;
      for (std::size_t b = 0; b < 4; ++b) {
        size |= std::to_integer<std::uint64_t>(table[4 * p + b]) << (8 * b);
      }
      out.push_back(out.back() + size);
    }
    if (out.back() != info.bytes()) {
      fail(info.name, std::to_string(info.bytes()) + " bytes",
           std::to_string(out.back()) + " by its sizes");
    }
    return out;
  }

  /// Turns bytes of a fused tensor, elements of `width` bytes, into those of the base.
  void undo(std::string const& tensor, std::uint64_t begin, std::uint64_t end, std::size_t width,
            std::vector<std::byte>& buffer, std::span<std::byte> bytes) const {
    io::TensorInfo const& info = *file_.header().find("bits." + tensor);
    buffer.resize(static_cast<std::size_t>(end - begin));
    file_.read(info, begin, buffer);
    if (!unpack_changed_bits(width, buffer, bytes)) {
      fail(info.name, "bits that do not fit their elements", "what dashi fuse --undo wrote");
    }
  }

private:
  [[noreturn]] void fail(std::string const& place, std::string found, std::string expected) const {
    throw FormatError({.code = "bad-undo",
                       .file = file_.file().path().string(),
                       .place = place == "metadata" ? place : "tensor " + io::in_quotes(place),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = "give the undo file of this fusion"});
  }

  std::vector<std::byte> whole(std::string const& name) const {
    io::TensorInfo const* const info = file_.header().find(name);
    if (info == nullptr) {
      fail(name, "no such tensor", "it");
    }
    std::vector<std::byte> out(static_cast<std::size_t>(info->bytes()));
    file_.read(*info, 0, out);
    return out;
  }

  io::SafetensorsFile file_;
  FuseUndoRecord record_;
  std::vector<UndoneFile> files_;
  std::vector<std::byte> index_;
};

}  // namespace dashi::checkpoints

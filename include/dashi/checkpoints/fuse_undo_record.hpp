// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_metadata.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/shard_name.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// What an undo file says of the fusion that it undoes; its metadata `dashi.undo`.
///
///     {"adapters":[{"digest":"…","name":"a.safetensors","strength":"1"}],"base":"xxh3-128:…",
///      "bytes":[4096],"files":["base.safetensors"],"fused":"xxh3-128:…","index":"","version":"1"}
struct FuseUndoRecord {
  struct Adapter {
    std::string name;
    std::string digest;
    std::string strength;
  };

  std::string base;                ///< io::checkpoint_digest by XXH3
  std::string fused;               ///< the same of the result
  std::vector<std::string> files;  ///< of the base: names without folder, as it numbers its files
  std::vector<std::uint64_t> data_bytes;  ///< of tensors, one for each of the files
  std::string index;                      ///< name of the base's index; empty for a single file
  std::vector<Adapter> adapters;          ///< in the order in which they were fused
};

inline constexpr char const* undo_key = "dashi.undo";

inline std::string undo_json(FuseUndoRecord const& record) {
  std::string out = "{\"adapters\":[";
  for (FuseUndoRecord::Adapter const& adapter : record.adapters) {
    out += out.back() == '[' ? "{" : ",{";
    detail::append_field(out, "digest", adapter.digest);
    detail::append_field(out, "name", adapter.name);
    detail::append_field(out, "strength", adapter.strength);
    out += "}";
  }
  out += "]";
  detail::append_field(out, "base", record.base);
  out += ",\"bytes\":[";
  for (std::uint64_t const bytes : record.data_bytes) {
    out += (out.back() == '[' ? "" : ",") + std::to_string(bytes);
  }
  out += "]";
  out += ",\"files\":[";
  for (std::string const& file : record.files) {
    out += out.back() == '[' ? "" : ",";
    io::append_quoted(out, file);
  }
  out += "]";
  detail::append_field(out, "fused", record.fused);
  detail::append_field(out, "index", record.index);
  detail::append_field(out, "version", "1");
  return out + "}";
}

/// FormatError for anything that undo_json() does not write.
inline FuseUndoRecord parse_undo(std::string const& text, std::string const& file) {
  FuseUndoRecord record;
  io::JsonCursor cursor(text, file);
  std::string const subject = undo_key;
  cursor.set_subject("metadata", &subject);
  std::string key;
  std::string version;
  cursor.begin_object();
  while (cursor.next_member(key)) {
    if (key == "adapters") {
      cursor.begin_array();
      while (cursor.next_element()) {
        FuseUndoRecord::Adapter& adapter = record.adapters.emplace_back();
        cursor.begin_object();
        while (cursor.next_member(key)) {
          cursor.read_string(key == "digest"     ? adapter.digest
                             : key == "name"     ? adapter.name
                             : key == "strength" ? adapter.strength
                                                 : version);
        }
      }
    } else if (key == "bytes") {
      cursor.begin_array();
      while (cursor.next_element()) {
        record.data_bytes.push_back(cursor.read_integer(io::largest_number));
      }
    } else if (key == "files") {
      cursor.begin_array();
      while (cursor.next_element()) {
        cursor.read_string(record.files.emplace_back());
        if (char const* const fault = io::shard_name_fault(record.files.back())) {
          cursor.fail("bad-undo", fault, "the bare name of a file");
        }
      }
    } else if (key == "base" || key == "fused" || key == "index" || key == "version") {
      cursor.read_string(key == "base"    ? record.base
                         : key == "fused" ? record.fused
                         : key == "index" ? record.index
                                          : version);
    } else {
      cursor.fail("bad-undo", "an unknown field", "a field of an undo file",
                  "a newer dashi may have written it");
    }
  }
  cursor.finish();
  if (version != "1") {
    cursor.fail("undo-version", "an undo file of version '" + version + "'", "version 1",
                "use the dashi that wrote it");
  }
  bool const index_fits = record.index.empty() ? record.files.size() == 1
                                               : io::shard_name_fault(record.index) == nullptr;
  if (record.base.empty() || record.fused.empty() || !index_fits ||
      record.files.size() != record.data_bytes.size()) {
    cursor.fail("bad-undo", "no digests or files", "those of base and result");
  }
  return record;
}

}  // namespace dashi::checkpoints

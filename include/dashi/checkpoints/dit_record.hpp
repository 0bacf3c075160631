// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/version.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/dialects/read_dit.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/json_text.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What a conversion between the names of DiT leaves under the metadata key dashi.convert: whence
/// it came, and what the metadata was, so that the way back ends at the same file.
///
///     {"added":["dashi.convert"],"before":{"dashi.version":"0.1.0"},"digest":"...",
///      "input":"model.safetensors","names":"diffusers","positions":"F32"}
///
/// All on one line. `before`: what the keys held that were changed; `added`: those that were not
/// there; `digest`: io::checkpoint_digest of the input, may be absent; `positions`: dtype of the
/// table that diffusers names do not keep.
struct DitRecord {
  std::vector<std::string> added;
  std::map<std::string, std::string> before;
  std::string digest;
  std::string input;
  std::string names;  ///< those that were asked for: "diffusers" or "dit"
  std::string positions;

  std::string text() const {
    std::string out = "{\"added\":[";
    for (std::size_t i = 0; i < added.size(); ++i) {
      out += i == 0 ? "" : ",";
      io::append_quoted(out, added[i]);
    }
    out += "],\"before\":{";
    for (auto const& [key, value] : before) {
      out += out.back() == '{' ? "" : ",";
      io::append_quoted(out, key);
      out += ":";
      io::append_quoted(out, value);
    }
    out += "}";
    for (auto const& [key, value] :
         {std::pair("digest", &digest), std::pair("input", &input), std::pair("names", &names),
          std::pair("positions", &positions)}) {
      if (!value->empty()) {
        out += ",\"" + std::string(key) + "\":";
        io::append_quoted(out, *value);
      }
    }
    return out + "}";
  }

  /// The metadata before the conversion, from that after it.
  std::map<std::string, std::string> undo(std::map<std::string, std::string> metadata) const {
    for (std::string const& key : added) {
      metadata.erase(key);
    }
    for (auto const& [key, value] : before) {
      metadata.insert_or_assign(key, value);
    }
    return metadata;
  }
};

/// "dit" or "diffusers", as the program's --to has them.
constexpr std::string_view names_option(io::Dialect dialect) noexcept {
  return dialect == io::Dialect::dit_diffusers ? "diffusers" : "dit";
}

/// The record of a checkpoint whose names were converted; nothing for any other text under the key.
inline std::optional<DitRecord> dit_record(io::Checkpoint const& checkpoint) {
  auto const at = checkpoint.metadata().find("dashi.convert");
  if (at == checkpoint.metadata().end()) {
    return std::nullopt;
  }
  DitRecord out;
  std::map<std::string, std::string*> const fields{{"digest", &out.digest},
                                                   {"input", &out.input},
                                                   {"names", &out.names},
                                                   {"positions", &out.positions}};
  try {
    io::JsonCursor cursor(at->second, {});
    std::string key;
    cursor.begin_object();
    while (cursor.next_member(key)) {
      if (auto const field = fields.find(key); field != fields.end()) {
        cursor.read_string(*field->second);
      } else if (key == "added") {
        cursor.begin_array();
        while (cursor.next_element()) {
          cursor.read_string(out.added.emplace_back());
        }
      } else if (key == "before") {
        cursor.begin_object();
        while (cursor.next_member(key)) {
          cursor.read_string(out.before[key]);
        }
      } else {
        return std::nullopt;
      }
    }
    cursor.finish();
  } catch (FormatError const&) {
    return std::nullopt;
  }
  return out.names.empty() ? std::nullopt : std::optional(std::move(out));
}

/// The dtype of the table of positions that a checkpoint in diffusers names was made from.
inline std::optional<io::Dtype> stated_position_dtype(io::Checkpoint const& checkpoint) {
  auto const record = dit_record(checkpoint);
  return record && record->names == names_option(io::Dialect::dit_diffusers)
             ? io::parse_dtype(record->positions)
             : std::nullopt;
}

/// Metadata of a checkpoint in the names `to` that holds what `checkpoint`, the model `model`,
/// holds. The variant is written out, so that dashi goes on computing the same function.
///
/// `digest` is that of the input, or empty; `positions` the dtype of its table or empty.
inline std::map<std::string, std::string> renamed_metadata(io::Checkpoint const& checkpoint,
                                                           io::DitModel const& model,
                                                           io::Dialect to, std::string digest,
                                                           std::string positions) {
  auto const& before = checkpoint.metadata();
  std::map<std::string, std::string> out = before;
  io::DitConfiguration c = model.configuration;
  c.heads = model.heads_assumed ? 0 : c.heads;
  io::DitVariant variant = model.variant;
  if (to == io::Dialect::dit_original) {
    variant.embedders = io::DitEmbedders::shared;
  }
  io::append_dit_metadata(out, c, variant);
  out.insert_or_assign("dashi.version", DASHI_VERSION);
  out.insert_or_assign("dashi.convert", "");
  DitRecord record;
  for (auto const& [key, value] : out) {
    auto const old = before.find(key);
    if (old == before.end()) {
      record.added.push_back(key);
    } else if (old->second != value) {
      record.before.insert(*old);
    }
  }
  record.digest = std::move(digest);
  std::string const file = checkpoint.path().filename().string();
  record.input = io::first_invalid_utf8(file) == std::string::npos ? file : escaped(file);
  record.names = names_option(to);
  record.positions = std::move(positions);
  out.insert_or_assign("dashi.convert", record.text());
  return out;
}

}  // namespace dashi::checkpoints

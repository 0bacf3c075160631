// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/version.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/utf8.hpp>

#include <filesystem>
#include <map>
#include <string>

namespace dashi::checkpoints {

namespace detail {

inline std::string file_name_text(std::filesystem::path const& path) {
  std::string const file = path.filename().string();
  return io::first_invalid_utf8(file) == std::string::npos ? file : escaped(file);
}

inline void append_field(std::string& out, char const* key, std::string const& value) {
  out += (out.back() == '{' ? "\"" : ",\"") + std::string(key) + "\":";
  io::append_quoted(out, value);
}

inline std::string adapters_json(FusePlan const& plan) {
  std::string out = "[";
  for (FuseAdapter const& adapter : plan.adapters) {
    out += out.size() == 1 ? "{" : ",{";
    if (!adapter.digest.empty()) {
      append_field(out, "digest", adapter.digest);
    }
    if (!adapter.file->ignored.empty()) {
      out += out.back() == '{' ? "\"ignored\":[" : ",\"ignored\":[";
      for (std::string const& key : adapter.file->ignored) {
        out += out.back() == '[' ? "" : ",";
        io::append_quoted(out, key);
      }
      out += "]";
    }
    append_field(out, "name", adapter.name);
    append_field(out, "strength", text(adapter.strength));
    out += "}";
  }
  return out + "]";
}

}  // namespace detail

/// The metadata of the base, `dashi.fuse` and `dashi.version`. No dates; adapters in their order.
///
///     {"adapters":[{"digest":"…","name":"a.safetensors","strength":"0.8"}],
///      "base":{"digest":"…","name":"base.safetensors"}}
///
/// `digest` of the base: io::checkpoint_digest by XXH3; left out when empty.
inline std::map<std::string, std::string> fused_metadata(FusePlan const& plan,
                                                         std::string const& digest) {
  std::string text = "{\"adapters\":" + detail::adapters_json(plan) + ",\"base\":{";
  if (!digest.empty()) {
    detail::append_field(text, "digest", digest);
  }
  detail::append_field(text, "name", detail::file_name_text(plan.base->path()));
  text += "}}";
  std::map<std::string, std::string> out = plan.base->metadata();
  out.insert_or_assign("dashi.fuse", text);
  out.insert_or_assign("dashi.version", DASHI_VERSION);
  return out;
}

}  // namespace dashi::checkpoints

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "yaml_tree.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/gzip.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/listing.hpp>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace cli {

namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20;
constexpr std::size_t deepest = 32;

/// Makes a tree of the parser's events.
class TreeBuilder final : public YAML::EventHandler {
public:
  explicit TreeBuilder(std::string const& file) : file_(file) {}

  YamlNode take() { return std::move(root_); }

  [[noreturn]] void refuse(int line, char const* code, std::string found, std::string expected,
                           std::string advice = {}) const {
    throw dashi::ConfigurationError({.code = code,
                                     .file = file_,
                                     .place = "line " + std::to_string(line),
                                     .found = std::move(found),
                                     .expected = std::move(expected),
                                     .advice = std::move(advice)});
  }

  void OnDocumentStart(YAML::Mark const&) override {}
  void OnDocumentEnd() override {}
  void OnNull(YAML::Mark const& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    add({.kind = YamlNode::Kind::nothing, .line = mark.line + 1});
  }
  void OnAlias(YAML::Mark const& mark, YAML::anchor_t) override {
    refuse(mark.line + 1, "yaml-alias", "an alias", "the value itself");
  }
  void OnAnchor(YAML::Mark const& mark, std::string const&) override {
    refuse(mark.line + 1, "yaml-anchor", "an anchor", "a value without one");
  }
  void OnScalar(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                std::string const& value) override {
    refuse_anchor(mark, anchor);
    bool const quoted = tag == "!";
    if (!quoted && tag != "?" && !tag.empty()) {
      refuse_tag(mark, tag);
    }
    if (!open_.empty() && open_.back().node->kind == YamlNode::Kind::map && !open_.back().has_key) {
      take_key(mark.line + 1, value);
      return;
    }
    add({.kind = YamlNode::Kind::scalar, .line = mark.line + 1, .text = value, .quoted = quoted});
  }
  void OnSequenceStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { open_.pop_back(); }

private:
  struct Open {
    YamlNode* node;
    std::string key{};
    int key_line = 0;
    bool has_key = false;
  };

  void refuse_anchor(YAML::Mark const& mark, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) {
      refuse(mark.line + 1, "yaml-anchor", "an anchor", "a value without one");
    }
  }
  [[noreturn]] void refuse_tag(YAML::Mark const& mark, std::string const& tag) const {
    refuse(mark.line + 1, "yaml-tag", "the tag " + dashi::io::in_quotes(tag),
           "a value without one");
  }

  void begin(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
             YamlNode::Kind kind) {
    refuse_anchor(mark, anchor);
    if (tag != "?" && !tag.empty()) {
      refuse_tag(mark, tag);
    }
    if (open_.size() >= deepest) {
      refuse(mark.line + 1, "yaml-too-deep", "more than 32 levels", "fewer");
    }
    YamlNode& node = add({.kind = kind, .line = mark.line + 1});
    open_.push_back({&node});
  }

  void take_key(int line, std::string const& key) {
    Open& open = open_.back();
    if (key == "<<") {
      refuse(line, "yaml-merge-key", "a merge key", "the keys themselves");
    }
    for (YamlNode::Entry const& entry : open.node->entries) {
      if (entry.key == key) {
        refuse(line, "duplicate-key", "the key " + dashi::io::in_quotes(key) + " again",
               "it once: it stands in line " + std::to_string(entry.line) + " already",
               "remove one of them");
      }
    }
    open.key = key;
    open.key_line = line;
    open.has_key = true;
  }

  /// The addresses of open nodes stay: only the innermost one grows.
  YamlNode& add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return root_;
    }
    Open& open = open_.back();
    if (open.node->kind == YamlNode::Kind::list) {
      return open.node->items.emplace_back(std::move(node));
    }
    if (!open.has_key) {
      refuse(node.line, "yaml-key", kind_name(node) + " as a key", "a name");
    }
    open.has_key = false;
    return open.node->entries
        .emplace_back(YamlNode::Entry{open.key, open.key_line, std::move(node)})
        .value;
  }

  std::string const& file_;
  YamlNode root_;
  std::vector<Open> open_;
};

}  // namespace

YamlNode const* YamlNode::find(std::string_view key) const {
  auto const at = std::find_if(entries.begin(), entries.end(),
                               [&](Entry const& entry) { return entry.key == key; });
  return at == entries.end() ? nullptr : &at->value;
}

std::string kind_name(YamlNode const& node) {
  switch (node.kind) {
    case YamlNode::Kind::scalar: return dashi::io::in_quotes(node.text);
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "a map";
    default: return "nothing";
  }
}

YamlNode parse_yaml(std::string const& file, std::string const& text) {
  TreeBuilder builder(file);
  if (text.size() > largest_file) {
    builder.refuse(1, "config-too-large", std::to_string(text.size()) + " bytes",
                   "at most 1048576");
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    YamlNode root = builder.take();
    if (parser.HandleNextDocument(builder)) {
      builder.refuse(builder.take().line, "yaml-documents", "a second document", "one");
    }
    return root;
  } catch (YAML::Exception const& error) {
    builder.refuse(error.mark.line + 1, "bad-yaml", error.msg, "YAML",
                   "indent with spaces and write 'key: value'");
  }
}

YamlNode read_yaml(std::filesystem::path const& file) {
  std::vector<std::byte> const bytes = dashi::io::read_whole(file);
  return parse_yaml(file.string(),
                    std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size()));
}

std::string canonical_text(YamlNode const& node, std::vector<std::string_view> const& without) {
  std::string out;
  switch (node.kind) {
    case YamlNode::Kind::scalar: dashi::io::append_quoted(out, node.text); return out;
    case YamlNode::Kind::list:
      for (YamlNode const& item : node.items) {
        out += (out.empty() ? "[" : ",") + canonical_text(item);
      }
      return out + (out.empty() ? "[]" : "]");
    case YamlNode::Kind::map: {
      std::map<std::string, std::string> sorted;
      for (YamlNode::Entry const& entry : node.entries) {
        if (std::find(without.begin(), without.end(), entry.key) == without.end()) {
          sorted[entry.key] = canonical_text(entry.value);
        }
      }
      for (auto const& [key, value] : sorted) {
        out += out.empty() ? "{" : ",";
        dashi::io::append_quoted(out, key);
        out += ":" + value;
      }
      return out + (out.empty() ? "{}" : "}");
    }
    default: return "null";
  }
}

}  // namespace cli

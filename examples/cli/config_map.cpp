// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "config_map.hpp"

#include "arguments.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

namespace cli {

namespace io = dashi::io;

namespace {

[[noreturn]] void fail(std::string const& file, int line, char const* code, std::string found,
                       std::string expected, std::string advice) {
  throw dashi::ConfigurationError({.code = code,
                                   .file = file,
                                   .place = line > 0 ? "line " + std::to_string(line) : "",
                                   .found = std::move(found),
                                   .expected = std::move(expected),
                                   .advice = std::move(advice)});
}

template <class Number>
bool parse_number(std::string const& text, Number& number) {
  char const* const end = text.data() + text.size();
  auto const [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && !text.empty();
}

std::string shortest(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

}  // namespace

ConfigMap::ConfigMap(std::string const& file, std::string path, YamlNode const* node)
    : file_(&file), path_(std::move(path)), node_(node) {
  if (node_ != nullptr && node_->kind == YamlNode::Kind::nothing) {
    node_ = nullptr;
  }
  if (node_ != nullptr && node_->kind != YamlNode::Kind::map) {
    fail(file, node_->line, "config-type",
         (path_.empty() ? "" : path_ + " is ") + kind_name(*node_), "a map of 'key: value'", {});
  }
}

std::string ConfigMap::name(std::string_view key) const {
  return (path_.empty() ? "" : path_ + ".") + std::string(key);
}

YamlNode const* ConfigMap::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
    known_.emplace_back(key);
  }
  return node_ == nullptr ? nullptr : node_->find(key);
}

bool ConfigMap::has(std::string_view key) { return find(key) != nullptr; }

void ConfigMap::refuse_node(std::string_view key, YamlNode const& node,
                            std::string expected) const {
  fail(*file_, node.line, "config-value", name(key) + " is " + kind_name(node), std::move(expected),
       {});
}

void ConfigMap::refuse(std::string_view key, std::string found, std::string expected,
                       std::string advice) const {
  YamlNode const* const at = node_ == nullptr ? nullptr : node_->find(key);
  int const line = at != nullptr ? at->line : node_ != nullptr ? node_->line : 0;
  fail(*file_, line, "config-value", name(key) + (found.empty() ? "" : " is ") + found,
       std::move(expected), std::move(advice));
}

YamlNode const* ConfigMap::scalar(std::string_view key, std::string const& expected) {
  YamlNode const* const node = find(key);
  if (node != nullptr && node->kind != YamlNode::Kind::scalar) {
    refuse_node(key, *node, expected);
  }
  return node;
}

std::string ConfigMap::text(std::string_view key, std::string fallback) {
  YamlNode const* const node = scalar(key, "a text");
  if (node != nullptr && node->text.empty()) {
    refuse_node(key, *node, "a text");
  }
  return node == nullptr ? std::move(fallback) : node->text;
}

dashi::Index ConfigMap::integer_in(std::string_view key, YamlNode const& node, dashi::Index least,
                                   dashi::Index most) const {
  dashi::Index value = 0;
  if (node.kind != YamlNode::Kind::scalar || node.quoted || !parse_number(node.text, value) ||
      value < least || value > most) {
    refuse_node(key, node,
                most == any ? "a whole number of at least " + std::to_string(least)
                            : "a whole number from " + std::to_string(least) + " to " +
                                  std::to_string(most));
  }
  return value;
}

dashi::Index ConfigMap::integer(std::string_view key, dashi::Index fallback, dashi::Index least,
                                dashi::Index most) {
  YamlNode const* const node = find(key);
  return node == nullptr ? fallback : integer_in(key, *node, least, most);
}

double ConfigMap::number_in(std::string_view key, YamlNode const& node, double least, double most,
                            bool open) const {
  double value = 0;
  bool const good = node.kind == YamlNode::Kind::scalar && !node.quoted &&
                    parse_number(node.text, value) && std::isfinite(value) &&
                    (open ? value > least : value >= least) && value <= most;
  if (!good) {
    refuse_node(key, node,
                "a number " + std::string(open ? "above " : "of at least ") + shortest(least) +
                    (std::isfinite(most) ? " and at most " + shortest(most) : ""));
  }
  return value;
}

double ConfigMap::number(std::string_view key, double fallback, double least, double most,
                         bool open) {
  YamlNode const* const node = find(key);
  return node == nullptr ? fallback : number_in(key, *node, least, most, open);
}

bool ConfigMap::flag(std::string_view key, bool fallback) {
  YamlNode const* const node = find(key);
  if (node == nullptr) {
    return fallback;
  }
  if (node->kind != YamlNode::Kind::scalar || node->quoted ||
      (node->text != "true" && node->text != "false")) {
    refuse_node(key, *node, "true or false");
  }
  return node->text == "true";
}

std::string ConfigMap::choice(std::string_view key, std::string const& fallback,
                              std::vector<std::string> const& values) {
  std::string expected;
  for (std::size_t i = 0; i < values.size(); ++i) {
    expected += (i == 0 ? "" : i + 1 == values.size() ? " or " : ", ") + values[i];
  }
  YamlNode const* const node = scalar(key, expected);
  if (node == nullptr) {
    return fallback;
  }
  if (std::find(values.begin(), values.end(), node->text) == values.end()) {
    std::string const meant = nearest(node->text, values);
    fail(*file_, node->line, "config-value", name(key) + " is " + kind_name(*node), expected,
         meant.empty() ? "" : "did you mean " + meant + "?");
  }
  return node->text;
}

YamlNode const* ConfigMap::list(std::string_view key, std::string const& expected) {
  YamlNode const* const node = find(key);
  if (node != nullptr && node->kind != YamlNode::Kind::list) {
    refuse_node(key, *node, expected);
  }
  return node;
}

std::vector<dashi::Index> ConfigMap::integers(std::string_view key) {
  std::vector<dashi::Index> values;
  if (YamlNode const* const node = list(key, "a list such as [0, 1, 2]")) {
    for (YamlNode const& item : node->items) {
      values.push_back(integer_in(key, item, 0, any));
    }
  }
  return values;
}

std::vector<double> ConfigMap::numbers(std::string_view key, std::size_t count,
                                       std::vector<double> fallback) {
  std::string const expected = "a list of " + std::to_string(count) + " numbers";
  YamlNode const* const node = list(key, expected);
  if (node == nullptr) {
    return fallback;
  }
  if (node->items.size() != count) {
    refuse_node(key, *node, expected);
  }
  std::vector<double> values;
  for (YamlNode const& item : node->items) {
    values.push_back(number_in(key, item, std::numeric_limits<double>::lowest(),
                               std::numeric_limits<double>::infinity(), false));
  }
  return values;
}

std::vector<std::string> ConfigMap::texts(std::string_view key) {
  std::vector<std::string> values;
  if (YamlNode const* const node = list(key, "a list of names")) {
    for (YamlNode const& item : node->items) {
      if (item.kind != YamlNode::Kind::scalar || item.text.empty()) {
        refuse_node(key, item, "a name");
      }
      values.push_back(item.text);
    }
  }
  return values;
}

ConfigMap ConfigMap::map(std::string_view key) { return {*file_, name(key), find(key)}; }

std::vector<ConfigMap> ConfigMap::maps(std::string_view key) {
  std::vector<ConfigMap> out;
  if (YamlNode const* const node = list(key, "a list of maps")) {
    for (std::size_t i = 0; i < node->items.size(); ++i) {
      out.push_back({*file_, name(key) + "[" + std::to_string(i) + "]", &node->items[i]});
    }
  }
  return out;
}

bool ConfigMap::is_list(std::string_view key) {
  YamlNode const* const node = find(key);
  return node != nullptr && node->kind == YamlNode::Kind::list;
}

bool ConfigMap::lists_words(std::string_view key) {
  return is_list(key) && !find(key)->items.empty() &&
         find(key)->items.front().kind == YamlNode::Kind::scalar;
}

bool ConfigMap::is_word(std::string_view key) {
  YamlNode const* const node = find(key);
  return node == nullptr || node->kind == YamlNode::Kind::scalar;
}

void ConfigMap::finish() const {
  if (node_ == nullptr) {
    return;
  }
  for (YamlNode::Entry const& entry : node_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) == known_.end()) {
      std::string const meant = nearest(entry.key, known_);
      fail(*file_, entry.line, "unknown-key", "the unknown key " + io::in_quotes(name(entry.key)),
           meant.empty() ? "one of " + io::listing(known_) : "",
           meant.empty() ? "" : "did you mean " + meant + "?");
    }
  }
}

}  // namespace cli

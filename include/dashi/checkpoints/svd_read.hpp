// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_model.hpp>
#include <dashi/checkpoints/svd_ranks.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_info.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

/// Reads sizes off the tensors of a factorised DiT and its metadata; every wrong one has a
/// sentence.
class FactorisedReader : FactorisedFile {
public:
  explicit FactorisedReader(io::Checkpoint const& checkpoint) : FactorisedFile(checkpoint) {}

  FactorisedModel read() {
    read_format();
    read_configuration();
    read_groups();
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      model_.layout.ranks[s] = FactorisedRanks(checkpoint_, model_, s).read();
    }
    expect_tensors();
    return std::move(model_);
  }

private:
  std::string const* metadata(std::string const& key) const {
    auto const at = checkpoint_.metadata().find(key);
    return at == checkpoint_.metadata().end() ? nullptr : &at->second;
  }
  std::string const& needed(std::string const& key, std::string const& expected) const {
    std::string const* const value = metadata(key);
    if (value == nullptr) {
      fail("missing-metadata", "metadata '" + key + "'", "no such key", expected);
    }
    return *value;
  }
  std::int64_t number(std::string const& key, std::string_view digits, std::int64_t least,
                      std::string const& expected) const {
    std::int64_t value = -1;
    auto const end = digits.data() + digits.size();
    auto const [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end || value < least || value > (1 << 24)) {
      fail("bad-metadata", "metadata '" + key + "'", io::in_quotes(digits), expected);
    }
    return value;
  }

  void read_format() {
    std::string const key(io::format_metadata_key);
    std::string const ours =
        std::string(io::factorised_dit_format) + std::string(factorised_dit_version);
    std::string const* const format = metadata(key);
    if (format == nullptr || !format->starts_with(io::factorised_dit_format)) {
      fail("not-factorised", "metadata '" + key + "'",
           format == nullptr ? "no such key" : io::in_quotes(*format),
           io::in_quotes(ours) + ", a factorised DiT", "dashi factorise makes one of a DiT");
    }
    if (*format != ours) {
      fail("format-version", "metadata '" + key + "'", io::in_quotes(*format), io::in_quotes(ours),
           "take the version of dashi that wrote it, or a newer one");
    }
    std::string const& method = needed("dashi.factorisation", "'kind' or 'fine'");
    if (method != name(SvdMethod::kind) && method != name(SvdMethod::fine)) {
      fail("bad-metadata", "metadata 'dashi.factorisation'", io::in_quotes(method),
           "'kind' or 'fine'");
    }
    model_.layout.method = method == name(SvdMethod::kind) ? SvdMethod::kind : SvdMethod::fine;
  }

  void read_configuration() {
    auto const said = io::parse_dit_metadata(checkpoint_.metadata(), checkpoint_.path().string());
    model_.variant = said.variant(io::DitVariant::original());
    auto& c = model_.configuration;
    while (checkpoint_.find("blocks." + text(c.depth) + ".adaLN_modulation.1.weight") != nullptr) {
      ++c.depth;
    }
    if (c.depth == 0) {
      fail("missing-tensors", "tensor 'blocks.0.adaLN_modulation.1.weight'", "no such tensor",
           "a block");
    }
    c.width = extent("x_embedder.proj.weight", 4, 0);
    c.channels = extent("x_embedder.proj.weight", 4, 1);
    c.patch = extent("x_embedder.proj.weight", 4, 2);
    c.mlp_width = extent("blocks.0.mlp.fc1.bias", 1, 0);
    bool const per_block = model_.variant.embedders == io::DitEmbedders::per_block;
    std::string const embedder = per_block ? "blocks.0." : "";
    c.frequency_size = extent(embedder + "t_embedder.mlp.0.weight", 2, 1);
    c.null_class = model_.variant.class_dropout > 0;
    std::string const table = embedder + "y_embedder.embedding_table.weight";
    c.classes = extent(table, 2, 0) - (c.null_class ? 1 : 0);
    if (c.classes < 1) {
      fail_shape(tensor(table, 2), "at least one class beside the null class");
    }
    std::int64_t const rows = extent("final_layer.linear.bias", 1, 0);
    std::int64_t const area = c.patch * c.patch * c.channels;
    c.learn_sigma = rows == 2 * area;
    if (rows != area && rows != 2 * area) {
      fail_shape(tensor("final_layer.linear.bias", 1),
                 text(area) + ", patch * patch * channels, or twice as many");
    }
    if (!said.heads) {
      (void)needed("dashi.heads", "the number of heads");
    }
    if (!said.input_height) {
      (void)needed("dashi.input_height", "the height of the input");
    }
    c.heads = *said.heads;
    c.input_height = *said.input_height;
    c.input_width = *said.input_width;
    if (c.width % 4 != 0 || c.width % c.heads != 0) {
      fail("bad-metadata", "metadata 'dashi.heads'",
           text(c.heads) + " heads for a width of " + text(c.width),
           "a width that is a multiple of 4 and of the heads");
    }
    if (c.input_height % c.patch != 0 || c.input_width % c.patch != 0) {
      fail("bad-metadata", "metadata 'dashi.input_height'",
           text(c.input_height) + " x " + text(c.input_width),
           "multiples of the patch " + text(c.patch));
    }
  }

  void read_groups() {
    if (model_.layout.method == SvdMethod::fine) {
      return;
    }
    FactorisedLayout& layout = model_.layout;
    layout.groups =
        number("dashi.tailor_groups", needed("dashi.tailor_groups", "the number of tailor groups"),
               1, "a number of groups, 1 or more");
    std::string_view rest = needed("dashi.class_groups", "the group of each class");
    while (!rest.empty()) {
      auto const space = rest.find(' ');
      Index const group = number("dashi.class_groups", rest.substr(0, space), 0,
                                 "numbers of groups with a space between them");
      if (group >= layout.groups) {
        fail("bad-groups", "metadata 'dashi.class_groups'",
             "class " + text(static_cast<std::int64_t>(layout.group_of_class.size())) +
                 " in tailor group " + text(group),
             "groups from 0 to " + text(layout.groups - 1));
      }
      layout.group_of_class.push_back(group);
      rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    }
    auto const classes = static_cast<std::int64_t>(layout.group_of_class.size());
    if (classes != model_.configuration.classes) {
      fail("bad-groups", "metadata 'dashi.class_groups'", text(classes) + " classes",
           text(model_.configuration.classes) + ", as the label table has");
    }
  }

  void expect_tensors() const {
    std::map<std::string, bool, std::less<>> known;
    for (FactorisedTensor const& wanted : factorised_tensors(model_)) {
      io::TensorInfo const& info = tensor(wanted.name, wanted.shape.size());
      if (info.shape != wanted.shape) {
        fail_shape(info, io::shape_text(wanted.shape) + ", as the other tensors say");
      }
      if (!io::is_convertible(info.dtype)) {
        fail("dtype", "tensor " + io::in_quotes(info.name), std::string(io::name(info.dtype)),
             "one of " + io::convertible_names());
      }
      known.emplace(wanted.name, true);
    }
    std::vector<std::string> unknown;
    for (io::TensorRef const& ref : checkpoint_.tensors()) {
      if (!known.contains(ref.info.name)) {
        unknown.push_back(ref.info.name);
      }
    }
    if (!unknown.empty()) {
      fail("unknown-tensors", {},
           std::to_string(unknown.size()) + " tensors with no place in it: " + io::listing(unknown),
           "the " + std::to_string(known.size()) + " tensors of a factorised DiT",
           "take them out first, they would be lost");
    }
  }

  FactorisedModel model_;
};

}  // namespace detail

/// What a file of a factorised DiT holds; headers only. Throws FormatError for another file,
/// another version, and for each size that disagrees with the others.
inline FactorisedModel read_factorised(io::Checkpoint const& checkpoint) {
  return detail::FactorisedReader(checkpoint).read();
}

}  // namespace dashi::checkpoints

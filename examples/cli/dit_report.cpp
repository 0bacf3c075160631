// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_report.hpp"

#include "failure.hpp"

#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <charconv>
#include <system_error>

namespace cli {

namespace io = dashi::io;

namespace {

Json number_or_null(std::int64_t number) { return number > 0 ? Json(number) : Json(nullptr); }

std::int64_t length_argument(std::string const& whole, std::string_view text) {
  constexpr std::int64_t most = 1 << 20;
  std::int64_t length = 0;
  auto const [stop, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || stop != text.data() + text.size() || length < 1 || length > most) {
    usage_error("bad-input-size", "--input-size " + io::in_quotes(whole),
                "a length such as 32, or HEIGHTxWIDTH such as 32x48");
  }
  return length;
}

}  // namespace

std::string dit_rows(io::DitModel const& model) {
  io::DitConfiguration const& c = model.configuration;
  io::DitVariant const& v = model.variant;
  std::string const heads =
      c.heads == 0 ? "heads unknown"
                   : fmt::format("{} heads{}", c.heads,
                                 model.heads_assumed ? " (assumed from the width)" : "");
  std::string const input = c.knows_input() ? fmt::format("input {} x {} ({} tokens)",
                                                          c.input_height, c.input_width, c.tokens())
                                            : "input size unknown";
  std::string const embedders =
      model.dialect == io::Dialect::dit_diffusers && !model.embedders_stated
          ? "embedders in every block (--digest compares them)"
          : fmt::format("embedders {}",
                        v.embedders == io::DitEmbedders::shared ? "shared" : "per block");
  return row("DiT", fmt::format("depth {}, width {}, {}, MLP {}, patch {}, {}", c.depth, c.width,
                                heads, c.mlp_width, c.patch, input)) +
         row("DiT",
             fmt::format("{} channels in, {} out, {} classes{}", c.channels, c.out_channels(),
                         c.classes, c.null_class ? " and the null class" : "")) +
         row("DiT",
             fmt::format("time divisor {}, norm epsilon {}, guidance on {}, variance {}, {}",
                         v.time_divisor, short_number(v.norm_epsilon),
                         v.guidance_channels == 0 ? "all channels"
                                                  : fmt::format("{} channels", v.guidance_channels),
                         v.learned_variance ? "learned" : "fixed", embedders));
}

Json dit_json(io::DitModel const& model) {
  io::DitConfiguration const& c = model.configuration;
  io::DitVariant const& v = model.variant;
  Json embedders = v.embedders == io::DitEmbedders::shared ? "shared" : "per_block";
  if (model.dialect == io::Dialect::dit_diffusers && !model.embedders_stated) {
    embedders = nullptr;
  }
  return {{"depth", c.depth},
          {"width", c.width},
          {"heads", number_or_null(c.heads)},
          {"heads_assumed", model.heads_assumed},
          {"mlp_width", c.mlp_width},
          {"patch", c.patch},
          {"channels", c.channels},
          {"out_channels", c.out_channels()},
          {"classes", c.classes},
          {"null_class", c.null_class},
          {"input_height", number_or_null(c.input_height)},
          {"input_width", number_or_null(c.input_width)},
          {"frequency_size", c.frequency_size},
          {"time_divisor", v.time_divisor},
          {"norm_epsilon", v.norm_epsilon},
          {"guidance_channels", v.guidance_channels == 0 ? Json("all") : Json(v.guidance_channels)},
          {"variance", v.learned_variance ? "learned" : "fixed"},
          {"embedders", embedders},
          {"class_dropout", v.class_dropout}};
}

void set_input_size(io::DitHints& hints, std::string const& text) {
  std::size_t const cross = text.find('x');
  std::string_view const all = text;
  hints.input_height = length_argument(text, all.substr(0, cross));
  hints.input_width = cross == std::string::npos ? hints.input_height
                                                 : length_argument(text, all.substr(cross + 1));
}

}  // namespace cli

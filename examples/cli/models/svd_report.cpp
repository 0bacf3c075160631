// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "svd_report.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/json_text.hpp>

#include <fmt/format.h>

namespace cli {

std::string svd_text(std::string const& path, dashi::checkpoints::FactorisedModel const& model) {
  auto const& c = model.configuration;
  auto const& layout = model.layout;
  bool const kind = layout.method == dashi::SvdMethod::kind;
  std::string out =
      fmt::format("{}: {}\n", dashi::escaped(path),
                  kind ? "KIND, a learngene and tailors" : "FINE, vectors shared by all blocks");
  out += row("model", fmt::format("depth {}, width {}, {} classes", c.depth, c.width, c.classes));
  for (std::size_t s = 0; s < dashi::factorised_sites.size(); ++s) {
    auto const& ranks = layout.ranks[s];
    if (s == 0 || !(ranks == layout.ranks[s - 1])) {
      out += row(
          s == 0 ? "components" : "",
          kind ? fmt::format("{} learngene, {} tailors from {} on", ranks.learngene, ranks.tailors,
                             dashi::factorised_sites[s].name)
               : fmt::format("{} from {} on", ranks.learngene, dashi::factorised_sites[s].name));
    }
  }
  if (kind) {
    out += row("groups", fmt::format("{} of tailors", layout.groups));
  }
  return out +
         row("factors",
             grouped(static_cast<std::uint64_t>(layout.count(c.depth, c.width, c.mlp_width))) +
                 " numbers");
}

Json svd_json(dashi::checkpoints::FactorisedModel const& model) {
  auto const& c = model.configuration;
  auto const& layout = model.layout;
  Json sites = Json::array();
  for (std::size_t s = 0; s < dashi::factorised_sites.size(); ++s) {
    sites.push_back({{"map", dashi::factorised_sites[s].name},
                     {"learngene", layout.ranks[s].learngene},
                     {"tailors", layout.ranks[s].tailors}});
  }
  return {{"kind", name(layout.method)},
          {"depth", c.depth},
          {"width", c.width},
          {"classes", c.classes},
          {"groups", layout.groups},
          {"group_of_class", layout.group_of_class},
          {"factors", layout.count(c.depth, c.width, c.mlp_width)},
          {"sites", sites}};
}

void append_source(std::map<std::string, std::string>& metadata, std::string const& verb,
                   std::string const& digest) {
  std::string text = "{\"digest\":";
  dashi::io::append_quoted(text, digest);
  metadata["dashi." + verb] = text + "}";
}

}  // namespace cli

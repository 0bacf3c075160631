// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_report.hpp"

#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/form_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cli {

namespace io = dashi::io;

io::AdapterReadOptions AdapterArguments::options(io::ReadOptions const& read) const {
  io::AdapterReadOptions out;
  out.ignore = ignore;
  if (alpha != 0) {
    out.alpha = alpha;
  }
  out.any_scale = any_scale;
  out.file = read;
  return out;
}

void add_adapter_options(CLI::App& verb, AdapterArguments& arguments) {
  verb.add_option("--ignore", arguments.ignore,
                  "tensors of the adapter in whose names the regular expression is found are left\n"
                  "out, and the report lists them; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_option("--alpha", arguments.alpha,
                  "of an adapter of PEFT without its adapter_config.json");
  verb.add_flag("--any-scale", arguments.any_scale,
                "take scales below 1/4096 and above 64, which look like placeholders");
}

void add_based_adapter_options(CLI::App& verb, AdapterArguments& arguments) {
  add_adapter_options(verb, arguments);
  verb.add_flag("--any-base", arguments.any_base,
                "take an adapter whose file names another base by its digest: the same model in\n"
                "another dtype or under other names, or another one that was tuned from it");
}

std::optional<io::Dialect> adapter_dialect(std::string const& word) {
  constexpr std::array<std::pair<std::string_view, io::Dialect>, 9> words{{
      {"peft", io::Dialect::peft},
      {"kohya", io::Dialect::kohya},
      {"lycoris", io::Dialect::lycoris},
      {"comfyui", io::Dialect::comfyui},
      {"diffusers", io::Dialect::diffusers_lora},
      {"diffusers-old", io::Dialect::diffusers_lora_old},
      {"krona", io::Dialect::ibm_krona},
      {"cloneofsimo", io::Dialect::cloneofsimo},
      {"dashi", io::Dialect::dashi_adapter},
  }};
  auto const at = std::find_if(words.begin(), words.end(),
                               [&](auto const& pair) { return pair.first == word; });
  return at == words.end() ? std::nullopt : std::optional(at->second);
}

std::string adapter_rows(io::AdapterFile const& adapter, std::size_t limit) {
  std::size_t const shown = std::min(limit, adapter.modules.size());
  std::uint64_t parameters = 0;
  for (io::AdapterModule const& module : adapter.modules) {
    parameters += io::module_parameters(module);
  }
  std::string out =
      row("adapter", fmt::format("{} modules, {} parameters{}", grouped(adapter.modules.size()),
                                 grouped(parameters),
                                 adapter.base_digest.empty()
                                     ? std::string()
                                     : ", for the base " + adapter.base_digest.substr(0, 16)));
  for (std::size_t i = 0; i < shown; ++i) {
    io::AdapterModule const& module = adapter.modules[i];
    std::string const name = dashi::escaped(io::adapter_module_name(adapter.dialect, module));
    out += row("module", fmt::format("{}: {}; rank {}, scale {} ({})", name, io::form_text(module),
                                     module.rank == 0 ? "-" : std::to_string(module.rank),
                                     short_number(module.scale), module.scale_reason));
  }
  if (shown < adapter.modules.size()) {
    out += row("module", fmt::format("and {} more (--tensors lists all)",
                                     grouped(adapter.modules.size() - shown)));
  }
  for (auto const& [token, tensor] : adapter.token_embeddings) {
    out +=
        row("token", fmt::format("{}: {}", dashi::escaped(token), io::shape_text(tensor.shape())));
  }
  for (std::string const& key : adapter.ignored) {
    out += row("ignored", dashi::escaped(key));
  }
  return out;
}

Json adapter_json(io::AdapterFile const& adapter) {
  Json modules = Json::array();
  for (io::AdapterModule const& module : adapter.modules) {
    modules.push_back({{"name", io::adapter_module_name(adapter.dialect, module)},
                       {"form", io::form_text(module)},
                       {"rank", module.rank},
                       {"scale", module.scale},
                       {"scale_reason", module.scale_reason},
                       {"parameters", io::module_parameters(module)}});
  }
  Json tokens = Json::array();
  for (auto const& [token, tensor] : adapter.token_embeddings) {
    tokens.push_back(token);
  }
  return {{"dialect", io::name(adapter.dialect)},
          {"base_digest", adapter.base_digest},
          {"tokens", tokens},
          {"ignored", adapter.ignored},
          {"modules", modules}};
}

}  // namespace cli

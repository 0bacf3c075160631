// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "applied_adapters.hpp"

#include "arguments.hpp"

#include <dashi/checkpoints/adapter_digest.hpp>
#include <dashi/checkpoints/fuse_metadata.hpp>
#include <dashi/io/adapters/adapter_base.hpp>
#include <dashi/io/adapters/check_base_digest.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/input_file.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace cli {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

void add_applied_adapters(CLI::App& verb, AppliedAdapters& arguments, std::string const& help,
                          bool required) {
  verb.add_option("--adapter", arguments.adapters, help)
      ->required(required)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_based_adapter_options(verb, arguments.how);
}

std::string short_name(std::string const& path) {
  std::filesystem::path name(path);
  while (!name.has_filename() && name.has_parent_path() && name != name.parent_path()) {
    name = name.parent_path();
  }
  return checkpoints::detail::file_name_text(name);
}

std::deque<OpenAdapter> read_adapters(AppliedAdapters const& arguments,
                                      io::ReadOptions const& read) {
  std::deque<OpenAdapter> out;
  io::AdapterReadOptions const options = arguments.how.options(read);
  for (std::string const& text : arguments.adapters) {
    // A path with '=' in it is not split when it is there as it is written.
    bool const there = std::filesystem::exists(text);
    WeightedPath const given = there ? WeightedPath{text, {}} : split_weight(text);
    OpenAdapter& adapter = out.emplace_back();
    adapter.path = given.path;
    adapter.strength = given.weight;
    adapter.file = io::read_adapter(given.path, options);
    adapter.digest = checkpoints::adapter_digest(adapter.file);
    if (arguments.how.any_base) {
      adapter.file.base_digest.clear();
    }
  }
  return out;
}

void resolve_adapters(Session& session, std::deque<OpenAdapter>& adapters,
                      io::Checkpoint const& base) {
  io::AdapterBase const names = io::adapter_base(base);
  std::string digest;
  for (OpenAdapter& adapter : adapters) {
    adapter.places = io::resolve_adapter(adapter.file, names);
    for (std::string const& name : adapter.places.squeezed) {
      session.warn(adapter.path + ": " + name + ": [m, n] and [m, n, 1, 1] are taken as equal");
    }
    io::check_base_digest(adapter.file, base, digest, static_cast<std::size_t>(session.threads()),
                          session.progress("digest"));
  }
}

std::vector<checkpoints::FuseAdapter> fuse_adapters(std::deque<OpenAdapter> const& adapters) {
  std::vector<checkpoints::FuseAdapter> out;
  for (OpenAdapter const& adapter : adapters) {
    out.push_back({.name = short_name(adapter.path),
                   .file = &adapter.file,
                   .strength = adapter.strength,
                   .targets = adapter.places.targets,
                   .digest = adapter.digest});
  }
  return out;
}

std::vector<io::FileIdentity> identities(std::deque<OpenAdapter> const& adapters) {
  std::vector<io::FileIdentity> out;
  for (OpenAdapter const& adapter : adapters) {
    out.push_back(io::InputFile(io::resolve_checkpoint_path(adapter.path)).identity());
  }
  return out;
}

namespace {

std::string rows_text(io::AdapterTarget const& target) {
  return fmt::format("{} [{}, {})", dashi::escaped(target.tensor), target.tensor_row,
                     target.tensor_row + target.rows);
}

}  // namespace

std::string module_table(checkpoints::FusePlan const& plan) {
  std::string out;
  for (checkpoints::FuseAdapter const& adapter : plan.adapters) {
    out += row("adapter",
               fmt::format("{} at strength {}, {}, {} modules", dashi::escaped(adapter.name),
                           text(adapter.strength), io::name(adapter.file->dialect),
                           grouped(adapter.file->modules.size())));
    for (std::size_t m = 0; m < adapter.file->modules.size(); ++m) {
      io::AdapterModule const& module = adapter.file->modules[m];
      std::string targets;
      for (io::AdapterTarget const& target : adapter.targets) {
        if (target.module == m) {
          targets += (targets.empty() ? "" : ", ") + rows_text(target);
        }
      }
      out += fmt::format(
          "    {}  scale {}{}  -> {}\n", dashi::escaped(module.path), short_number(module.scale),
          module.scale_reason.empty() ? "" : " (" + dashi::escaped(module.scale_reason) + ")",
          targets);
    }
    if (!adapter.file->ignored.empty()) {
      out += row("ignored", fmt::format("{} keys", adapter.file->ignored.size()));
    }
  }
  return out;
}

Json modules_json(checkpoints::FusePlan const& plan) {
  Json out = Json::array();
  for (std::size_t a = 0; a < plan.adapters.size(); ++a) {
    checkpoints::FuseAdapter const& adapter = plan.adapters[a];
    for (std::size_t m = 0; m < adapter.file->modules.size(); ++m) {
      io::AdapterModule const& module = adapter.file->modules[m];
      Json targets = Json::array();
      for (io::AdapterTarget const& target : adapter.targets) {
        if (target.module == m) {
          targets.push_back({{"tensor", target.tensor},
                             {"row", target.tensor_row},
                             {"rows", target.rows},
                             {"module_row", target.module_row}});
        }
      }
      out.push_back({{"adapter", a},
                     {"module", module.path},
                     {"part", module.part},
                     {"scale", module.scale},
                     {"scale_reason", module.scale_reason},
                     {"rank", module.rank},
                     {"targets", targets}});
    }
  }
  return out;
}

Json adapters_json(std::deque<OpenAdapter> const& adapters) {
  Json out = Json::array();
  for (OpenAdapter const& adapter : adapters) {
    out.push_back({{"name", short_name(adapter.path)},
                   {"strength", text(adapter.strength)},
                   {"dialect", io::name(adapter.file.dialect)},
                   {"modules", adapter.file.modules.size()},
                   {"ignored", adapter.file.ignored},
                   {"digest", adapter.digest}});
  }
  return out;
}

}  // namespace cli

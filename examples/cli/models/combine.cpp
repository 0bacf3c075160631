// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "applied_adapters.hpp"
#include "arguments.hpp"
#include "failure.hpp"
#include "model_verbs.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/combine.hpp>
#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/io/adapters/write_adapter.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct CombineArguments {
  AppliedAdapters adapters;
  std::string out;
  std::uint64_t rank = 0;
  std::string dtype = "f32";
  bool force = false;
  io::ReadOptions read;
};

/// Adapters for one base, as far as they say.
std::string common_base(std::deque<OpenAdapter> const& adapters) {
  std::string digest;
  for (OpenAdapter const& adapter : adapters) {
    if (!digest.empty() && !adapter.file.base_digest.empty() &&
        adapter.file.base_digest != digest) {
      throw dashi::FormatError(
          {.code = "two-bases",
           .file = adapter.path,
           .place = "metadata 'dashi.base_digest'",
           .found = "made for the base " + adapter.file.base_digest.substr(0, 16) + "...",
           .expected = digest.substr(0, 16) + "..., as an earlier adapter",
           .advice = "combine adapters of one base"});
    }
    digest = digest.empty() ? adapter.file.base_digest : digest;
  }
  return digest;
}

dashi::ExitStatus combine(Session& session, CombineArguments const& arguments) {
  expect_path("--out", arguments.out);
  std::deque<OpenAdapter> const adapters = read_adapters(arguments.adapters, arguments.read);
  checkpoints::CombineOptions options;
  options.rank = arguments.rank;
  options.dtype = dtype_argument(arguments.dtype);
  options.seed = session.options.seed;
  if (!io::is_convertible(options.dtype)) {
    usage_error("bad-dtype", "--dtype " + arguments.dtype, io::convertible_names());
  }
  std::vector<checkpoints::CombineInput> inputs;
  for (OpenAdapter const& adapter : adapters) {
    if (!adapter.file.token_embeddings.empty()) {
      throw dashi::FormatError({.code = "not-a-sum",
                                .file = adapter.path,
                                .place = "token embeddings",
                                .found = "embeddings of new tokens",
                                .expected = "changes that are added",
                                .advice = "leave them out with --ignore"});
    }
    double const weight =
        checkpoints::FuseAdapter{{}, &adapter.file, adapter.strength, {}, {}}.factor();
    inputs.push_back({&adapter.file, weight});
  }
  session.start_kokkos(session.threads());
  dashi::Context<> context;
  checkpoints::Combination found = checkpoints::combine_adapters(context, inputs, options);
  found.adapter.base_digest = common_base(adapters);
  io::Dialect const dialect = found.adapter.dialect;
  std::filesystem::path const path = io::adapter_weights_path(arguments.out, dialect);
  io::EncodedAdapter const encoded = io::encode_adapter(found.adapter, dialect, nullptr);
  if (!session.options.dry_run) {
    session.will_write(path);
    io::OutputOptions output;
    output.force = arguments.force;
    output.inputs = identities(adapters);
    io::write_encoded(arguments.out, encoded, dialect, output);
  }
  double largest = 0;
  std::string table;
  Json modules = Json::array();
  for (checkpoints::CombinedModule const& module : found.modules) {
    largest = std::max(largest, module.error);
    table +=
        fmt::format("    {}  {} term{}  {}  relative error {:.3g}\n", dashi::escaped(module.module),
                    module.terms, module.terms == 1 ? "" : "s", module.form, module.error);
    modules.push_back({{"module", module.module},
                       {"terms", module.terms},
                       {"form", module.form},
                       {"norm", module.norm},
                       {"error", module.error}});
  }
  session.say(fmt::format("{}: {} modules of {} adapters{}, largest relative error {:.3g}\n",
                          dashi::escaped(path.string()), grouped(found.modules.size()),
                          adapters.size(), session.options.dry_run ? " would be combined" : "",
                          largest) +
              table);
  Json object{{"verb", "combine"},
              {"output", path.string()},
              {"adapters", adapters_json(adapters)},
              {"largest_error", largest},
              {"modules", modules}};
  if (session.options.dry_run) {
    object["dry_run"] = true;
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_combine(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<CombineArguments>();
  CLI::App* const verb = add_verb(
      app, "combine", model_verb_summary("combine"),
      "  dashi combine --adapter a.safetensors=0.7 --adapter b.safetensors=0.3 --out "
      "ab.safetensors\n"
      "  dashi combine --adapter a.safetensors --adapter b.safetensors --out ab.safetensors "
      "--rank 8");
  add_applied_adapters(*verb, arguments->adapters,
                       "FILE or FILE=WEIGHT, a decimal with at most 8 places; split at the last\n"
                       "'='; all of one dialect");
  verb->add_option("--out", arguments->out, "the adapter to write, of the same dialect")
      ->required();
  verb->add_option("--rank", arguments->rank,
                   "the nearest adapter of this rank, with its error; without it the sum is exact\n"
                   "but for rounding, and ranks add up");
  verb->add_option("--dtype", arguments->dtype, "of the factors (default f32)");
  add_force(*verb, arguments->force);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, combine);
}

}  // namespace cli

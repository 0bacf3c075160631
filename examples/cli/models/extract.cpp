// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_report.hpp"
#include "arguments.hpp"
#include "failure.hpp"
#include "model_verbs.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/extract.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/io/adapters/adapter_base.hpp>
#include <dashi/io/adapters/adapter_names.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/adapters/write_adapter.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/output_directory.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>

#include <cerrno>
#include <optional>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct ExtractArguments {
  std::string base;
  std::string tuned;
  std::string out;
  std::string kind = "lora";
  std::uint64_t rank = 0;
  std::optional<std::uint64_t> factor;
  bool search = false;
  double energy = 0;
  std::string dtype = "f32";
  std::string to = "dashi";
  bool no_digest = false;
  bool force = false;
  io::ReadOptions read;
};

io::Dialect dialect_of(std::string const& word) {
  auto const dialect = adapter_dialect(word);
  if (!dialect) {
    usage_error("bad-dialect", "--to " + word, "a dialect of adapters, such as dashi or comfyui");
  }
  return *dialect;
}

checkpoints::ExtractOptions options_of(Session const& session, ExtractArguments const& arguments) {
  checkpoints::ExtractOptions options;
  options.kind = arguments.kind == "lora" ? checkpoints::ExtractKind::low_rank
                                          : checkpoints::ExtractKind::kronecker;
  options.rank = arguments.rank;
  options.factor = arguments.factor.value_or(options.factor);
  options.search = arguments.search;
  options.least_energy = arguments.energy;
  options.threads = static_cast<std::size_t>(session.threads());
  options.dtype = dtype_argument(arguments.dtype);
  options.seed = session.options.seed;
  if (!io::is_convertible(options.dtype)) {
    usage_error("bad-dtype", "--dtype " + arguments.dtype, io::convertible_names());
  }
  if (arguments.kind == "lora" && arguments.rank == 0 && arguments.energy == 0) {
    usage_error("no-rank", "--kind lora without --rank", "--rank of at least 1, or --energy");
  }
  if (arguments.search && (arguments.kind == "lora" || arguments.factor)) {
    usage_error("search", arguments.factor ? "--search and --factor" : "--search of --kind lora",
                "--search of --kind lokr, in place of --factor");
  }
  if (!(arguments.energy >= 0 && arguments.energy < 1)) {
    usage_error("bad-energy", fmt::format("--energy {}", arguments.energy),
                "a share from 0 to below 1, such as 0.95");
  }
  return options;
}

void expect_free(std::filesystem::path const& path, bool force) {
  io::OutputDirectory const directory(path);
  if (directory.find(directory.name(), AT_SYMLINK_NOFOLLOW) && !force) {
    directory.fail(EEXIST, "cannot create the output", "choose another name or give --force");
  }
}

dashi::ExitStatus extract(Session& session, ExtractArguments const& arguments) {
  expect_path("--base", arguments.base);
  expect_path("--tuned", arguments.tuned);
  expect_path("--out", arguments.out);
  io::Dialect const dialect = dialect_of(arguments.to);
  checkpoints::ExtractOptions const options = options_of(session, arguments);
  io::Checkpoint const base(arguments.base, arguments.read);
  io::Checkpoint const tuned(arguments.tuned, arguments.read);
  session.warn_all(base.warnings());
  session.warn_all(tuned.warnings());
  std::filesystem::path const path = io::adapter_weights_path(arguments.out, dialect);
  if (dialect != io::Dialect::peft) {
    expect_free(path, arguments.force);
  }
  if (session.options.dry_run) {
    session.say(fmt::format("{}: an adapter would be extracted from {} tensors\n",
                            dashi::escaped(path.string()), grouped(base.tensors().size())));
    session.report({{"verb", "extract"},
                    {"dry_run", true},
                    {"output", path.string()},
                    {"tensors", base.tensors().size()}});
    return dashi::ExitStatus::success;
  }
  session.start_kokkos(session.threads());
  session.will_write(path);
  dashi::Context<> context;
  checkpoints::Extraction found =
      checkpoints::extract_adapter(context, base, tuned, options, session.progress("extract"));
  if (found.tensors.empty()) {
    throw dashi::FormatError({.code = "nothing-to-extract",
                              .file = arguments.tuned,
                              .place = {},
                              .found = "the values of the base in every tensor",
                              .expected = "a checkpoint that was tuned from it",
                              .advice = {}});
  }
  io::AdapterBase const names_of_base = io::adapter_base(base);
  io::AdapterNames const names(names_of_base);
  if (!arguments.no_digest) {
    found.adapter.base_digest = io::checkpoint_digest(
        base, static_cast<std::size_t>(session.threads()), session.progress("digest"));
  }
  io::resolve_adapter(found.adapter, names_of_base);  // what has no place is not written
  io::AdapterWriteOptions write;
  write.names = &names;
  write.file.force = arguments.force;
  for (io::Checkpoint const* const input : {&base, &tuned}) {
    for (io::FileIdentity const& file : checkpoints::input_identities(*input)) {
      write.file.inputs.push_back(file);
    }
  }
  io::write_adapter(arguments.out, found.adapter, dialect, write);
  std::uint64_t parameters = 0;
  std::string table;
  Json tensors = Json::array();
  for (checkpoints::ExtractedTensor const& tensor : found.tensors) {
    parameters += tensor.parameters;
    table += fmt::format("    {}  {}  energy kept {:.6f}  relative error {:.3g}\n",
                         dashi::escaped(tensor.tensor), tensor.form, tensor.energy(), tensor.error);
    tensors.push_back({{"tensor", tensor.tensor},
                       {"form", tensor.form},
                       {"parameters", tensor.parameters},
                       {"norm", tensor.norm},
                       {"energy", tensor.energy()},
                       {"error", tensor.error}});
  }
  session.say(fmt::format("{}: {} tensors changed, {} parameters, relative error {:.3g}\n",
                          dashi::escaped(path.string()), grouped(found.tensors.size()),
                          grouped(parameters), found.error()) +
              table);
  if (session.options.json) {
    session.report({{"verb", "extract"},
                    {"base", arguments.base},
                    {"tuned", arguments.tuned},
                    {"output", path.string()},
                    {"parameters", parameters},
                    {"equal", found.equal},
                    {"error", found.error()},
                    {"base_digest", found.adapter.base_digest},
                    {"tensors", tensors}});
  }
  return dashi::ExitStatus::success;
}

}  // namespace

void add_extract(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ExtractArguments>();
  CLI::App* const verb = add_verb(
      app, "extract", model_verb_summary("extract"),
      "  dashi extract --base base.safetensors --tuned tuned.safetensors --out a.safetensors "
      "--kind lora --rank 16\n"
      "  dashi extract --base base.safetensors --tuned tuned.safetensors --out a.safetensors "
      "--kind lokr --factor 8\n"
      "  dashi extract --base base.safetensors --tuned tuned.safetensors --out a.safetensors "
      "--kind lokr --search --energy 0.95");
  verb->add_option("--base", arguments->base, "the checkpoint that was tuned")->required();
  verb->add_option("--tuned", arguments->tuned, "what became of it")->required();
  verb->add_option("--out", arguments->out, "the adapter to write")->required();
  verb->add_option("--kind", arguments->kind,
                   "of the changes of matrices: lora (default), by singular values, or lokr, the\n"
                   "nearest Kronecker product; vectors are always dense differences")
      ->check(CLI::IsMember({"lora", "lokr"}));
  verb->add_option("--rank", arguments->rank,
                   "of LoRA; of LoKr that of the second factor, which is full without it");
  verb->add_option(
      "--energy", arguments->energy,
      "share of the squares of every change that is to be kept (default 0: any): LoRA\n"
      "takes the smallest rank that does, up to --rank; where LoKr keeps less it\n"
      "becomes LoRA; and what keeps less still, a dense difference");
  verb->add_option("--factor", arguments->factor,
                   "of LoKr: the first factor's rows and columns are the largest divisors up to\n"
                   "this (default 8); 0 for the most balanced");
  verb->add_flag(
      "--search", arguments->search,
      "of LoKr: try all divisors; take the fewest parameters that keep --energy, or the\n"
      "most energy a parameter without it");
  verb->add_option("--dtype", arguments->dtype, "of the factors (default f32)");
  verb->add_option("--to", arguments->to, "dialect of the file (default dashi)");
  verb->add_flag("--no-digest", arguments->no_digest,
                 "do not record which base the adapter is for");
  add_force(*verb, arguments->force);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, extract);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The programs `dashi`, `dashi-bench` and `dashi-models`: a verb, its files, its options.
// docs/manual.md is the manual.

#include "arguments.hpp"
#include "failure.hpp"
#include "signals.hpp"
#include "verbs.hpp"
#include "version.hpp"

#include <dashi/io/listing.hpp>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using cli::Session;

struct GlobalText {
  std::string memory;
};

void add_global_options(CLI::App& app, Session& session, GlobalText& text) {
  auto& o = session.options;
  app.set_help_flag("-h,--help", "print this help, or that of a verb");
  app.add_flag("--version", o.version, "print version, backend, devices and libraries");
  app.add_flag("--dry-run", o.dry_run, "print the plan and write nothing");
  app.add_flag("--json", o.json, "print one JSON object; errors are one JSON object on stderr");
  app.add_flag("--quiet", o.quiet, "no progress and no warnings");
  app.add_option("--threads", o.threads, "threads, 0 for one a processor (default 0)")
      ->check(CLI::Range(0, 4096));
  app.add_option("--mem", text.memory, "memory for buffers, such as 512MB (default 1GiB or less)");
  app.add_option("--seed", o.seed, "seed of everything random (default 1)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--device", o.device, "where to compute (default host)");
}

/// Verbs below `app` at the place where the command line stopped making sense.
std::vector<std::string> names_of(CLI::App const& app, bool options) {
  std::vector<std::string> names;
  CLI::App const* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
  }
  if (!options) {
    for (CLI::App const* verb : at->get_subcommands([](CLI::App const*) { return true; })) {
      names.push_back(verb->get_name());
    }
    return names;
  }
  for (CLI::App const* level : {at, &app}) {
    for (CLI::Option const* option : level->get_options()) {
      for (std::string const& name : option->get_lnames()) {
        names.push_back("--" + name);
      }
    }
  }
  return names;
}

[[noreturn]] void refuse_command_line(CLI::App const& app, CLI::ParseError const& error) {
  std::string found = error.what();
  std::string advice = "see dashi --help";
  if (auto const chosen = app.get_subcommands(); !chosen.empty()) {
    advice = "see dashi " + chosen.front()->get_name() + " --help";
  }
  if (std::vector<std::string> const extras = app.remaining(true); !extras.empty()) {
    std::string const& word = extras.front();
    bool const option = word.starts_with("-") && word != "-";
    std::string const name = word.substr(0, word.find('='));
    found =
        (option ? "the unknown option " : "the unexpected argument ") + dashi::io::in_quotes(word);
    if (std::string const meant = cli::nearest(name, names_of(app, option)); !meant.empty()) {
      advice = "did you mean " + meant + "?";
    }
  }
  cli::usage_error("usage", found, {}, advice);
}

void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (CLI::CallForHelp const&) {
    throw;
  } catch (CLI::ParseError const& error) {
    refuse_command_line(app, error);
  }
}

int run(CLI::App& app, Session& session, GlobalText const& text) {
  if (session.options.version) {
    session.start_kokkos();
    cli::print_version(session);
    return 0;
  }
  if (!session.action) {
    if (auto const chosen = app.get_subcommands(); !chosen.empty()) {
      cli::usage_error("usage", "'" + chosen.front()->get_name() + "' without what to do",
                       dashi::io::listing(names_of(app, false)),
                       "see dashi " + chosen.front()->get_name() + " --help");
    }
    cli::usage_error("usage", "no verb", dashi::io::listing(names_of(app, false)),
                     "see dashi --help");
  }
  if (!text.memory.empty()) {
    session.options.memory = cli::size_argument("--mem", text.memory);
  }
  cli::expect_device(session.options.device);
  return static_cast<int>(session.action());
}

/// Before the command line is understood; an error in it is printed as it asks.
bool asks_for_json(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    if (std::string_view(argv[i]) == "--json") {
      return true;
    }
  }
  return false;
}

/// Programs that were compiled for newer processors end with an illegal instruction on older ones.
void expect_processor() {
#if defined(__AVX2__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx2") == 0) {
    throw dashi::VendorError({.code = "processor-too-old",
                              .file = {},
                              .place = {},
                              .found = "a processor without AVX2",
                              .expected = "one with AVX2, for which this program was compiled",
                              .advice = "compile it with -DDASHI_MARCH= (empty)"});
  }
#endif
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  bool const json = asks_for_json(argc, argv);
  try {
    expect_processor();
    Session session;
    session.command_line.assign(argv, argv + argc);
    GlobalText text;
    CLI::App app("Adapts, trains and merges checkpoints of diffusion models, exactly.", "dashi");
    app.footer(
        "Exit statuses: 0 success, 1 a negative answer, 2 usage, 65 bad data, 66 input missing, 69 "
        "device\n"
        "missing, 70 internal error, 71 out of memory, 73 cannot create output, 74 I/O error, 75 "
        "stopped\n"
        "early and saved, 77 no permission, 78 bad configuration. Example:\n"
        "  dashi inspect model.safetensors");
    add_global_options(app, session, text);
    cli::add_verbs(app, session);
    try {
      parse(app, argc, argv);
      return run(app, session, text);
    } catch (CLI::CallForHelp const&) {
      cli::write_all(STDOUT_FILENO, app.help());
      return 0;
    } catch (...) {
      session.end_progress();
      throw;
    }
  } catch (...) {
    return cli::report_current_exception(json);
  }
}

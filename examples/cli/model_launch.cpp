// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verbs of dashi that become the program dashi-models, which reads their options and prints their
// help.
#include "become_program.hpp"
#include "model_verbs.hpp"
#include "verbs.hpp"

#include <CLI/CLI.hpp>

namespace cli {

void add_model_verbs(CLI::App& app, Session& session) {
  for (VerbSummary const& summary : model_verbs) {
    CLI::App* const verb = app.add_subcommand(summary.name, summary.summary);
    verb->set_help_flag();
    verb->prefix_command();
    verb->callback([&session] {
      session.action = [&session]() -> dashi::ExitStatus {
        become_program(session, "dashi-models");
      };
    });
  }
}

}  // namespace cli

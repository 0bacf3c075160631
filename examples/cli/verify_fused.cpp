// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "verify_fused.hpp"

#include "arguments.hpp"
#include "failure.hpp"

#include <dashi/checkpoints/fuse_verify.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cli {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

void add_fused_options(CLI::App& verb, FusedArguments& arguments) {
  verb.add_option("--fused", arguments.fused,
                  "instead of FILE: a checkpoint that must be --base with every --adapter in it");
  verb.add_option("--base", arguments.base, "with --fused: what it was made of");
  add_applied_adapters(verb, arguments.adapters,
                       "with --fused: FILE or FILE=STRENGTH, in the order in which they were fused",
                       false);
  verb.add_option("--ulp", arguments.ulp,
                  "with --fused: the largest error that passes, in units in the last place; one\n"
                  "rounding leaves 0.5 (default)")
      ->check(CLI::NonNegativeNumber);
}

namespace {

std::string module_line(checkpoints::FusePlan const& plan,
                        checkpoints::ModuleAgreement const& module) {
  checkpoints::FuseAdapter const& adapter = plan.adapters[module.adapter];
  return fmt::format("    {}  {}  {} elements  {:.3g} ulp{}\n",
                     dashi::escaped(adapter.file->modules[module.module].path),
                     dashi::escaped(module.tensor), grouped(module.elements), module.largest_ulp,
                     module.different == 0 ? ""
                                           : fmt::format("  {} differ, the most at element {}",
                                                         grouped(module.different), module.worst));
}

}  // namespace

dashi::ExitStatus verify_fused(Session& session, FusedArguments const& arguments,
                               io::ReadOptions const& read) {
  if (arguments.fused.empty() || arguments.base.empty() || arguments.adapters.adapters.empty()) {
    usage_error("fused-incomplete", "not all of --fused, --base and --adapter", "all three");
  }
  io::Checkpoint const fused(arguments.fused, read);
  io::Checkpoint const base(arguments.base, read);
  session.warn_all(base.warnings());
  session.warn_all(fused.warnings());
  std::deque<OpenAdapter> adapters = read_adapters(arguments.adapters, read);
  resolve_adapters(session, adapters, base);
  checkpoints::FusePlan const plan = checkpoints::plan_fusion(base, fuse_adapters(adapters));
  bool const dry_run = session.options.dry_run;
  checkpoints::FusionAgreement found;
  if (!dry_run) {
    found = checkpoints::verify_fusion(
        plan, fused, arguments.ulp,
        {.workers = session.threads(), .memory_budget = session.memory()},
        session.progress("verify"));
  }
  bool const agrees = found.agrees();
  double largest = 0;
  std::string out;
  Json modules = Json::array();
  for (checkpoints::ModuleAgreement const& module : found.modules) {
    largest = std::max(largest, module.largest_ulp);
    out += module_line(plan, module);
    modules.push_back({{"adapter", module.adapter},
                       {"module", plan.adapters[module.adapter].file->modules[module.module].path},
                       {"tensor", module.tensor},
                       {"elements", module.elements},
                       {"largest_ulp", module.largest_ulp},
                       {"different", module.different}});
  }
  if (!found.other.empty()) {
    out += row("others", io::listing(found.other) + " differ from the base");
  }
  session.say(
      fmt::format("{}: {}\n", dashi::escaped(arguments.fused),
                  dry_run
                      ? fmt::format("{} tensors would be compared", grouped(plan.tensors.size()))
                  : agrees ? fmt::format("its base with {} adapter{}, every weight within "
                                         "{:.3g} ulp",
                                         adapters.size(), adapters.size() == 1 ? "" : "s", largest)
                           : "not its base with these adapters") +
      (dry_run ? module_table(plan) : out));
  Json object{{"verb", "verify"},
              {"fused", arguments.fused},
              {"base", arguments.base},
              {"adapters", adapters_json(adapters)}};
  if (dry_run) {
    object["dry_run"] = true;
  } else {
    object["agrees"] = agrees;
    object["largest_ulp"] = largest;
    object["modules"] = modules;
    object["other"] = found.other;
  }
  session.report(object);
  return agrees ? dashi::ExitStatus::success : dashi::ExitStatus::negative;
}

}  // namespace cli

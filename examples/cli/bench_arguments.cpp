// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench_arguments.hpp"

#include "arguments.hpp"

namespace cli {

CLI::App* add_bench_verb(CLI::App& app, BenchArguments& arguments) {
  CLI::App* const verb =
      add_verb(app, "bench", "measure this machine's ceilings and each kernel's fraction of them",
               "  dashi bench\n  dashi bench --only Kronecker --json");
  verb->add_option("--only", arguments.only, "kernels whose name contains this");
  CLI::Option* const repetitions =
      verb->add_option("--repetitions", arguments.repetitions, "runs of each kernel (default 7)")
          ->check(CLI::Range(1, 1000));
  verb->add_flag("--quick", arguments.quick,
                 "smaller checkpoints and 3 runs: a look, no measurement")
      ->excludes(repetitions);
  return verb;
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The verb bench of dashi: it becomes the program dashi-bench.
#include "arguments.hpp"
#include "become_program.hpp"
#include "bench_arguments.hpp"
#include "verbs.hpp"

#include <memory>

namespace cli {

namespace {

dashi::ExitStatus launch_bench(Session& session, BenchArguments const&) {
  become_program(session, "dashi-bench");
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<BenchArguments>();
  on_verb(*add_bench_verb(app, *arguments), session, arguments, launch_bench);
}

}  // namespace cli

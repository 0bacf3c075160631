// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The verb bench of dashi: it becomes the program dashi-bench, which lies beside it. Linear algebra
// needs libraries that take hundreds of megabytes of address space when they are loaded, and one of
// them waits for ever where these cannot be had; the other verbs do without.
#include "arguments.hpp"
#include "bench_arguments.hpp"
#include "verbs.hpp"

#include <dashi/core/error.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

namespace cli {

namespace {

dashi::ExitStatus launch_bench(Session& session, BenchArguments const&) {
  std::error_code ignored;
  std::filesystem::path const program =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / "dashi-bench";
  std::vector<char*> arguments;
  for (std::string& word : session.command_line) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw dashi::Error({.code = "no-bench",
                      .file = program.string(),
                      .place = {},
                      .found = std::string("cannot start it: ") + std::strerror(errno),
                      .expected = "the program dashi-bench beside dashi",
                      .advice = "build or install it again"});
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<BenchArguments>();
  on_verb(*add_bench_verb(app, *arguments), session, arguments, launch_bench);
}

}  // namespace cli

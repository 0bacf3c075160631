// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "become_program.hpp"

#include <dashi/core/error.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

namespace cli {

void become_program(Session& session, std::string const& name) {
  std::error_code ignored;
  std::filesystem::path const program =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / name;
  std::vector<char*> arguments;
  for (std::string& word : session.command_line) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw dashi::Error({.code = "no-program",
                      .file = program.string(),
                      .place = {},
                      .found = std::string("cannot start it: ") + std::strerror(errno),
                      .expected = "the program " + name + " beside dashi",
                      .advice = "build or install it again"});
}

}  // namespace cli

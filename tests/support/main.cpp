// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Entry point of every C++ test program: Kokkos runs while tests run, not while they are listed.

#include <Kokkos_Core.hpp>
#include <catch2/catch_session.hpp>

#include <optional>

int main(int argc, char* argv[]) {
  Catch::Session session;
  session.configData().rngSeed = 20240612;  // the same run every time; --rng-seed chooses another
  if (int const status = session.applyCommandLine(argc, argv); status != 0) {
    return status;
  }
  auto const& options = session.configData();
  bool const only_lists = options.listTests || options.listTags || options.listReporters ||
                          options.listListeners || options.showHelp || options.libIdentify;
  std::optional<Kokkos::ScopeGuard> kokkos;
  if (!only_lists) {
    kokkos.emplace(Kokkos::InitializationSettings().set_disable_warnings(true));
  }
  return session.run();
}

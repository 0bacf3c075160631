// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/dashi.hpp>

#include <iostream>

int main(int argc, char* argv[]) {
  dashi::ScopeGuard const guard(argc, argv);
  dashi::Configuration const configuration = dashi::configuration();
  std::cout << dashi::summary(configuration);
  return configuration.version == DASHI_VERSION && configuration.backend == DASHI_BACKEND_NAME ? 0 : 1;
}

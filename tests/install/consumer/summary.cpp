// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/dashi.hpp>

#include <iostream>

int main(int argc, char* argv[]) {
  dashi::ScopeGuard const guard(argc, argv);
  dashi::Configuration const configuration = dashi::configuration();
  std::cout << dashi::summary(configuration);
  bool const agrees = configuration.version == DASHI_VERSION && configuration.threads > 0;
  return agrees ? 0 : 1;
}

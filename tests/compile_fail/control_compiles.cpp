// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-success
// Lends its compile command to all the others, so a broken command is seen here first.

#include <dashi/dashi.hpp>

int main() {}

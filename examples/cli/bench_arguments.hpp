// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace cli {

/// What `dashi bench` is told; dashi reads it and hands it on to dashi-bench.
struct BenchArguments {
  std::string only;
  int repetitions = 7;
  bool quick = false;
};

/// Adds the verb with its options.
CLI::App* add_bench_verb(CLI::App& app, BenchArguments& arguments);

}  // namespace cli

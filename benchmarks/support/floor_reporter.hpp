// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::bench {

/// Prints median and best of every benchmark, its bandwidth, and the fraction of its floor: the
/// time that its bytes take at the best ceiling measured in the same process, in interleaved runs.
///
/// A benchmark sets the counter `bytes`; one whose name begins with "ceiling/" is a ceiling, and
/// `against` (optional counter, an index into `ceilings` by order of registration) is not needed
/// because the fastest ceiling counts. A fraction above 1.05 is a wrong count or cached data:
/// failed().
class FloorReporter : public benchmark::BenchmarkReporter {
public:
  bool ReportContext(Context const& context) override {
    PrintBasicContext(&GetErrorStream(), context);
    return true;
  }

  void ReportRuns(std::vector<Run> const& runs) override {
    for (Run const& run : runs) {
      if (run.run_type != Run::RT_Iteration) {
        continue;
      }
      std::string const name =
          run.run_name.function_name + (run.run_name.args.empty() ? "" : "/" + run.run_name.args);
      if (run.error_occurred) {
        std::printf("%s: %s\n", name.c_str(), run.error_message.c_str());
        failed_ = true;
        continue;
      }
      auto const [it, inserted] = results_.try_emplace(name);
      if (inserted) {
        order_.push_back(name);
      }
      it->second.seconds.push_back(run.real_accumulated_time / static_cast<double>(run.iterations));
      auto const bytes = run.counters.find("bytes");
      it->second.bytes = bytes == run.counters.end() ? 0.0 : bytes->second.value;
    }
  }

  void Finalize() override {
    double ceiling = 0.0;
    for (auto const& [name, result] : results_) {
      if (is_ceiling(name)) {
        ceiling = std::max(ceiling, result.bytes / median(result.seconds));
      }
    }
    std::printf("%-40s %5s %10s %10s %8s %9s\n", "", "runs", "median ms", "best ms", "GB/s",
                "of floor");
    for (std::string const& name : order_) {
      Result const& r = results_[name];
      double const seconds = median(r.seconds);
      double const rate = r.bytes / seconds;
      std::printf("%-40s %5zu %10.2f %10.2f %8.2f", name.c_str(), r.seconds.size(), seconds * 1e3,
                  *std::min_element(r.seconds.begin(), r.seconds.end()) * 1e3, rate / 1e9);
      if (ceiling > 0.0 && !is_ceiling(name)) {
        std::printf(" %9.2f", rate / ceiling);
        if (rate > 1.05 * ceiling) {
          std::printf("  above the ceiling: the count is wrong or the data is cached");
          failed_ = true;
        }
      }
      std::printf("\n");
    }
  }

  bool failed() const { return failed_; }

private:
  struct Result {
    std::vector<double> seconds;
    double bytes = 0.0;
  };
  static bool is_ceiling(std::string const& name) { return name.rfind("ceiling/", 0) == 0; }
  static double median(std::vector<double> values) {
    auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  std::map<std::string, Result> results_;
  std::vector<std::string> order_;
  bool failed_ = false;
};

/// Runs the registered benchmarks, interleaved at random, 15 repetitions unless told otherwise, and
/// returns the exit status.
inline int run_against_floor(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  std::string repetitions = "--benchmark_repetitions=15";
  std::string interleaving = "--benchmark_enable_random_interleaving=true";
  arguments.insert(arguments.begin() + 1, {repetitions.data(), interleaving.data()});
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) {
    return 2;
  }
  FloorReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  return reporter.failed() ? 1 : 0;
}

}  // namespace dashi::bench

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace dashi::bench {

/// A call to time, with the work that nobody can save.
struct TimedRow {
  std::string name;
  double flops = 0;
  double bytes = 0;  ///< moved to and from memory at least; 0: the data fits the caches
  std::function<void()> call;
  std::vector<double> seconds{};

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
};

/// Rows called in turn, so that drift of the machine meets all of them alike. The names of rows
/// that measure ceilings begin with "ceiling/"; the best of each kind makes the floors.
class TimedRows {
public:
  void add(TimedRow row) { rows_.push_back(std::move(row)); }
  TimedRow const& row(std::size_t at) const { return rows_[at]; }
  std::vector<TimedRow> const& rows() const { return rows_; }

  void run() {
    char const* const text = std::getenv("DASHI_BENCH_REPEATS");
    int const repeats = text == nullptr ? 15 : std::max(1, std::atoi(text));
    for (int repeat = -1; repeat < repeats; ++repeat) {
      for (TimedRow& row : rows_) {
        auto const start = std::chrono::steady_clock::now();
        row.call();
        std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
        if (repeat >= 0) {  // the first only warms up
          row.seconds.push_back(time.count());
        }
      }
    }
  }

  /// Whether a row took less time than its work can: the count is wrong or the data is cached.
  bool below_a_floor() const {
    return std::any_of(rows_.begin(), rows_.end(), [&](TimedRow const& row) {
      return !is_ceiling(row) && floor_seconds(row) > 1.05 * row.median();
    });
  }

  /// Prints all rows and, as the last line, the same as JSON.
  void print(char const* benchmark) const {
    std::printf("%-48s %10s %10s %9s %8s %9s\n", "", "median ms", "best ms", "GFLOP/s", "GB/s",
                "of floor");
    std::string json = "{\"benchmark\": \"" + std::string(benchmark) + "\", \"rows\": {";
    for (TimedRow const& row : rows_) {
      double const seconds = row.median();
      double const floor = floor_seconds(row);
      std::printf("%-48s %10.3f %10.3f %9.1f %8.2f", row.name.c_str(), seconds * 1e3,
                  row.best() * 1e3, row.flops / seconds * 1e-9, row.bytes / seconds * 1e-9);
      if (!is_ceiling(row)) {
        std::printf(" %9.2f", floor / seconds);
      }
      std::printf("\n");
      char text[256];
      std::snprintf(
          text, sizeof(text), "%s\"%s\": {\"median\": %.9g, \"best\": %.9g, \"floor\": %.9g}",
          &row == &rows_.front() ? "" : ", ", row.name.c_str(), seconds, row.best(), floor);
      json += text;
    }
    std::printf("%s}}\n", json.c_str());
  }

private:
  double floor_seconds(TimedRow const& row) const {
    double const flops = ceiling([](TimedRow const& r) { return r.flops; });
    double const bytes = ceiling([](TimedRow const& r) { return r.bytes; });
    return std::max(flops > 0 ? row.flops / flops : 0, bytes > 0 ? row.bytes / bytes : 0);
  }
  static bool is_ceiling(TimedRow const& row) { return row.name.rfind("ceiling/", 0) == 0; }
  template <class Work>
  double ceiling(Work const& work) const {
    double fastest = 0;
    for (TimedRow const& row : rows_) {
      if (is_ceiling(row)) {
        fastest = std::max(fastest, work(row) / row.median());
      }
    }
    return fastest;
  }

  std::vector<TimedRow> rows_;
};

}  // namespace dashi::bench

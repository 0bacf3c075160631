// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace dashi::bench {

/// Where the time of a pass goes: by profiling region, and by kernel outside regions. For host
/// spaces, whose kernels have ended when their call returns; summed over the threads that call. One
/// at a time.
class KernelProfile {
public:
  KernelProfile() {
    namespace tools = Kokkos::Tools::Experimental;
    rows().clear();
    tools::set_push_region_callback([](char const* name) { begin(name); });
    tools::set_pop_region_callback([] { end(); });
    tools::set_begin_parallel_for_callback(
        [](char const* name, std::uint32_t, std::uint64_t*) { begin(name); });
    tools::set_end_parallel_for_callback([](std::uint64_t) { end(); });
    tools::set_begin_deep_copy_callback([](Kokkos_Profiling_SpaceHandle, char const*, void const*,
                                           Kokkos_Profiling_SpaceHandle, char const*, void const*,
                                           std::uint64_t) { begin("deep_copy"); });
    tools::set_end_deep_copy_callback([] { end(); });
  }
  ~KernelProfile() { Kokkos::Tools::Experimental::pause_tools(); }
  KernelProfile(KernelProfile const&) = delete;
  KernelProfile& operator=(KernelProfile const&) = delete;

  /// Milliseconds and calls of one of `passes`, the longest first.
  static void print(int passes) {
    std::vector<std::pair<std::string, Row>> sorted(rows().begin(), rows().end());
    std::sort(sorted.begin(), sorted.end(),
              [](auto const& a, auto const& b) { return a.second.seconds > b.second.seconds; });
    for (auto const& [name, row] : sorted) {
      std::printf("  %-52s %9.3f ms %6.1f calls\n", name.c_str(), row.seconds * 1e3 / passes,
                  static_cast<double>(row.calls) / passes);
    }
  }

private:
  using Clock = std::chrono::steady_clock;
  struct Row {
    double seconds = 0;
    long calls = 0;
  };
  static std::map<std::string, Row>& rows() {
    static std::map<std::string, Row> all;
    return all;
  }
  static std::vector<std::pair<std::string, Clock::time_point>>& stack() {
    static thread_local std::vector<std::pair<std::string, Clock::time_point>> open;
    return open;
  }
  static void begin(char const* name) { stack().emplace_back(name, Clock::now()); }
  static void end() {
    if (stack().empty()) {
      return;  // begun before the profile
    }
    auto const [name, start] = stack().back();
    stack().pop_back();
    if (stack().empty()) {
      static std::mutex mutex;
      std::lock_guard const lock(mutex);
      Row& row = rows()[name];
      row.seconds += std::chrono::duration<double>(Clock::now() - start).count();
      ++row.calls;
    }
  }
};

}  // namespace dashi::bench

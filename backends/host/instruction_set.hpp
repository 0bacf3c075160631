// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <atomic>

namespace dashi::backends::host {

enum class InstructionSet { baseline, avx2, avx512 };

/// The widest instruction set that both this processor and the kernels know.
inline InstructionSet available_instruction_set() {
#if defined(__x86_64__)
  static InstructionSet const found = [] {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2")) {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
                 ? InstructionSet::avx512
                 : InstructionSet::avx2;
    }
    return InstructionSet::baseline;
  }();
  return found;
#else
  return InstructionSet::baseline;
#endif
}

namespace detail {
inline std::atomic<InstructionSet>& instruction_set_limit() {
  static std::atomic<InstructionSet> limit{InstructionSet::avx512};
  return limit;
}
}  // namespace detail

/// Uses no more than this from now on, in all threads: tests compare the results of all of them.
inline void limit_instruction_set(InstructionSet limit) {
  detail::instruction_set_limit().store(limit, std::memory_order_relaxed);
}

inline InstructionSet instruction_set() {
  return std::min(available_instruction_set(),
                  detail::instruction_set_limit().load(std::memory_order_relaxed));
}

}  // namespace dashi::backends::host

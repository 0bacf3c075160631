// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <string>
#include <vector>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace dashi {

/// Vector and matrix instructions that processor and system offer now, whatever was compiled for:
/// of avx2, fma, f16c, avx512f, avx512bw, avx512dq, avx512vl, avx512bf16, avx512fp16, amx-tile,
/// amx-bf16, amx-int8. Empty on other processors.
inline std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  struct Registers {
    unsigned eax, ebx, ecx, edx;
  };
  auto const leaf = [](unsigned number, unsigned sub) {
    Registers r{};
    if (__get_cpuid_count(number, sub, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) {
      return Registers{};
    }
    return r;
  };
  auto const one = leaf(1, 0);
  auto const seven = leaf(7, 0);
  auto const seven_one = seven.eax >= 1 ? leaf(7, 1) : Registers{};
  unsigned saved = 0;  // register files the system keeps at a switch (XCR0)
  if ((one.ecx >> 27 & 1U) != 0) {
    [[maybe_unused]] unsigned high = 0;
    asm("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  }
  constexpr unsigned avx = 0x6, avx512 = 0xe6, amx = 0x60000;
  auto const add = [&](char const* name, unsigned reg, unsigned bit, unsigned needs) {
    if ((reg >> bit & 1U) != 0 && (saved & needs) == needs) {
      names.emplace_back(name);
    }
  };
  add("avx2", seven.ebx, 5, avx);
  add("fma", one.ecx, 12, avx);
  add("f16c", one.ecx, 29, avx);
  add("avx512f", seven.ebx, 16, avx512);
  add("avx512bw", seven.ebx, 30, avx512);
  add("avx512dq", seven.ebx, 17, avx512);
  add("avx512vl", seven.ebx, 31, avx512);
  add("avx512bf16", seven_one.eax, 5, avx512);
  add("avx512fp16", seven.edx, 23, avx512);
  add("amx-tile", seven.edx, 24, amx);
  add("amx-bf16", seven.edx, 22, amx);
  add("amx-int8", seven.edx, 25, amx);
#endif
  return names;
}

}  // namespace dashi

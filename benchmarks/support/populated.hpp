// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/philox.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <random>
#include <vector>

namespace dashi::bench {

/// Page-aligned memory, populated before anything is timed, in huge pages where the system gives
/// them.
template <class T>
class Populated {
public:
  explicit Populated(std::int64_t elements)
      : elements_(elements), bytes_(static_cast<std::size_t>(elements) * sizeof(T)) {
    void* const memory =
        ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    ::madvise(memory, bytes_, MADV_HUGEPAGE);
    data_ = static_cast<T*>(memory);
    for (std::size_t at = 0; at < bytes_; at += 4096) {
      static_cast<char volatile*>(memory)[at] = 0;
    }
  }
  ~Populated() { ::munmap(data_, bytes_); }
  Populated(Populated const&) = delete;
  Populated& operator=(Populated const&) = delete;

  T* data() const { return data_; }
  std::int64_t elements() const { return elements_; }
  std::size_t bytes() const { return bytes_; }

private:
  std::int64_t elements_;
  std::size_t bytes_;
  T* data_ = nullptr;
};

/// Normal(0, 0.02), as weights are: a block of 2^20 numbers, repeated from a place that differs by
/// `seed`, so that filling gigabytes takes a second.
template <class T>
void fill_with_weights(Populated<T> const& memory, std::uint64_t seed) {
  static std::vector<T> const block = [] {
    std::mt19937_64 engine(7);
    std::normal_distribution<double> normal(0.0, 0.02);
    std::vector<T> values(std::size_t{1} << 20);
    for (T& value : values) {
      value = convert<T>(normal(engine));
    }
    return values;
  }();
  std::size_t at = (seed * 77773U) % block.size();
  for (std::int64_t i = 0; i < memory.elements(); ++i) {
    memory.data()[i] = block[at];
    at = at + 1 == block.size() ? 0 : at + 1;
  }
}

}  // namespace dashi::bench

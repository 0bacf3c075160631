// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: DataSet: declare std::int64_t label
#include <dashi/training/data_set_concept.hpp>

struct Images {
  struct Shape {
    int channels, height, width;
  };
  std::size_t size() const;
  Shape shape() const;
  void read(std::size_t, std::span<float>) const;
  std::string digest() const;
};
static_assert(dashi::training::require_data_set<Images>());

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/embedding.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <vector>

namespace resolve_labels_test {

namespace {

using Exec = Kokkos::DefaultExecutionSpace;

template <class T>
Kokkos::View<T*, Exec::memory_space> copied(std::vector<T> const& values) {
  Kokkos::View<T*, Exec::memory_space> const view("copied", values.size());
  auto const host = Kokkos::create_mirror_view(view);
  for (std::size_t i = 0; i < values.size(); ++i) {
    host(i) = values[i];
  }
  Kokkos::deep_copy(view, host);
  return view;
}

std::vector<std::int64_t> resolved(std::vector<std::int64_t> const& classes,
                                   std::vector<std::uint8_t> const& dropped) {
  dashi::Context<Exec> ctx;
  auto const class_view = copied(classes);
  auto const dropped_view = copied(dropped);
  Kokkos::View<std::int64_t*, Exec::memory_space> const out("out", classes.size());
  dashi::kernels::resolve_labels(ctx, {class_view, dropped_view, 0}, 5, out);
  ctx.fence();
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), out);
  return {host.data(), host.data() + host.size()};
}

using Labels = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("dropped and unknown labels become that of no class", "[embedding]") {
  CHECK(resolved({0, 4, 5, 3}, {}) == Labels{0, 4, 5, 3});
  CHECK(resolved({0, 4, 5, 3}, {0, 1, 1, 0}) == Labels{0, 5, 5, 3});
  CHECK(resolved({-1, 6, 1000, 2}, {}) == Labels{5, 5, 5, 2});
  CHECK(resolved({}, {}).empty());
}

}  // namespace resolve_labels_test

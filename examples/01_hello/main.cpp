// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Starts dashi, says what it runs on, and draws a few random numbers by index.

#include <dashi/dashi.hpp>

#include <cstdio>

int main(int argc, char* argv[]) {
  dashi::ScopeGuard const guard(argc, argv);
  std::fputs(dashi::summary(dashi::configuration()).c_str(), stdout);

  // Number i of (seed, place) is the same on every machine, whoever computes it.
  dashi::Context ctx;
  using Exec = decltype(ctx)::execution_space;
  Kokkos::View<float*, Exec> noise("noise", 4);
  dashi::Philox const random(2024, {.purpose = 1, .step = 0, .sample = 0});
  Kokkos::parallel_for(
      "hello", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, noise.size()),
      KOKKOS_LAMBDA(std::size_t i) { noise(i) = random.normal<float>(i); });
  ctx.fence();

  auto const on_host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), noise);
  std::printf("noise: %.6f %.6f %.6f %.6f\n", on_host(0), on_host(1), on_host(2), on_host(3));
}

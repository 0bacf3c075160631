// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A DiT on the default execution space against one on the host in double: output and gradients.
#include <dashi/adapters/low_rank.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_test_macros.hpp>

#include <dit_fixture.hpp>
#include <golden_case.hpp>

namespace dit_test {

namespace {

using namespace dashi;

DitConfig small() {
  DitConfig config;
  config.depth = 2;
  config.width = 24;
  config.heads = 2;
  config.mlp_width = 40;
  config.patch = 2;
  config.channels = 3;
  config.classes = 5;
  config.height = 6;
  config.width_pixels = 8;
  return config;
}

std::vector<double> numbers(std::size_t count, std::uint32_t which) {
  Philox const random(11, {random_purpose::noise, 0, which});
  std::vector<double> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<double>(random.normal<float>(i));
  }
  return out;
}

/// The same numbers in every parameter that has the name, none of them zero.
template <class List>
void fill(List const& list) {
  for (auto const& entry : list) {
    if (entry.kind != ParameterKind::buffer) {
      auto values = numbers(static_cast<std::size_t>(entry.parameter.size()),
                            static_cast<std::uint32_t>(name_key(entry.name)));
      for (double& value : values) {
        value *= 0.2;
      }
      entry.parameter.write(std::span<double const>(values));
    }
  }
}

template <class Placement, class P>
void compare(double tolerance) {
  constexpr Index samples = 3;
  test::DitFixture<BasicDiT<Kokkos::DefaultExecutionSpace, P, Placement>> device(small(), samples);
  test::DitFixture<BasicDiT<Kokkos::DefaultHostExecutionSpace, precision::Float64, Placement>> host(
      small(), samples);
  fill(device.list);
  fill(host.list);
  auto const shape = device.net.shape();
  auto const x = numbers(static_cast<std::size_t>(samples * shape.image_size()), 1);
  auto const d_out = numbers(static_cast<std::size_t>(samples * shape.out_size()), 2);
  device.feed(x, {0, 500, 999}, {4, 0, 5});
  host.feed(x, {0, 500, 999}, {4, 0, 5});
  CHECK(test::relative_difference(device.evaluate(), host.evaluate()) < tolerance);
  CHECK(test::relative_difference(device.forward(), host.forward()) < tolerance);
  CHECK(test::relative_difference(device.backward(d_out), host.backward(d_out)) < tolerance);
  CHECK(test::relative_difference(device.gradients(), host.gradients()) < tolerance);
}

}  // namespace

// Ten times the unit roundoff of float for each of some ten dozen roundings on the way.
TEST_CASE("a DiT on this execution space equals the host's in double", "[dit]") {
  compare<Place<>, precision::Float32>(1e-4);
}

TEST_CASE("so does one with adapters", "[dit]") {
  compare<Place<On<role::attention, LowRank>, On<role::mlp, LowRank>>, precision::Float32>(1e-4);
}

#if !defined(DASHI_TEST_ONE_SCALAR)
// The storage rounds with 2^-9, on the way some ten times in a row.
TEST_CASE("a DiT in bfloat16 stays near the host's in double", "[dit]") {
  compare<Place<>, precision::Bf16Mixed>(0.1);
}
#endif

}  // namespace dit_test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/low_rank.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <golden_case.hpp>

#include "tiny_dit.hpp"

namespace dit_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
template <class P, class Placement = Place<>>
using Net = BasicDiT<Exec, P, Placement>;
using LowRankNet = Net<precision::Float32, Place<On<role::attention, LowRank>>>;

std::size_t allocations = 0;
void count_allocation(Kokkos::Tools::SpaceHandle, char const*, void const*, std::uint64_t) {
  ++allocations;
}

/// Allocations of Kokkos while it lives.
class AllocationCount {
public:
  AllocationCount() {
    allocations = 0;
    Kokkos::Tools::Experimental::set_allocate_data_callback(count_allocation);
  }
  ~AllocationCount() { Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr); }
};

struct Counts {
  Index parameters;
  std::size_t tensors;
};
Counts counts_of(DitConfig const& config) {
  Context<Exec> ctx;
  Net<precision::Float32> const net(ctx, config);
  ParameterList<precision::Float32, Exec> list;
  net.parameters(list);
  return {list.count(), list.size()};
}
/// From nets of one and two blocks, since a large one would fill the memory.
Counts extrapolated(DitConfig config) {
  Index const depth = config.depth;
  config.depth = 1;
  Counts const one = counts_of(config);
  config.depth = 2;
  Counts const two = counts_of(config);
  auto const more = static_cast<std::size_t>(depth - 1);
  return {one.parameters + (depth - 1) * (two.parameters - one.parameters),
          one.tensors + more * (two.tensors - one.tensors)};
}

}  // namespace

TEST_CASE("DiT-S/2 has the parameters of the paper's model", "[dit]") {
  Counts const small = counts_of(DitConfig::small());
  CHECK(small.parameters == 32963360);
  CHECK(small.tensors == 132);
  Counts const again = extrapolated(DitConfig::small());
  CHECK(again.parameters == small.parameters);
  CHECK(again.tensors == small.tensors);
}

TEST_CASE("DiT-B/2, L/2 and XL/2 have the parameters of the paper's models", "[dit]") {
  Counts const base = extrapolated(DitConfig::base());
  CHECK(base.parameters == 130512416);
  CHECK(base.tensors == 132);
  Counts const large = extrapolated(DitConfig::large());
  CHECK(large.parameters == 458102816);
  CHECK(large.tensors == 252);
  Counts const extra_large = extrapolated(DitConfig::extra_large());
  CHECK(extra_large.parameters == 675129632);
  CHECK(extra_large.tensors == 292);
  auto config = DitConfig::extra_large();
  config.height = config.width_pixels = 64;
  CHECK(extrapolated(config).parameters == 676014368);
}

TEST_CASE("a new DiT predicts zero and its blocks are the identity", "[dit]") {
  test::TinyDit<Net<precision::Float32>> dit;
  initialise(dit.ctx, dit.list, 11);
  for (double const value : dit.forward()) {
    REQUIRE(value == 0);
  }
  // Let the final layer show the stream: what is inside the blocks must not.
  auto const* const final = dit.list.find("final_layer.linear.weight");
  final->parameter.write(
      std::span<double const>(test::noise(static_cast<std::size_t>(final->parameter.size()), 3)));
  auto const before = dit.forward();
  CHECK(*std::max_element(before.begin(), before.end()) > 0.1);
  std::uint64_t seed = 40;
  for (auto const& entry : dit.list) {
    if (entry.block >= 0 && entry.name.find("adaLN") == std::string::npos) {
      entry.parameter.write(std::span<double const>(
          test::noise(static_cast<std::size_t>(entry.parameter.size()), ++seed)));
    }
  }
  CHECK(dit.forward() == before);
  auto const* const gate = dit.list.find("blocks.1.adaLN_modulation.1.bias");
  gate->parameter.write(std::span<double const>(std::vector<double>(48, 1)));
  CHECK(dit.forward() != before);
}

TEMPLATE_TEST_CASE("computing blocks again gives the same bits", "[dit]", precision::Float32,
                   precision::Bf16Mixed) {
  auto config = test::tiny_config();
  config.depth = 3;
  config.embedders = GENERATE(Embedders::shared, Embedders::per_block);
  test::TinyDit<Net<TestType>> kept({}, config);
  config.recompute = Recompute::blocks;
  test::TinyDit<Net<TestType>> again({}, config);
  CHECK(kept.forward() == again.forward());
  CHECK(kept.all_gradients() == again.all_gradients());
  Arena much, little;
  (void)kept.net.saved(much, 3);
  (void)again.net.saved(little, 3);
  CHECK(10 * little.peak() < 6 * much.peak());
}

// Not the same bits: a vendor's epilogue applies the activation where no argument of it is kept.
// Some twenty roundings lie on the longest way through two blocks.
TEMPLATE_TEST_CASE("a pass without gradients gives the same numbers in less memory", "[dit]",
                   precision::Float32, precision::Bf16Mixed) {
  test::TinyDit<Net<TestType>> dit;
  auto const forward = dit.forward();
  CHECK(test::relative_difference(dit.evaluate(), forward) < 20 * tolerance<TestType>());
  Arena trains, evaluates;
  (void)dit.net.saved(trains, 3);
  (void)dit.net.evaluation(evaluates, 3);
  CHECK(evaluates.peak() < trains.peak());
}

TEST_CASE("bf16 stays within its rounding of double", "[dit]") {
  test::TinyDit<Net<precision::Float64>> exact;
  test::TinyDit<Net<precision::Bf16Mixed>> rounded;
  for (auto const& entry : exact.list) {
    entry.parameter.write(std::span<double const>(rounded.value(entry.name)));
  }
  auto const a = exact.forward();
  auto const b = rounded.forward();
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::fmax(largest, std::fabs(a[i]));
    difference = std::fmax(difference, std::fabs(a[i] - b[i]));
  }
  // Activations are rounded to 2^-9 about twenty times on the longest way through two blocks.
  CHECK(difference < 20.0 / 512 * largest);
  CHECK(difference > 0);
  auto const da = exact.backward(exact.d_out);
  auto const db = rounded.backward(exact.d_out);
  largest = difference = 0;
  for (std::size_t i = 0; i < da.size(); ++i) {
    largest = std::fmax(largest, std::fabs(da[i]));
    difference = std::fmax(difference, std::fabs(da[i] - db[i]));
  }
  CHECK(difference < 40.0 / 512 * largest);
}

TEMPLATE_TEST_CASE("a step allocates nothing", "[dit]", Net<precision::Float32>, LowRankNet) {
  auto config = test::tiny_config();
  config.recompute = GENERATE(Recompute::nothing, Recompute::blocks);
  test::TinyDit<TestType> dit({}, config);
  Arena measured;
  (void)dit.net.saved(measured, 3);
  Kokkos::View<std::byte*> const memory("memory", measured.peak() + Arena::alignment);
  auto const off = reinterpret_cast<std::uintptr_t>(memory.data()) % Arena::alignment;
  Arena arena(memory.data() + (Arena::alignment - off) % Arena::alignment, measured.peak());
  auto const saved = dit.net.saved(arena, 3);
  Kokkos::View<float**, Kokkos::LayoutRight> const out("out", 3, 6 * 4 * 6), d_x("d_x", 3, 3 * 24);
  AllocationCount const counting;
  dit.net.forward(dit.ctx, dit.input, out, saved);
  dit.net.backward(dit.ctx, dit.input, out, saved, d_x);
  dit.ctx.fence();
  CHECK(allocations == 0);
  Kokkos::View<float*> const one("one", 1);
  CHECK(allocations == 1);
}

TEST_CASE("a dropped label is the null label", "[dit]") {
  test::TinyDit<Net<precision::Float32>> dit;
  dit.feed(dit.x, {0, 17, 999}, {1, 3, 3});
  auto const expected = dit.forward();
  auto const gradients = dit.all_gradients();
  dit.feed(dit.x, {0, 17, 999}, {1, 2, 0});
  CHECK(dit.forward() != expected);
  Kokkos::View<std::uint8_t*> const dropped("dropped", 3);
  auto const host = Kokkos::create_mirror_view(dropped);
  host(1) = host(2) = 1;
  Kokkos::deep_copy(dropped, host);
  dit.input.labels.dropped = dropped;
  CHECK(dit.forward() == expected);
  CHECK(dit.all_gradients() == gradients);
}

TEST_CASE("a DiT refuses sizes that do not fit", "[dit]") {
  using Catch::Matchers::ContainsSubstring;
  auto const refused = [](auto const& change) {
    auto config = test::tiny_config();
    change(config);
    Context<Exec> ctx;
    return Net<precision::Float32>(ctx, config);
  };
  CHECK_THROWS_WITH(refused([](DitConfig& c) { c.heads = 3; }),
                    ContainsSubstring("cannot have 3 heads"));
  CHECK_THROWS_WITH(refused([](DitConfig& c) { c.depth = 0; }),
                    ContainsSubstring("depth of a DiT is 0"));
  CHECK_THROWS_WITH(refused([](DitConfig& c) { c.patch = 4; }),
                    ContainsSubstring("cannot be cut into patches of 4"));
  CHECK_THROWS_WITH(refused([](DitConfig& c) { c.width = 6; }), ContainsSubstring("multiple of 4"));
}

}  // namespace dit_test

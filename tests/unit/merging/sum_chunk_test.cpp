// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include <dashi/merging/sum_chunk.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace {

using namespace dashi::merging;
using dashi::kernels::WideSum;

WideSum sum_of(std::initializer_list<std::pair<float, std::int64_t>> terms) {
  WideSum sum;
  for (auto const& [x, w] : terms) {
    sum.add_product(x, w);
  }
  return sum;
}

struct Fixture {
  dashi::Context<Kokkos::Serial> context{Kokkos::Serial(Kokkos::NewInstance{})};
  SumChunk chunk{context};

  WideSum sum(std::size_t element) {
    WideSum out;
    out.add_window(chunk.low()[element], chunk.high()[element]);
    if (auto const at = chunk.wide().find(element); at != chunk.wide().end()) {
      out.add(at->second);
    }
    return out;
  }
  bool holds(std::size_t element, WideSum const& expected) {
    WideSum const found = sum(element);
    return std::equal(std::begin(found.value().limb), std::end(found.value().limb),
                      std::begin(expected.value().limb));
  }
};

}  // namespace

TEST_CASE("the value of a sum decides where a ledger keeps it", "[merging][ledger]") {
  CHECK(ledger_window(WideSum()));
  CHECK(ledger_window(sum_of({{0x1p-79F, 1}})));
  CHECK_FALSE(ledger_window(sum_of({{0x1p-80F, 1}})));
  CHECK(ledger_window(sum_of({{0x1p-80F, 2}})));
  CHECK(ledger_window(sum_of({{-0x1p-80F, 2}})));
  CHECK_FALSE(ledger_window(sum_of({{0x1p47F, 1}})));
  CHECK(ledger_window(sum_of({{-0x1p47F, 1}})));
  CHECK(ledger_window(sum_of({{0x1p47F, 1}, {0x1p-79F, -1}})));
  CHECK_FALSE(ledger_window(sum_of({{-0x1p47F, 1}, {0x1p-79F, -1}})));
  CHECK_FALSE(
      ledger_window(sum_of({{std::numeric_limits<float>::max(), (std::int64_t{1} << 40) - 1}})));
  CHECK_FALSE(ledger_window(sum_of({{std::numeric_limits<float>::denorm_min(), -1}})));
}

TEST_CASE("terms outside the window come and go without a trace", "[merging][ledger]") {
  Fixture f;
  std::vector<float> const x{1e30F,  1e-30F, std::numeric_limits<float>::denorm_min(),
                             300.0F, 0.5F,   -0.0F};
  std::vector<float> const y{-1e30F, 3.0F, 255.9F, -1e-20F, -0.0F, -0.0F};
  f.chunk.reset(WordKind::window, x.size());
  f.chunk.add(7, x.data());
  f.chunk.add(-3, y.data());
  f.chunk.settle();
  CHECK(f.chunk.wide().size() == 4);  // 300 * 7 fits the window, but not together with 1e-20
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(i);
    CHECK(f.holds(i, sum_of({{x[i], 7}, {y[i], -3}})));
  }
  CHECK(f.chunk.zeros() == std::vector<std::uint64_t>{0, 0, 0, 0, 0, 1});
  CHECK(f.chunk.subtract(7, x.data()));
  f.chunk.settle();
  CHECK(f.chunk.wide().size() == 2);
  CHECK(f.chunk.zeros() == std::vector<std::uint64_t>(6, 0));
  CHECK(f.chunk.subtract(-3, y.data()));
  f.chunk.settle();
  CHECK(f.chunk.wide().empty());
  CHECK(f.chunk.high() == std::vector<std::int64_t>(6, 0));
  CHECK(f.chunk.low() == std::vector<std::uint64_t>(6, 0));
}

TEST_CASE("a window that wraps is seen and repaired", "[merging][ledger]") {
  Fixture f;
  float const large = 0x1.fffffep46F;  // sums up to just below the ledger's limit
  std::vector<float> const first{large, -large, large, -large};
  std::vector<float> const second{255.999F, -255.999F, -255.999F, 255.999F};
  std::int64_t const w = (std::int64_t{1} << 40) - 2;
  f.chunk.reset(WordKind::window, 4);
  f.chunk.add(1, first.data());
  f.chunk.settle();
  REQUIRE(f.chunk.wide().empty());
  f.chunk.add(w, second.data());
  for (std::size_t i = 0; i < 4; ++i) {
    INFO(i);
    CHECK(f.holds(i, sum_of({{first[i], 1}, {second[i], w}})));
  }
  f.chunk.settle();
  CHECK(f.chunk.wide().size() == 2);  // the others lie within the limits again
  f.chunk.subtract(w, second.data());
  f.chunk.settle();
  CHECK(f.chunk.wide().empty());
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(f.holds(i, sum_of({{first[i], 1}})));
  }
}

TEST_CASE("sums change their scale exactly", "[merging][ledger]") {
  Fixture f;
  std::vector<float> const x{0x1p-82F, 0.1F, 1e9F, -1e13F, 1e-40F, 200.0F};
  f.chunk.reset(WordKind::window, x.size());
  f.chunk.add(1, x.data());
  f.chunk.settle();
  f.chunk.rescale(0, 8);
  f.chunk.settle();
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(i);
    CHECK(f.holds(i, sum_of({{x[i], 100'000'000}})));
  }
  CHECK_FALSE(f.chunk.wide().contains(0));  // a multiple of 2^-79 thanks to 10^8 = 2^8 5^8
  CHECK(f.chunk.wide().contains(2));
  f.chunk.rescale(8, 0);
  f.chunk.settle();
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(i);
    CHECK(f.holds(i, sum_of({{x[i], 1}})));
  }
  CHECK(f.chunk.wide().contains(0));
  CHECK_FALSE(f.chunk.wide().contains(2));
}

TEST_CASE("one word and the window hold the same sums", "[merging][ledger]") {
  Fixture f;
  std::vector<dashi::Float16> x;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    dashi::Float16 const value{static_cast<std::uint16_t>(bits)};
    if (dashi::is_finite(value)) {
      x.push_back(value);
    }
  }
  f.chunk.reset(WordKind::int64, x.size());
  f.chunk.add(-8'392'706, x.data());
  std::vector<std::int64_t> const sums = f.chunk.sums();
  f.chunk.widen();
  f.chunk.settle();
  CHECK(f.chunk.wide().empty());
  for (std::size_t i = 0; i < x.size(); i += 97) {
    CHECK(f.holds(i, sum_of({{dashi::widen(x[i]), -8'392'706}})));
  }
  CHECK(f.chunk.narrow());
  CHECK(f.chunk.sums() == sums);
  CHECK(f.chunk.subtract(-8'392'706, x.data()));
  CHECK(f.chunk.sums() == std::vector<std::int64_t>(x.size(), 0));
  std::vector<float> const third(x.size(), 0x1p-30F);
  f.chunk.widen();
  f.chunk.add(1, third.data());
  CHECK_FALSE(f.chunk.narrow());
}

TEST_CASE("a term that was never added cannot be taken back when it is -0", "[merging][ledger]") {
  Fixture f;
  std::vector<float> const zeros{-0.0F};
  std::vector<float> const nan{std::numeric_limits<float>::quiet_NaN()};
  f.chunk.reset(WordKind::window, 1);
  CHECK_FALSE(f.chunk.subtract(1, zeros.data()));
  CHECK_FALSE(f.chunk.subtract(1, nan.data()));
}

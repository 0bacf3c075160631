// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/convert.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

namespace {

struct Expectation {
  dashi::ConversionCounts counts;
  dashi::Index wrong = 0;
};

// Element by element on the host.
template <dashi::Overflow Mode, class From, class To>
Expectation compare(std::vector<From> const& from, To const* to) {
  Expectation e;
  for (std::size_t i = 0; i < from.size(); ++i) {
    To const one = dashi::convert<To, Mode>(from[i]);
    e.wrong += std::memcmp(&one, to + i, sizeof(To)) != 0;
    bool const nan = dashi::is_nan(from[i]);
    bool const infinite = dashi::is_infinite(from[i]);
    bool const over = !nan && !infinite && !dashi::is_finite(dashi::convert<To>(from[i]));
    e.counts.nan += nan;
    e.counts.infinite += infinite;
    e.counts.overflowed += over;
    if ((nan || infinite || over) && e.counts.first < 0) {
      e.counts.first = static_cast<dashi::Index>(i);
    }
  }
  return e;
}

template <class Exec, class From, class To, dashi::Overflow Mode>
void check_conversion(std::vector<From> const& from) {
  dashi::Context<Exec> ctx;
  Kokkos::View<To*, Exec> to("to", from.size());
  dashi::VectorOf<From const, Kokkos::HostSpace> const host(from.data(), from.size());
  auto const source = Kokkos::create_mirror_view_and_copy(typename Exec::memory_space(), host);
  auto const counts = dashi::convert_values<Mode>(ctx, source, to);
  auto const result = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), to);
  Expectation const e = compare<Mode>(from, result.data());
  CHECK(e.wrong == 0);
  CHECK(counts.overflowed == e.counts.overflowed);
  CHECK(counts.infinite == e.counts.infinite);
  CHECK(counts.nan == e.counts.nan);
  CHECK(counts.first == e.counts.first);
}

template <class Exec, class From, class To>
void check_both_modes(std::vector<From> const& from) {
  check_conversion<Exec, From, To, dashi::Overflow::ieee>(from);
  check_conversion<Exec, From, To, dashi::Overflow::saturate>(from);
}

template <class T>
std::vector<T> random_patterns(std::size_t size) {
  std::mt19937_64 engine(size + 1);
  std::vector<T> values(size);
  for (T& value : values) {
    value = std::bit_cast<T>(static_cast<typename dashi::FloatFormat<T>::Bits>(engine()));
  }
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("arrays convert as their elements do", "[convert]",
                   Kokkos::DefaultExecutionSpace, Kokkos::Serial) {
  for (std::size_t const size : {0U, 1U, 63U, 4096U, 4097U, 20011U}) {
    check_both_modes<TestType, float, dashi::Float16>(random_patterns<float>(size));
    check_both_modes<TestType, float, dashi::BFloat16>(random_patterns<float>(size));
    check_both_modes<TestType, double, float>(random_patterns<double>(size));
    check_both_modes<TestType, double, dashi::Float8E4M3>(random_patterns<double>(size));
    check_both_modes<TestType, dashi::Float16, float>(random_patterns<dashi::Float16>(size));
    check_both_modes<TestType, dashi::Float16, dashi::BFloat16>(
        random_patterns<dashi::Float16>(size));
    check_both_modes<TestType, dashi::BFloat16, dashi::Float16>(
        random_patterns<dashi::BFloat16>(size));
    check_both_modes<TestType, dashi::BFloat16, double>(random_patterns<dashi::BFloat16>(size));
    check_both_modes<TestType, dashi::Float8E5M2Fnuz, dashi::Float8E4M3>(
        random_patterns<dashi::Float8E5M2Fnuz>(size));
    check_both_modes<TestType, dashi::Float8E4M3, dashi::Float8E4M3>(
        random_patterns<dashi::Float8E4M3>(size));
    check_both_modes<TestType, float, float>(random_patterns<float>(size));
  }
}

TEST_CASE("values just inside and just outside the range are told apart", "[convert]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  for (float const edge : {65520.0f, 464.0f, 248.0f, 61440.0f, 0x1.ffp127f}) {
    std::vector<float> values(5000, 1.0f);
    values[4999] = std::nextafter(edge, 0.0f);
    values[4200] = edge;
    values[4100] = std::nextafter(edge, HUGE_VALF);
    check_both_modes<Exec, float, dashi::Float16>(values);
    check_both_modes<Exec, float, dashi::BFloat16>(values);
    check_both_modes<Exec, float, dashi::Float8E4M3>(values);
    check_both_modes<Exec, float, dashi::Float8E5M2>(values);
    check_both_modes<Exec, float, dashi::Float8E4M3Fnuz>(values);
    check_both_modes<Exec, float, dashi::Float8E5M2Fnuz>(values);
  }
}

TEST_CASE("finite arrays that fit have nothing to report", "[convert]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  dashi::Context<Exec> ctx;
  std::vector<float> const from(10000, -65504.0f);
  std::vector<dashi::Float16> to(10000);
  auto const counts =
      dashi::convert_values(ctx, dashi::VectorOf<float const, Exec>(from.data(), from.size()),
                            dashi::VectorOf<dashi::Float16, Exec>(to.data(), to.size()));
  CHECK(counts.total() == 0);
  CHECK(counts.first == -1);
  CHECK(to[9999].bits == 0xfbff);
}

TEST_CASE("arrays of different lengths are refused", "[convert]") {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  dashi::Context<Exec> ctx;
  Kokkos::View<float*, Exec> from("from", 3);
  Kokkos::View<dashi::Float16*, Exec> to("to", 4);
  CHECK_THROWS_AS(dashi::convert_values(ctx, from, to), dashi::PreconditionError);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/error.hpp>
#include <dashi/core/parameter.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

template <class P>
std::vector<double> values(Parameter<P, Exec> const& parameter) {
  std::vector<double> read(static_cast<std::size_t>(parameter.size()));
  parameter.read(std::span<double>(read));
  return read;
}
template <class P>
void write(Parameter<P, Exec> const& parameter, std::vector<double> const& from) {
  parameter.write(std::span<double const>(from));
}
template <class View>
std::vector<double> on_host(View const& view) {
  Kokkos::fence();
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view);
  std::vector<double> copy(host.size());
  for (std::size_t i = 0; i < copy.size(); ++i) {
    copy[i] = convert<double>(host.data()[i]);
  }
  return copy;
}

}  // namespace

TEMPLATE_TEST_CASE("a parameter begins as zeros without gradient or master", "[parameter]",
                   precision::Float32, precision::Float64, precision::Bf16Mixed) {
  Parameter<TestType, Exec> const p("p", 3, 5);
  CHECK(p.rows() == 3);
  CHECK(p.cols() == 5);
  CHECK(p.size() == 15);
  CHECK(values(p) == std::vector<double>(15));
  CHECK_FALSE(p.trained());
  CHECK(p.gradient().extent(0) == 0);
  CHECK((p.master().extent(0) == 0) == (Parameter<TestType, Exec>::has_own_master));
}

TEMPLATE_TEST_CASE("all handles of a parameter see one state", "[parameter]", precision::Float32,
                   precision::Bf16Mixed) {
  Parameter<TestType, Exec> const p("p", 2, 2);
  Parameter<TestType, Exec> const copy = p;
  Parameter<TestType, Exec> const other("p", 2, 2);
  write(p, {1, 2, 3, 4});
  CHECK(values(copy) == std::vector<double>{1, 2, 3, 4});
  CHECK(copy.id() == p.id());
  CHECK(other.id() != p.id());
  copy.train(true);
  CHECK(p.trained());
  CHECK(p.gradient().data() == copy.gradient().data());
  CHECK(on_host(p.gradient()) == std::vector<double>(4));
  CHECK(on_host(p.master()) == std::vector<double>{1, 2, 3, 4});
  p.train(false);
  CHECK_FALSE(copy.trained());
  CHECK(copy.gradient().data() == nullptr);
  CHECK(values(copy) == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("training again keeps the gradient that is there", "[parameter]") {
  Parameter<precision::Float32, Exec> const p("p", 2, 2);
  p.train(true);
  Kokkos::deep_copy(p.gradient(), 3);
  p.train(true);
  CHECK(on_host(p.gradient()) == std::vector<double>(4, 3));
}

TEST_CASE("a trained bf16 parameter keeps more digits in its master", "[parameter]") {
  Parameter<precision::Bf16Mixed, Exec> const p("p", 1, 2);
  double const fine = 1 + 1.0 / 1024;
  write(p, {fine, -fine});
  CHECK(values(p) == std::vector<double>{1, -1});
  p.train(true);
  CHECK(values(p) == std::vector<double>{1, -1});
  write(p, {fine, -fine});
  CHECK(values(p) == std::vector<double>{fine, -fine});
  CHECK(on_host(p.vector()) == std::vector<double>{1, -1});
}

TEMPLATE_TEST_CASE("a slice is a range of rows of the same state", "[parameter]",
                   precision::Float32, precision::Bf16Mixed) {
  Parameter<TestType, Exec> const p("p", 6, 2);
  auto const middle = p.slice(2, 3);
  auto const last = middle.slice(2, 1);
  write(middle, {1, 2, 3, 4, 5, 6});
  CHECK(values(p) == std::vector<double>{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0});
  CHECK(values(last) == std::vector<double>{5, 6});
  CHECK(last.id() == p.id());
  last.train(true);
  REQUIRE(p.trained());
  CHECK(last.gradient().data() == p.gradient().data() + 8);
  CHECK(last.gradient().extent(0) == 1);
  CHECK(last.master().data() == p.master().data() + 8);
  CHECK(last.master().extent(0) == 2);
  CHECK_THROWS_MATCHES(p.slice(4, 3), PreconditionError,
                       MessageMatches(ContainsSubstring("rows 4 to 7 of a parameter of 6 rows")));
  CHECK_THROWS_AS(p.slice(-1, 2), PreconditionError);
}

TEMPLATE_TEST_CASE("replicas share value and master but not the gradient", "[parameter]",
                   precision::Float32, precision::Bf16Mixed) {
  Parameter<TestType, Exec> const first("first", 2, 3);
  Parameter<TestType, Exec> const replica("replica", 2, 3);
  first.train(true);
  replica.train(true);
  write(first, {1, 2, 3, 4, 5, 6});
  replica.share_value(first);
  CHECK(values(replica) == values(first));
  CHECK(replica.matrix().data() == first.matrix().data());
  CHECK(replica.master().data() == first.master().data());
  CHECK(replica.gradient().data() != first.gradient().data());
  CHECK_THROWS_AS(replica.share_value(Parameter<TestType, Exec>("other", 3, 2)), PreconditionError);
}

TEST_CASE("wrong sizes and empty handles are refused", "[parameter]") {
  Parameter<precision::Float32, Exec> const p("p", 2, 2);
  std::vector<float> three(3);
  CHECK_THROWS_MATCHES(
      p.write(std::span<float const>(three)), PreconditionError,
      MessageMatches(ContainsSubstring("a parameter of 4 elements cannot take 3")));
  CHECK_THROWS_MATCHES(
      p.read(std::span<float>(three)), PreconditionError,
      MessageMatches(ContainsSubstring("a parameter of 4 elements cannot fill 3")));
  CHECK_THROWS_AS((Parameter<precision::Float32, Exec>().train(true)), PreconditionError);
  CHECK_THROWS_AS((Parameter<precision::Float32, Exec>("huge", Index{1} << 40, Index{1} << 40)),
                  std::exception);
}

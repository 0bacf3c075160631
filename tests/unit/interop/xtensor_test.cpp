// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/interop/xtensor.hpp>

#include <catch2/catch_test_macros.hpp>

#if __has_include(<xtensor/xadapt.hpp>)
#include <dashi/core/context.hpp>

#include <xtensor/xarray.hpp>
#include <xtensor/xview.hpp>

#include <complex>

namespace {

using dashi::interop::as_view;
using dashi::interop::as_xtensor;
using Host = Kokkos::HostSpace;

}  // namespace

TEST_CASE("a view's memory is read and written through xtensor", "[interop]") {
  Kokkos::View<float**, Kokkos::LayoutRight, Host> const view("view", 3, 4);
  auto array = as_xtensor(view);
  CHECK(array.dimension() == 2);
  CHECK(array.shape(0) == 3);
  CHECK(array.shape(1) == 4);
  CHECK(array.data() == view.data());
  view(2, 1) = 7;
  CHECK(array(2, 1) == 7);
  array(0, 3) = -1;
  CHECK(view(0, 3) == -1);
  array += 1.0F;
  CHECK(view(2, 1) == 8);
}

TEST_CASE("views of other ranks, of constants and of nothing are adapted", "[interop]") {
  Kokkos::View<double*, Host> const line("line", 5);
  CHECK(as_xtensor(line).shape(0) == 5);
  Kokkos::View<int****, Kokkos::LayoutRight, Host> const four("four", 2, 1, 3, 4);
  auto const array = as_xtensor(four);
  four(1, 0, 2, 3) = 9;
  CHECK(array(1, 0, 2, 3) == 9);
  Kokkos::View<float const**, Kokkos::LayoutRight, Host> const constant =
      Kokkos::View<float**, Kokkos::LayoutRight, Host>("constant", 2, 2);
  auto const read_only = as_xtensor(constant);
  CHECK(read_only(1, 1) == 0);
  static_assert(std::is_const_v<std::remove_reference_t<decltype(*read_only.data())>>);
  Kokkos::View<float**, Kokkos::LayoutRight, Host> const empty("empty", 0, 4);
  CHECK(as_xtensor(empty).size() == 0);
  // The unit stride of a single row does not matter.
  Kokkos::View<float**, Kokkos::LayoutLeft, Host> const row("row", 1, 4);
  CHECK(as_xtensor(row).shape(1) == 4);
}

TEST_CASE("views that are not row-major without gaps are refused", "[interop]") {
  Kokkos::View<float**, Kokkos::LayoutLeft, Host> const left("left", 3, 4);
  CHECK_THROWS_AS(as_xtensor(left), dashi::PreconditionError);
  Kokkos::View<float**, Kokkos::LayoutRight, Host> const wide("wide", 3, 4);
  auto const columns = Kokkos::subview(wide, Kokkos::ALL, Kokkos::pair<int, int>(1, 3));
  CHECK_THROWS_AS(as_xtensor(columns), dashi::PreconditionError);
  auto const rows = Kokkos::subview(wide, Kokkos::pair<int, int>(1, 3), Kokkos::ALL);
  CHECK(as_xtensor(rows).data() == &wide(1, 0));
}

TEST_CASE("containers and adaptors of xtensor become views", "[interop]") {
  xt::xtensor<double, 2> tensor = {{1, 2, 3}, {4, 5, 6}};
  auto const view = as_view<2>(tensor);
  static_assert(std::is_same_v<decltype(view), dashi::interop::HostView<double, 2> const>);
  CHECK(view.data() == tensor.data());
  CHECK(view.extent(0) == 2);
  CHECK(view.extent(1) == 3);
  CHECK(view(1, 0) == 4);
  view(1, 2) = 60;
  CHECK(tensor(1, 2) == 60);

  xt::xarray<float> array = xt::zeros<float>({2, 1, 4});
  auto const cube = as_view<3>(array);
  cube(1, 0, 3) = 5;
  CHECK(array(1, 0, 3) == 5);
  xt::xarray<float> const& constant = array;
  auto const read_only = as_view<3>(constant);
  static_assert(
      std::is_same_v<decltype(read_only), dashi::interop::HostView<float const, 3> const>);
  CHECK(read_only(1, 0, 3) == 5);

  Kokkos::View<double**, Kokkos::LayoutRight, Host> const memory("memory", 2, 2);
  auto adaptor = as_xtensor(memory);
  CHECK(as_view<2>(adaptor).data() == memory.data());
}

TEST_CASE("containers of another rank or layout are refused", "[interop]") {
  xt::xarray<float> const array = xt::zeros<float>({2, 3});
  CHECK_THROWS_AS(as_view<3>(array), dashi::PreconditionError);
  xt::xarray<float, xt::layout_type::column_major> const left = xt::zeros<float>({2, 3});
  CHECK_THROWS_AS(as_view<2>(left), dashi::PreconditionError);
}

TEST_CASE("kernels run on xtensor's memory", "[interop]") {
  xt::xtensor<float, 1> tensor = xt::arange<float>(0, 100);
  auto const view = as_view<1>(tensor);
  dashi::Context<Kokkos::DefaultHostExecutionSpace> ctx;
  Kokkos::parallel_for("double",
                       Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(ctx.exec(), 0, 100),
                       [view](int i) { view(i) *= 2; });
  ctx.fence();
  CHECK(tensor(99) == 198);
}
#else
TEST_CASE("xtensor interoperation", "[interop]") { SKIP("xtensor is not installed"); }
#endif

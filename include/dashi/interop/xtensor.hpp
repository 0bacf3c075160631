// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/expects.hpp>

#include <Kokkos_Core.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#if __has_include(<xtensor/xadapt.hpp>)
#include <xtensor/xadapt.hpp>
#include <xtensor/xtensor.hpp>
#endif

// Views and xtensor's containers over the same memory, without copies. Include this header where
// you want it; dashi.hpp does not. Nothing is declared where xtensor is not installed.
#if __has_include(<xtensor/xadapt.hpp>)
namespace dashi::interop {

namespace detail {

/// Throws unless the strides are those of row-major memory without gaps; the stride of a dimension
/// of extent 1, and every stride of an array without elements, may be anything.
template <std::size_t Rank, class Strides>
void expect_row_major(std::array<std::size_t, Rank> const& shape, Strides const& strides,
                      char const* what) {
  for (std::size_t const extent : shape) {
    if (extent == 0) {
      return;
    }
  }
  std::size_t expected = 1;
  for (std::size_t i = Rank; i-- > 0;) {
    DASHI_EXPECTS(shape[i] == 1 || static_cast<std::size_t>(strides[i]) == expected,
                  std::string(what) + " must be row-major without gaps: the stride of dimension " +
                      std::to_string(i) + " is " + std::to_string(strides[i]) + ", expected " +
                      std::to_string(expected));
    expected *= shape[i];
  }
}

template <class T, std::size_t Rank>
struct AddPointers : AddPointers<T*, Rank - 1> {};
template <class T>
struct AddPointers<T, 0> {
  using type = T;
};

}  // namespace detail

/// Unmanaged row-major view of rank Rank.
template <class T, std::size_t Rank>
using HostView = Kokkos::View<typename detail::AddPointers<T, Rank>::type, Kokkos::LayoutRight,
                              Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// The view's memory as an xtensor adaptor of the same shape; the caller keeps the view alive. Of a
/// view of constants the adaptor's elements are constant. PreconditionError unless the view is
/// row-major and without gaps. No copy, no fence: wait for kernels that write the view first.
template <class View>
  requires HostAccessible<View>
auto as_xtensor(View const& view) {
  constexpr std::size_t rank = View::rank();
  std::array<std::size_t, rank> shape{};
  std::array<std::size_t, rank> strides{};
  for (std::size_t i = 0; i < rank; ++i) {
    shape[i] = view.extent(i);
    strides[i] = view.stride(static_cast<int>(i));
  }
  detail::expect_row_major(shape, strides, "as_xtensor: the view");
  return xt::adapt<xt::layout_type::row_major>(view.data(), view.size(), xt::no_ownership(), shape);
}

/// The memory of an xtensor container or adaptor as an unmanaged view; the caller keeps it alive.
/// Elements are constant where the container is. PreconditionError where it has another rank or is
/// not row-major without gaps.
template <std::size_t Rank, class Container>
auto as_view(Container& container) {
  using T = std::remove_reference_t<decltype(*container.data())>;
  DASHI_EXPECTS(container.dimension() == Rank, "as_view: the container has " +
                                                   std::to_string(container.dimension()) +
                                                   " dimensions, expected " + std::to_string(Rank));
  std::array<std::size_t, Rank> shape{};
  typename HostView<T, Rank>::array_layout layout;
  for (std::size_t i = 0; i < Rank; ++i) {
    shape[i] = container.shape(i);
    layout.dimension[i] = shape[i];
  }
  detail::expect_row_major(shape, container.strides(), "as_view: the container");
  return HostView<T, Rank>(container.data() + container.data_offset(), layout);
}

}  // namespace dashi::interop
#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <type_traits>

namespace dashi {

/// Where kernels run: Kokkos::Serial, Kokkos::OpenMP, ...
template <class T>
concept ExecutionSpace = bool(Kokkos::is_execution_space_v<T>);

/// A Kokkos view that kernels on Exec may touch.
template <class T, class Exec>
concept AccessibleFrom =
    ExecutionSpace<Exec> && bool(Kokkos::is_view_v<T>) &&
    bool(Kokkos::SpaceAccessibility<Exec, typename T::memory_space>::accessible);

/// A Kokkos view that plain host code may touch.
template <class T>
concept HostAccessible = AccessibleFrom<T, Kokkos::DefaultHostExecutionSpace>;

namespace detail {

template <class T>
inline constexpr bool is_dense_vector = false;
template <class T>
  requires(bool(Kokkos::is_view_v<T>))
inline constexpr bool is_dense_vector<T> =
    T::rank == 1 && !std::is_same_v<typename T::array_layout, Kokkos::LayoutStride>;

template <class T>
inline constexpr bool is_row_major_matrix = false;
template <class T>
  requires(bool(Kokkos::is_view_v<T>))
inline constexpr bool is_row_major_matrix<T> =
    T::rank == 2 && std::is_same_v<typename T::array_layout, Kokkos::LayoutRight>;

}  // namespace detail

/// View of rank 1 with stride 1.
template <class T>
concept VectorView = detail::is_dense_vector<T>;

/// View of rank 2, row-major; rows may be further apart than they are long.
template <class T>
concept MatrixView = detail::is_row_major_matrix<T>;

/// Says in a sentence what keeps T from being an execution space.
template <class T>
consteval bool require_execution_space() {
  static_assert(
      ExecutionSpace<T>,
      "ExecutionSpace: the type must be a Kokkos execution space, such as "
      "Kokkos::DefaultExecutionSpace, Kokkos::OpenMP or Kokkos::Serial; a memory space or a "
      "Kokkos::Device is not one");
  return true;
}

/// Says in a sentence what keeps kernels on Exec from touching the view.
template <class View, class Exec>
consteval bool require_accessible() {
  require_execution_space<Exec>();
  static_assert(bool(Kokkos::is_view_v<View>),
                "AccessibleFrom: the argument must be a Kokkos::View");
  static_assert(AccessibleFrom<View, Exec>,
                "AccessibleFrom: the view's memory cannot be reached from this execution space; "
                "allocate it in Exec::memory_space, or copy it with Kokkos::deep_copy");
  return true;
}

template <class View>
consteval bool require_vector_view() {
  static_assert(bool(Kokkos::is_view_v<View>), "VectorView: the argument must be a Kokkos::View");
  static_assert(VectorView<View>,
                "VectorView: the view must have rank 1 and stride 1 (Kokkos::View<T*>, not "
                "LayoutStride); copy a strided one first");
  return true;
}

template <class View>
consteval bool require_matrix_view() {
  static_assert(bool(Kokkos::is_view_v<View>), "MatrixView: the argument must be a Kokkos::View");
  static_assert(MatrixView<View>,
                "MatrixView: the view must have rank 2 and be row-major: "
                "Kokkos::View<T**, Kokkos::LayoutRight> or dashi::MatrixOf<T, Exec>");
  return true;
}

}  // namespace dashi

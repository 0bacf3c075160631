# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Three ways to use the library, each built and run from outside: installed package, sub-directory,
# FetchContent from a local directory.
foreach(way package subdirectory fetchcontent)
  add_test(NAME "install: ${way}"
           COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/check.py" ${way} "${PROJECT_SOURCE_DIR}"
                   "${PROJECT_BINARY_DIR}" "${CMAKE_CURRENT_BINARY_DIR}/install/${way}" "${Kokkos_DIR}"
                   "${CMAKE_CXX_COMPILER}" "${CMAKE_COMMAND}")
  set_tests_properties("install: ${way}" PROPERTIES LABELS install)
endforeach()

# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Each *.cpp here is one ctest. The compile command is taken from the compile database: that of
# control_compiles.cpp, which is built as part of the tests.
add_library(dashi_compile_fail_control OBJECT "${CMAKE_CURRENT_LIST_DIR}/control_compiles.cpp")
target_link_libraries(dashi_compile_fail_control PRIVATE dashi::dashi)
target_include_directories(dashi_compile_fail_control PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
dashi_own_target(dashi_compile_fail_control)
target_precompile_headers(dashi_compile_fail_control PRIVATE <Kokkos_Core.hpp>)

file(GLOB compile_fail_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cpp")
foreach(source IN LISTS compile_fail_sources)
  cmake_path(GET source STEM name)
  add_test(NAME "compile_fail: ${name}"
           COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/check.py" "${source}"
                   "${PROJECT_BINARY_DIR}/compile_commands.json")
  set_tests_properties("compile_fail: ${name}" PROPERTIES LABELS compile_fail)
endforeach()

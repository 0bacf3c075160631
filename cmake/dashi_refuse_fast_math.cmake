# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Exact means, NaN checks and promised bits need IEEE arithmetic. The compiler is asked, so that
# every way of switching it off is found: flags, environment, toolchain files, directory options.
include(CheckCXXSourceCompiles)

get_directory_property(dashi_directory_options COMPILE_OPTIONS)
list(JOIN dashi_directory_options " " CMAKE_REQUIRED_FLAGS)
string(TOUPPER "${CMAKE_BUILD_TYPE}" dashi_build_type)
string(APPEND CMAKE_REQUIRED_FLAGS " ${CMAKE_CXX_FLAGS_${dashi_build_type}}")
set(CMAKE_REQUIRED_QUIET ON)
unset(DASHI_HAS_IEEE_ARITHMETIC CACHE)
check_cxx_source_compiles(
  "#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
   #error fast-math
   #endif
   int main() {}"
  DASHI_HAS_IEEE_ARITHMETIC)
unset(CMAKE_REQUIRED_FLAGS)
unset(CMAKE_REQUIRED_QUIET)
if(NOT DASHI_HAS_IEEE_ARITHMETIC)
  message(FATAL_ERROR "dashi: fast-math is on (-ffast-math, -Ofast or -ffinite-math-only) in CMAKE_CXX_FLAGS, "
                      "CMAKE_CXX_FLAGS_${dashi_build_type}, CXXFLAGS or add_compile_options, or the compiler does not work: "
                      "results would be wrong. Remove the option.")
endif()

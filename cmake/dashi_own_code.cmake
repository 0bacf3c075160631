# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Flags of our own programs, tests and benchmarks. Nothing here reaches a consumer of dashi::dashi.
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(DASHI_CCACHE ccache)
  # Kokkos' launcher for CUDA recognises the compiler only where it is the command's first word.
  if(DASHI_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND NOT dashi_devices MATCHES ";CUDA;")
    # What ccache asks for before it keeps objects that were compiled with a precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_SLOPPINESS=pch_defines,time_macros" "${DASHI_CCACHE}")
  endif()
endif()

add_library(dashi_warnings INTERFACE)
target_compile_options(
  dashi_warnings
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
            $<$<BOOL:${DASHI_WERROR}>:-Werror>)
# CUDA's headers declare short names, such as half, for all of the program.
if(dashi_devices MATCHES ";CUDA;")
  # 20208: long double in host code that could be called on the device.
  target_compile_options(dashi_warnings INTERFACE -Wno-shadow "SHELL:-Xcudafe --diag_suppress=20208")
  if(DASHI_WERROR)  # what nvcc itself warns of, such as a call from the device into the host
    target_compile_options(dashi_warnings INTERFACE -Werror=all-warnings)
  endif()
endif()
# clang tells of what libstdc++ 12 deprecates and uses itself.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(dashi_warnings INTERFACE -Wno-deprecated-declarations)
endif()
# g++ 12 warns falsely inside std::string's operator+ (GCC bug 105651, mended in 13).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(dashi_warnings INTERFACE -Wno-restrict)
endif()

# Whether our own targets link dashi::kernels. Builds for devices use few of the host's kernels: those files compile what
# they need.
function(dashi_links_kernels result)
  if(DASHI_SEPARATE_KERNELS AND TARGET dashi_kernels AND NOT dashi_backend MATCHES "^(cuda|hip)$")
    set(${result} ON PARENT_SCOPE)
  else()
    set(${result} OFF PARENT_SCOPE)
  endif()
endfunction()

# Everything that we compile ourselves.
function(dashi_own_target target)
  target_link_libraries(${target} PRIVATE dashi_warnings)
  dashi_links_kernels(linked)
  if(linked AND NOT target STREQUAL "dashi_kernels")
    target_link_libraries(${target} PRIVATE dashi_kernels)
  endif()
  set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  if(DASHI_MARCH AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    target_compile_options(${target} PRIVATE "-march=${DASHI_MARCH}")
  endif()
endfunction()

# The program reads files of strangers: release builds carry the usual mitigations.
function(dashi_harden target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-fstack-protector-strong
                                           -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  target_compile_definitions(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:_GLIBCXX_ASSERTIONS>)
  target_link_options(${target} PRIVATE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endfunction()

# dashi_unite(TARGET GROUP SOURCE...): compiles these files as one, where DASHI_UNITE allows it.
function(dashi_unite target group)
  set_source_files_properties(${ARGN} PROPERTIES UNITY_GROUP ${group})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${DASHI_UNITE} UNITY_BUILD_MODE GROUP)
endfunction()

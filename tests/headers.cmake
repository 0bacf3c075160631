# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Self-contained headers: a generated unit includes a chain of headers, each of which includes the one before it, the last
# twice for its `pragma once`, and nothing else (header_chains.py says why this finds as much as a unit a header). Of the
# backends the enabled ones only: the others need libraries that are not here.
list(JOIN dashi_enabled_backends "|" enabled)
set(dashi_checked_headers "")
foreach(header IN LISTS dashi_headers dashi_backend_headers)
  set(root "${PROJECT_SOURCE_DIR}")
  if(header MATCHES "/include/dashi/")
    set(root "${PROJECT_SOURCE_DIR}/include")
  endif()
  cmake_path(RELATIVE_PATH header BASE_DIRECTORY "${root}" OUTPUT_VARIABLE name)
  if(name MATCHES "^(dashi|backends/(${enabled}))/")
    list(APPEND dashi_checked_headers "${name}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")  # its includes make the chains
  endif()
endforeach()
list(JOIN dashi_checked_headers "\n" dashi_checked_lines)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/checked_headers.txt" "${dashi_checked_lines}\n")
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_SOURCE_DIR}/header_chains.py"
          "${CMAKE_CURRENT_BINARY_DIR}/checked_headers.txt" "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}"
  OUTPUT_VARIABLE dashi_chains
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

set(dashi_units_kokkos "")
set(dashi_units_plain "")
string(REPLACE "\n" ";" dashi_chains "${dashi_chains}")
foreach(chain IN LISTS dashi_chains)
  string(REPLACE " " ";" chain "${chain}")
  list(POP_FRONT chain kind)
  list(GET chain -1 last)
  list(TRANSFORM chain REPLACE ".+" "#include <\\0>\n" OUTPUT_VARIABLE text)
  list(JOIN text "" text)
  string(REPLACE "/" "-" unit "${last}")
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "${text}#include <${last}>  // pragma once\n" @ONLY)
  list(APPEND dashi_units_${kind} "${unit}")
endforeach()

foreach(kind kokkos plain)
  add_library(dashi_test_headers_${kind} OBJECT ${dashi_units_${kind}})
  target_link_libraries(dashi_test_headers_${kind} PRIVATE dashi::dashi dashi::images)
  dashi_own_target(dashi_test_headers_${kind})
  target_compile_options(dashi_test_headers_${kind} PRIVATE -O0 -g0)
endforeach()
target_precompile_headers(dashi_test_headers_kokkos PRIVATE <Kokkos_Core.hpp>)

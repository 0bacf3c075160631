# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Checks of the text itself: layers, sizes, licence lines, format.
list(JOIN dashi_headers "\n" dashi_header_lines)
list(JOIN dashi_backend_headers "\n" dashi_backend_lines)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/file_sets.txt" "${dashi_header_lines}\n${dashi_backend_lines}\n")
add_test(NAME "lint: layers, sizes, licence lines"
         COMMAND "${Python3_EXECUTABLE}" -B "${PROJECT_SOURCE_DIR}/cmake/check_layers.py" "${PROJECT_SOURCE_DIR}"
                 --file-sets "${CMAKE_CURRENT_BINARY_DIR}/file_sets.txt")

find_program(DASHI_CLANG_FORMAT clang-format-14)
add_test(NAME "lint: format" COMMAND "${Python3_EXECUTABLE}" -B "${PROJECT_SOURCE_DIR}/cmake/check_format.py"
                                     "${PROJECT_SOURCE_DIR}" "${DASHI_CLANG_FORMAT}")
set_tests_properties("lint: format" PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties("lint: format" "lint: layers, sizes, licence lines" PROPERTIES LABELS lint)

# -ffast-math must stop the configure step, however it is given.
foreach(way "-DCMAKE_CXX_FLAGS=-ffast-math" "-DCMAKE_CXX_FLAGS_RELEASE=-Ofast")
  string(REGEX REPLACE ".*=" "" flag "${way}")
  add_test(NAME "lint: ${flag} is refused"
           COMMAND "${CMAKE_COMMAND}" -S "${PROJECT_SOURCE_DIR}" -B "${CMAKE_CURRENT_BINARY_DIR}/refused${flag}" "${way}"
                   -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}")
  set_tests_properties("lint: ${flag} is refused" PROPERTIES LABELS lint PASS_REGULAR_EXPRESSION
                                                             "dashi: fast-math is on")
endforeach()

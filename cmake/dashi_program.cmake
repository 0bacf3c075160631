# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program: one file a verb. What needs linear algebra is in programs of their own beside it
# (examples/cli/become_program.hpp says why).
dashi_find_program_libraries()
dashi_require_image_libraries()
set(dashi_cli "${PROJECT_SOURCE_DIR}/examples/cli")
file(GLOB dashi_program_sources CONFIGURE_DEPENDS "${dashi_cli}/*.cpp")
file(GLOB dashi_bench_sources CONFIGURE_DEPENDS "${dashi_cli}/bench/*.cpp")
file(GLOB dashi_models_sources CONFIGURE_DEPENDS "${dashi_cli}/models/*.cpp")
set(dashi_common_names
    adapter_report
    applied_adapters
    arguments
    bench_arguments
    config_map
    dit_report
    failure
    main
    output_argument
    progress_bar
    session
    signals
    version
    yaml_tree)
list(TRANSFORM dashi_common_names REPLACE ".+" "${dashi_cli}/\\0.cpp" OUTPUT_VARIABLE dashi_common_sources)
list(REMOVE_ITEM dashi_program_sources ${dashi_common_sources})

add_library(dashi_program_common OBJECT ${dashi_common_sources})
add_executable(dashi_program ${dashi_program_sources})
add_executable(dashi_bench ${dashi_bench_sources})
add_executable(dashi_models ${dashi_models_sources})
set_target_properties(dashi_program PROPERTIES OUTPUT_NAME dashi)
set_target_properties(dashi_bench PROPERTIES OUTPUT_NAME dashi-bench)
set_target_properties(dashi_models PROPERTIES OUTPUT_NAME dashi-models)
target_link_libraries(dashi_program_common PUBLIC dashi::dashi dashi::images ${dashi_program_libraries})
foreach(target dashi_program_common dashi_program dashi_bench dashi_models)
  target_include_directories(${target} PRIVATE "${dashi_cli}")
  dashi_own_target(${target})
  dashi_harden(${target})
endforeach()
foreach(target dashi_program dashi_bench dashi_models)
  target_link_libraries(${target} PRIVATE dashi_program_common)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
endforeach()
# Options, messages and reports: half the time of -O3 to compile. Nothing here has loops that other files share: the
# linker keeps one copy of an inline function, whatever its flags.
target_compile_options(dashi_program_common PRIVATE $<$<CONFIG:Release>:-O1>)

# The files of a program have most of their headers and inline functions in common; those of a precision, their kernels.
foreach(target dashi_program_common dashi_program dashi_bench dashi_models)
  get_target_property(sources ${target} SOURCES)
  foreach(precision bf16 float16 float32)
    set(kernels ${sources})
    list(FILTER kernels INCLUDE REGEX "/${precision}\\.cpp$")
    dashi_unite(${target} ${precision} ${kernels})
    list(REMOVE_ITEM sources ${kernels})
  endforeach()
  dashi_unite(${target} verbs ${sources})
endforeach()

if(DASHI_INSTALL)
  install(TARGETS dashi_program dashi_bench dashi_models RUNTIME)
endif()

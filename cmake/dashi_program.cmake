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
# Options, messages, reports, and the nets, whose kernels are in dashi::kernels: half the time of -O3 to compile and the
# same speed. No loop that takes long may be here, nor one that other files share: the linker keeps one copy of an inline
# function, whatever its flags.
target_compile_options(dashi_program_common PRIVATE $<$<CONFIG:Release>:-O1>)
set(dashi_nets bf16 float16 float32)
list(TRANSFORM dashi_nets REPLACE ".+" "${dashi_cli}/models/\\0.cpp")
set_source_files_properties(${dashi_nets} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
dashi_links_kernels(linked)
# Elsewhere the kernels, or the products, are in these files.
if(linked AND DASHI_MARCH AND dashi_host_libraries AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set_source_files_properties(${dashi_nets} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
endif()

# The files of a program have most of their headers and inline functions in common.
foreach(target dashi_program_common dashi_program dashi_bench dashi_models)
  get_target_property(sources ${target} SOURCES)
  dashi_unite(${target} verbs ${sources})
endforeach()

if(DASHI_INSTALL)
  install(TARGETS dashi_program dashi_bench dashi_models RUNTIME)
endif()

# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Libraries of the providers cuda and hip: dashi::device_libraries. Also read by dashi's package file, which sets
# dashi_backend.
if(NOT TARGET dashi::device_libraries)
  add_library(dashi::device_libraries INTERFACE IMPORTED)
  if(dashi_backend STREQUAL "cuda")
    find_package(CUDAToolkit 12.4 REQUIRED)
    target_link_libraries(dashi::device_libraries INTERFACE CUDA::cudart CUDA::cublasLt CUDA::cusolver)
  else()
    foreach(name hipblas hipsolver)
      string(TOUPPER "DASHI_${name}" upper)
      find_path(${upper}_INCLUDE ${name}/${name}.h HINTS "${dashi_deps}/hip-libraries/usr/include" ENV ROCM_PATH
                PATH_SUFFIXES include REQUIRED)
      find_library(${upper}_LIBRARY ${name} HINTS "${dashi_deps}/hip-libraries/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}" ENV
                   ROCM_PATH PATH_SUFFIXES lib REQUIRED)
      mark_as_advanced(${upper}_INCLUDE ${upper}_LIBRARY)
      target_include_directories(dashi::device_libraries SYSTEM INTERFACE "${${upper}_INCLUDE}")
      target_link_libraries(dashi::device_libraries INTERFACE "${${upper}_LIBRARY}")
    endforeach()
    # What hipBLAS itself needs may be missing where programs are only linked; our own undefined symbols still fail.
    target_link_options(dashi::device_libraries INTERFACE LINKER:--allow-shlib-undefined)
  endif()
endif()

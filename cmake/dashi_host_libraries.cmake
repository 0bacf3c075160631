# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Libraries of the provider host: oneDNN (products) and OpenBLAS with LAPACK. Either may be absent; the portable code then
# stands in. Defines the imported targets dashi::onednn and dashi::openblas where found. Also read by dashi's package file.
#
# Of OpenBLAS' builds the one on OpenMP is taken, by its path: a second thread pool beside Kokkos' own slows both down.
find_path(DASHI_ONEDNN_INCLUDE oneapi/dnnl/dnnl.h)
find_library(DASHI_ONEDNN_LIBRARY dnnl)
find_path(DASHI_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp openblas)
find_library(DASHI_OPENBLAS_LIBRARY NAMES libopenblas.so.0 openblas PATH_SUFFIXES openblas-openmp)
mark_as_advanced(DASHI_ONEDNN_INCLUDE DASHI_ONEDNN_LIBRARY DASHI_OPENBLAS_INCLUDE DASHI_OPENBLAS_LIBRARY)

foreach(name onednn openblas)
  string(TOUPPER "${name}" upper)
  if(DASHI_${upper}_INCLUDE AND DASHI_${upper}_LIBRARY AND NOT TARGET dashi::${name})
    find_package(OpenMP REQUIRED COMPONENTS CXX)
    add_library(dashi::${name} UNKNOWN IMPORTED)
    set_target_properties(
      dashi::${name} PROPERTIES IMPORTED_LOCATION "${DASHI_${upper}_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                "${DASHI_${upper}_INCLUDE}")
    target_link_libraries(dashi::${name} INTERFACE OpenMP::OpenMP_CXX)
  endif()
endforeach()

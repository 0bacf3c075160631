# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# An installed copy first, then the upstream release checked by its hash. cmake/bootstrap installs
# copies into .deps/ on machines that reach only Debian and PyPI.
include(FetchContent)

if(DEFINED ENV{DASHI_DEPS})
  set(dashi_deps "$ENV{DASHI_DEPS}")
else()
  set(dashi_deps "${PROJECT_SOURCE_DIR}/.deps")
endif()

# One Kokkos a device: DASHI_BACKEND=cuda finds the one that `cmake/bootstrap cuda` built.
set(dashi_kokkos "${dashi_deps}/kokkos")
if(DASHI_BACKEND MATCHES "^(cuda|hip)$")
  string(APPEND dashi_kokkos "-${DASHI_BACKEND}")
endif()
find_package(Kokkos 4.7 QUIET HINTS "${dashi_kokkos}")
if(NOT Kokkos_FOUND)
  message(STATUS "dashi: no installed Kokkos 4.7 found, fetching the release")
  FetchContent_Declare(
    Kokkos
    URL https://github.com/kokkos/kokkos/releases/download/4.7.01/kokkos-4.7.01.tar.gz
    URL_HASH SHA256=404cf33e76159e83b8b4ad5d86f6899d442b5da4624820ab457412116cdcd201)
  FetchContent_MakeAvailable(Kokkos)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# What the module io needs, and with it everything that reads or writes files.
set(dashi_io_libraries "")
set(dashi_xxhash_include "")  # what the compiler does not search anyway
if(NOT DASHI_KERNELS_ONLY)
  find_package(OpenSSL REQUIRED COMPONENTS Crypto)
  set(dashi_io_libraries OpenSSL::Crypto)
  find_path(DASHI_XXHASH_INCLUDE_DIR xxhash.h DOC "Where xxhash.h of xxHash 0.8 or newer lies")
  if(NOT DASHI_XXHASH_INCLUDE_DIR)
    message(FATAL_ERROR "dashi needs the header xxhash.h (xxHash 0.8 or newer; Debian's libxxhash-dev). "
                        "Install it, or say where it lies with -DDASHI_XXHASH_INCLUDE_DIR=FOLDER.")
  endif()
  if(NOT DASHI_XXHASH_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    set(dashi_xxhash_include "${DASHI_XXHASH_INCLUDE_DIR}")
  endif()
endif()

# Only the program needs these; sets dashi_program_libraries.
macro(dashi_find_program_libraries)
  find_package(CLI11 REQUIRED)
  find_package(fmt REQUIRED)
  find_package(nlohmann_json REQUIRED)
  find_package(yaml-cpp REQUIRED)
  set(dashi_yaml_library yaml-cpp)
  if(TARGET yaml-cpp::yaml-cpp)  # its name from 0.8 on
    set(dashi_yaml_library yaml-cpp::yaml-cpp)
  endif()
  set(dashi_program_libraries CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json ${dashi_yaml_library})
endmacro()

# The program and the tests read and write images; the library does without.
macro(dashi_require_image_libraries)
  if(dashi_images_missing)
    list(JOIN dashi_images_missing ", " dashi_images_missing)
    message(FATAL_ERROR "dashi's program and tests need ${dashi_images_missing} (Debian's libpng-dev, zlib1g-dev, "
                        "libturbojpeg0-dev, libzip-dev).")
  endif()
endmacro()

macro(dashi_find_catch2)
  find_package(Catch2 3.7.1 QUIET HINTS "${dashi_deps}/catch2")
  if(NOT Catch2_FOUND)
    message(STATUS "dashi: no installed Catch2 3.7.1 found, fetching the release")
    FetchContent_Declare(
      Catch2
      URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
      URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c)
    FetchContent_MakeAvailable(Catch2)
    list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/extras")
  endif()
endmacro()

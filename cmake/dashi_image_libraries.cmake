# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Libraries of image files and archives: libpng, TurboJPEG, zlib, libzip. Defines dashi::image_libraries where all four
# are found; dashi_images_missing names those that are not. Also read by dashi's package file.
find_package(PNG QUIET)
find_package(ZLIB QUIET)
# Paths, because the package file of Debian's libzip asks for tools of another package.
find_path(DASHI_TURBOJPEG_INCLUDE turbojpeg.h)
find_library(DASHI_TURBOJPEG_LIBRARY turbojpeg)
find_path(DASHI_LIBZIP_INCLUDE zip.h)
find_library(DASHI_LIBZIP_LIBRARY zip)
mark_as_advanced(DASHI_TURBOJPEG_INCLUDE DASHI_TURBOJPEG_LIBRARY DASHI_LIBZIP_INCLUDE DASHI_LIBZIP_LIBRARY)

set(dashi_images_missing "")
if(NOT PNG_FOUND)
  list(APPEND dashi_images_missing libpng)
endif()
if(NOT ZLIB_FOUND)
  list(APPEND dashi_images_missing zlib)
endif()
if(NOT DASHI_TURBOJPEG_INCLUDE OR NOT DASHI_TURBOJPEG_LIBRARY)
  list(APPEND dashi_images_missing TurboJPEG)
endif()
if(NOT DASHI_LIBZIP_INCLUDE OR NOT DASHI_LIBZIP_LIBRARY)
  list(APPEND dashi_images_missing libzip)
endif()

if(NOT dashi_images_missing AND NOT TARGET dashi::image_libraries)
  add_library(dashi::image_libraries INTERFACE IMPORTED)
  foreach(name TURBOJPEG LIBZIP)
    string(TOLOWER "dashi::${name}" library)
    add_library(${library} UNKNOWN IMPORTED)
    set_target_properties(
      ${library} PROPERTIES IMPORTED_LOCATION "${DASHI_${name}_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                            "${DASHI_${name}_INCLUDE}")
    target_link_libraries(dashi::image_libraries INTERFACE ${library})
  endforeach()
  target_link_libraries(dashi::image_libraries INTERFACE PNG::PNG ZLIB::ZLIB)
endif()

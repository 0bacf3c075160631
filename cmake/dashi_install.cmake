# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
include(CMakePackageConfigHelpers)

set(dashi_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/dashi")
install(
  TARGETS dashi dashi_images
  EXPORT dashi_targets
  FILE_SET HEADERS
  FILE_SET generated
  # Below our own folder: the name "backends" must not lie bare in a shared include directory.
  FILE_SET backends DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/dashi/vendor")
install(EXPORT dashi_targets NAMESPACE dashi:: FILE dashi_targets.cmake DESTINATION "${dashi_package_dir}")

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/dashi-config.cmake.in" "${PROJECT_BINARY_DIR}/dashi-config.cmake"
  INSTALL_DESTINATION "${dashi_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/dashi-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/dashi-config.cmake" "${PROJECT_BINARY_DIR}/dashi-config-version.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/dashi_device_libraries.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/dashi_host_libraries.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/dashi_image_libraries.cmake"
        DESTINATION "${dashi_package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

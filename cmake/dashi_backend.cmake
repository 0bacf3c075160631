# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Chooses the provider and writes the two headers that depend on the choice:
#   dashi/config.hpp            version and default provider; includes nothing
#   dashi/enabled_backends.hpp  the one file that includes the enabled folders of backends/
set(dashi_devices ";${Kokkos_DEVICES};")
string(TOUPPER "${dashi_devices}" dashi_devices)

set(dashi_backend "${DASHI_BACKEND}")
if(dashi_backend STREQUAL "auto")
  if(dashi_devices MATCHES ";CUDA;")
    set(dashi_backend cuda)
  elseif(dashi_devices MATCHES ";HIP;")
    set(dashi_backend hip)
  else()
    set(dashi_backend host)
  endif()
endif()
if(NOT dashi_backend MATCHES "^(host|cuda|hip|portable)$")
  message(FATAL_ERROR "dashi: DASHI_BACKEND is '${DASHI_BACKEND}', expected auto, host, cuda, hip or portable")
endif()
string(TOUPPER "${dashi_backend}" dashi_backend_device)
if(dashi_backend MATCHES "^(cuda|hip)$" AND NOT dashi_devices MATCHES ";${dashi_backend_device};")
  message(FATAL_ERROR "dashi: DASHI_BACKEND=${dashi_backend} needs a Kokkos with that device; "
                      "this one has: ${Kokkos_DEVICES}")
endif()

# The host's code also serves the host side of a device build; the portable code is always there.
set(dashi_enabled_backends portable)
if(dashi_backend MATCHES "^(host|cuda|hip)$")
  list(APPEND dashi_enabled_backends host)
endif()
if(dashi_backend MATCHES "^(cuda|hip)$")
  list(APPEND dashi_enabled_backends "${dashi_backend}")
endif()
set(dashi_backend_includes "")
foreach(backend IN LISTS dashi_enabled_backends)
  if(EXISTS "${PROJECT_SOURCE_DIR}/backends/${backend}/${backend}.hpp")
    string(APPEND dashi_backend_includes "#include <backends/${backend}/${backend}.hpp>\n")
  endif()
endforeach()

# What a program does not call is not loaded: programs without linear algebra need no library for it.
set(dashi_host_libraries "")
set(dashi_host_definitions "")
option(DASHI_HOST_LIBRARIES "Let the provider host use oneDNN and OpenBLAS where they are found" ON)
if("host" IN_LIST dashi_enabled_backends AND DASHI_HOST_LIBRARIES)
  include(dashi_host_libraries)
  foreach(name onednn openblas)
    if(TARGET dashi::${name})
      list(APPEND dashi_host_libraries dashi::${name})
      string(TOUPPER "${name}" upper)
      string(APPEND dashi_host_definitions "#define DASHI_HOST_${upper} 1\n")
    endif()
  endforeach()
  if(PROJECT_IS_TOP_LEVEL)
    set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
  endif()
endif()

string(SUBSTRING "${dashi_backend_device}" 0 1 dashi_provider)
string(SUBSTRING "${dashi_backend}" 1 -1 dashi_provider_rest)
string(APPEND dashi_provider "${dashi_provider_rest}")

foreach(header config enabled_backends)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${header}.hpp.in"
                 "${PROJECT_BINARY_DIR}/generated/dashi/${header}.hpp" @ONLY)
  list(APPEND dashi_generated_headers "${PROJECT_BINARY_DIR}/generated/dashi/${header}.hpp")
endforeach()

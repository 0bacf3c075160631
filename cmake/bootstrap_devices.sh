# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=sh
#
# Sourced by cmake/bootstrap: what the builds for devices need beside the CPU's.
#
#   DASHI_CUDA_ARCH  architecture by Kokkos' name (default HOPPER90)
#   CUDA_ROOT        the CUDA toolkit (default: nvcc on PATH, else /usr/local/cuda)

hip_packages='clang-19 lld-19 clang-tools-19 libclang-rt-19-dev llvm-19 libamdhip64-dev
  rocm-device-libs'
# Debian 12 has no libraries for dense algebra on HIP. These small packages of Debian 13 need
# neither rocBLAS nor rocSOLVER (600 MB) to compile and link.
hip_libraries='libhipblas-dev libhipblas0 libhipsolver-dev libhipsolver0'
rocm_flags='--rocm-path=/usr --rocm-device-lib-path=/usr/lib/x86_64-linux-gnu/amdgcn/bitcode'

find_nvcc() {
  for nvcc in "${CUDA_ROOT:-}/bin/nvcc" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    [ ! -x "$nvcc" ] || return 0
  done
  fail "no CUDA toolkit: nvcc is neither on PATH nor below CUDA_ROOT nor in /usr/local/cuda"
}

install_kokkos_for() { # DEVICE RECIPE OPTIONS...; adapted source is ready in $source
  name=kokkos-$1
  recipe=$2
  shift 2
  install_cmake "$name" "$recipe" "$source" \
    -DKokkos_ENABLE_SERIAL=ON -DKokkos_ARCH_NATIVE=OFF \
    -DKokkos_ENABLE_TESTS=OFF -DKokkos_ENABLE_EXAMPLES=OFF "$@"
}

# adapted_kokkos FOLDER: the source with the calls of CUDA 13.
adapted_kokkos() {
  unpack_kokkos "$1"
  instance=$1/core/src/Cuda/Kokkos_Cuda_Instance.hpp
  run kokkos-cuda sed -i -f "$root/cmake/kokkos_cuda13.sed" "$instance"
  [ "$(grep -c 'CUDART_VERSION >= 13000' "$instance")" = 2 ] ||
    fail "$instance: the two calls that CUDA 13 changed are not where they were"
}

# The sources that a machine without a registry builds from (tests/gpu/bundle).
install_sources() {
  recipe="kokkos $kokkos_version for CUDA 13, catch2 $catch2_version"
  ! stamped sources "$recipe" || return 0
  rm -rf "$deps/sources"
  mkdir -p "$deps/sources/catch2"
  adapted_kokkos "$deps/sources/kokkos"
  archive=$deps/src/catch2-$catch2_version.tar.gz
  [ -f "$archive" ] || download_catch2 || fail "no apt here; put catch2's archive at $archive"
  check_hash "$archive" "$catch2_hash"
  run catch2 tar -xzf "$archive" -C "$deps/sources/catch2" --strip-components=1
  printf '%s\n' "$recipe" >"$deps/sources/.stamp"
}

install_cuda() {
  find_nvcc
  arch=${DASHI_CUDA_ARCH:-HOPPER90}
  release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  recipe="kokkos $kokkos_version CUDA $release $arch OpenMP Serial $arch_flags"
  ! stamped kokkos-cuda "$recipe" || return 0
  say "building Kokkos $kokkos_version for CUDA $release, $arch"
  source=$deps/src/kokkos-cuda
  adapted_kokkos "$source"
  run kokkos-cuda sed -i "s/^default_arch=.*/default_arch=sm_${arch#"${arch%%[0-9]*}"}/" \
    "$source/bin/nvcc_wrapper"
  # The wrapper is installed with Kokkos, so consumers use the installed copy, not this one.
  PATH=$(dirname "$nvcc"):$PATH
  install_kokkos_for cuda "$recipe" -DCMAKE_CXX_COMPILER="$source/bin/nvcc_wrapper" \
    -DKokkos_ENABLE_OPENMP=ON -DKokkos_ENABLE_CUDA=ON \
    "-DKokkos_ARCH_$arch=ON"
}

install_hip() {
  install_packages $hip_packages
  recipe="Debian 13 $hip_libraries"
  if ! stamped hip-libraries "$recipe"; then
    say "unpacking $hip_libraries"
    rm -rf "$deps/src/apt" "$deps/hip-libraries"
    apt_of_debian_13 download $hip_libraries
    for archive in "$apt"/*.deb; do
      run hip-libraries dpkg-deb -x "$archive" "$deps/hip-libraries"
    done
    rm -rf "$apt"
    printf '%s\n' "$recipe" >"$deps/hip-libraries/.stamp"
  fi
  recipe="kokkos $kokkos_version HIP gfx90a Serial $arch_flags"
  ! stamped kokkos-hip "$recipe" || return 0
  say "building Kokkos $kokkos_version for HIP, gfx90a"
  # No OpenMP: clang's runtime is not the one of everything else.
  source=$deps/src/kokkos-hip
  unpack_kokkos "$source"
  install_kokkos_for hip "$recipe" -DCMAKE_CXX_COMPILER=clang++-19 \
    -DCMAKE_CXX_FLAGS="$arch_flags $rocm_flags" \
    -DKokkos_ENABLE_HIP=ON -DKokkos_ARCH_AMD_GFX90A=ON -DKokkos_ENABLE_ROCTHRUST=OFF
}

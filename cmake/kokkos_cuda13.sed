# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# For Kokkos 4.7.00's core/src/Cuda/Kokkos_Cuda_Instance.hpp: two calls that have other arguments
# since CUDA 13. Kokkos 4.7.01 makes them itself.
/return cudaGraphAddDependencies(/{
i\
#if CUDART_VERSION >= 13000\
    return cudaGraphAddDependencies(graph, from, to, nullptr, numDependencies);\
#else
a\
#endif
}
/return cudaMemPrefetchAsync(/{
i\
#if CUDART_VERSION >= 13000\
    bool const to_host = dstDevice == cudaCpuDeviceId;\
    cudaMemLocation place{};\
    place.type = to_host ? cudaMemLocationTypeHost : cudaMemLocationTypeDevice;\
    place.id = to_host ? 0 : dstDevice;\
    return cudaMemPrefetchAsync(devPtr, count, place, 0, m_stream);\
#else
a\
#endif
}

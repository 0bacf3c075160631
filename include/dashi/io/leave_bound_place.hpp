// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#if defined(_OPENMP) && defined(__linux__)
#include <omp.h>
#include <sched.h>

#include <cstddef>
#endif

namespace dashi::io {

/// Lets the calling thread run on every processor that OpenMP has for its threads. Where
/// OMP_PROC_BIND is set, OpenMP binds the program's first thread to one of them, and threads that
/// it starts would share that one. Does nothing without OpenMP or without binding.
inline void leave_bound_place() noexcept {
#if defined(_OPENMP) && defined(__linux__)
  if (omp_get_proc_bind() == omp_proc_bind_false) {
    return;
  }
  cpu_set_t processors;
  CPU_ZERO(&processors);
  for (int place = 0; place < omp_get_num_places(); ++place) {
    int ids[CPU_SETSIZE];
    int const count = omp_get_place_num_procs(place);
    if (count <= CPU_SETSIZE) {
      omp_get_place_proc_ids(place, ids);
      for (int i = 0; i < count; ++i) {
        if (ids[i] >= 0 && ids[i] < CPU_SETSIZE) {
          CPU_SET(static_cast<std::size_t>(ids[i]), &processors);
        }
      }
    }
  }
  if (CPU_COUNT(&processors) > 0) {
    (void)sched_setaffinity(0, sizeof(processors), &processors);  // as it was, if it fails
  }
#endif
}

}  // namespace dashi::io

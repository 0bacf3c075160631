// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

// The build writes dashi/config.hpp with the version. Headers used straight from the source tree
// have none.
#if __has_include(<dashi/config.hpp>)
#include <dashi/config.hpp>
#else
#define DASHI_VERSION_MAJOR 0
#define DASHI_VERSION_MINOR 0
#define DASHI_VERSION_PATCH 0
#define DASHI_VERSION "unconfigured"
#endif

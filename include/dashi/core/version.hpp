// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

// The one place that says the version; the build reads it from here.
#define DASHI_VERSION_MAJOR 0
#define DASHI_VERSION_MINOR 1
#define DASHI_VERSION_PATCH 0

#define DASHI_DETAIL_TEXT(x) #x
#define DASHI_DETAIL_VERSION(major, minor, patch) \
  DASHI_DETAIL_TEXT(major) "." DASHI_DETAIL_TEXT(minor) "." DASHI_DETAIL_TEXT(patch)

/// "major.minor.patch"
#define DASHI_VERSION \
  DASHI_DETAIL_VERSION(DASHI_VERSION_MAJOR, DASHI_VERSION_MINOR, DASHI_VERSION_PATCH)

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

// The provider portable. No other header may have the same text: g++ takes them for one file.
#include "backend.hpp"

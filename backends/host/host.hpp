// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "backend.hpp"
#include "separate_kernels.hpp"
#include "separate_net_kernels.hpp"
#include "tile_runner.hpp"

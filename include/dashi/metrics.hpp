// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/metrics/features.hpp>
#include <dashi/metrics/frechet_distance.hpp>
#include <dashi/metrics/image_batch.hpp>
#include <dashi/metrics/nearest_distances.hpp>
#include <dashi/metrics/pooled_pixels.hpp>
#include <dashi/metrics/precision_recall.hpp>
#include <dashi/metrics/random_features.hpp>
#include <dashi/metrics/squared_distance.hpp>

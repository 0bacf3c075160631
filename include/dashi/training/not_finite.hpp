// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/io/listing.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::training {

/// What is known about a step whose loss or gradient is not finite.
struct NotFinite {
  Index step = 0;                         ///< counted from 1
  std::vector<std::string> samples;       ///< whose loss is not finite: "image 17 at t = 801"
  std::vector<std::string> broken_items;  ///< whose numbers are not finite
  std::vector<std::string> parameters;    ///< that were not finite before the step
  bool gave_up_scaling = false;
};

/// Whether every number of a list is finite.
template <class T>
bool all_finite(std::span<T const> values) {
  for (T const value : values) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

/// Names of parameters that hold NaN or infinity. Reads all of them to the host.
template <Precision P, ExecutionSpace Exec>
std::vector<std::string> not_finite_parameters(ParameterList<P, Exec> const& list) {
  std::vector<std::string> names;
  std::vector<double> values;
  for (auto const& entry : list) {
    values.resize(static_cast<std::size_t>(entry.parameter.size()));
    entry.parameter.read(std::span<double>(values));
    if (!all_finite(std::span<double const>(values))) {
      names.push_back(entry.name);
    }
  }
  return names;
}

/// Throws ConvergenceError that says where to look; nothing was updated.
[[noreturn]] inline void throw_not_finite(NotFinite const& found) {
  std::string text = found.samples.empty()
                         ? std::string("the losses are finite, the gradient is not")
                         : "the loss of " + io::listing(found.samples) + " is not finite";
  bool const finite_data = found.broken_items.empty();
  text += finite_data ? "; the images are finite"
                      : "; not finite themselves: " + io::listing(found.broken_items);
  text += found.parameters.empty()
              ? ", the parameters are"
              : "; parameters that are not finite: " + io::listing(found.parameters);
  std::string advice = finite_data
                           ? "lower the learning rate, lengthen the warm-up or clip the gradient; "
                             "the last saved state is as it was"
                           : "repair or remove these images; the last saved state is as it was";
  if (found.gave_up_scaling) {
    text += "; so it was in every step since the loss scale began to fall";
  }
  throw ConvergenceError({.code = "training-not-finite",
                          .file = {},
                          .place = "step " + std::to_string(found.step),
                          .found = std::move(text),
                          .expected = {},
                          .advice = std::move(advice)},
                         finite_data);
}

}  // namespace dashi::training

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/tensor.hpp>

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::diffusion {

/// Which steps of a process a sampler visits, in the notation of the original code:
///
///     "250"        250 steps, spread evenly from the first to the last
///     "ddim50"     every k-th step from the first, with the smallest k that gives 50
///     "10,15,20"   the process cut into three equal parts, 10, 15 and 20 steps spread in them
class Spacing {
public:
  explicit Spacing(std::string text) : text_(std::move(text)) {}
  /// `count` steps spread evenly.
  explicit Spacing(Index count) : text_(std::to_string(count)) {}

  std::string const& text() const noexcept { return text_; }

  /// How many steps it keeps.
  Index count() const {
    Index total = 0;
    for (Index const section : sections()) {
      total += section;
    }
    return total;
  }

  /// Indices of the steps kept out of `total`, ascending. Throws UsageError where the text is no
  /// spacing of that many steps.
  std::vector<Index> steps(Index total) const {
    std::vector<Index> const counts = sections();
    return strides() ? strided(total, counts.front()) : spread(total, counts);
  }

private:
  static constexpr std::string_view stride_mark = "ddim";

  [[noreturn]] void refuse(std::string found, std::string advice) const {
    throw UsageError({.code = "bad-spacing",
                      .file = {},
                      .place = "spacing '" + text_ + "'",
                      .found = std::move(found),
                      .expected = {},
                      .advice = std::move(advice)});
  }

  Index number(std::string_view digits) const {
    Index result = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result);
    if (error != std::errc() || end != digits.data() + digits.size() || result < 1) {
      refuse("'" + std::string(digits) + "' is no number of steps",
             "write a count ('250'), 'ddim' and a count ('ddim50'), or counts for equal sections "
             "('10,15,20')");
    }
    return result;
  }

  bool strides() const { return text_.starts_with(stride_mark); }

  /// The counts of the text.
  std::vector<Index> sections() const {
    std::string_view rest = text_;
    if (strides()) {
      return {number(rest.substr(stride_mark.size()))};
    }
    std::vector<Index> counts;
    for (auto comma = rest.find(','); comma != std::string_view::npos; comma = rest.find(',')) {
      counts.push_back(number(rest.substr(0, comma)));
      rest.remove_prefix(comma + 1);
    }
    counts.push_back(number(rest));
    return counts;
  }

  std::vector<Index> strided(Index total, Index wanted) const {
    for (Index stride = 1; stride <= total; ++stride) {
      if ((total + stride - 1) / stride == wanted) {
        std::vector<Index> result;
        for (Index i = 0; i < total; i += stride) {
          result.push_back(i);
        }
        return result;
      }
    }
    refuse("no whole stride through " + std::to_string(total) + " steps visits exactly " +
               std::to_string(wanted),
           "leave out 'ddim' for steps spread evenly");
  }

  std::vector<Index> spread(Index total, std::vector<Index> const& counts) const {
    auto const sections = static_cast<Index>(counts.size());
    std::vector<Index> result;
    Index start = 0;
    for (Index s = 0; s < sections; ++s) {
      Index const size = total / sections + (s < total % sections ? 1 : 0);
      Index const wanted = counts[static_cast<std::size_t>(s)];
      if (wanted > size) {
        refuse(
            "a section of " + std::to_string(size) + " steps cannot give " + std::to_string(wanted),
            "ask for at most as many steps as the process has");
      }
      double const stride =
          wanted > 1 ? static_cast<double>(size - 1) / static_cast<double>(wanted - 1) : 1.0;
      double at = 0;  // added up, and halves rounded to even, as the original does
      for (Index i = 0; i < wanted; ++i) {
        result.push_back(start + static_cast<Index>(std::nearbyint(at)));
        at += stride;
      }
      start += size;
    }
    return result;
  }

  std::string text_;
};

}  // namespace dashi::diffusion

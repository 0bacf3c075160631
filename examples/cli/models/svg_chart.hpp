// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cli {

/// A line of a chart: points (x, y) with x ascending and y above 0.
struct ChartLine {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

/// A chart as an SVG image: x linear, y logarithmic, a legend. The same lines give the same text.
std::string svg_chart(std::string const& title, std::string const& x_name,
                      std::string const& y_name, std::vector<ChartLine> const& lines);

}  // namespace cli

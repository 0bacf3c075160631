// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "svg_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

namespace cli {

namespace {

constexpr double width = 720, height = 440;
constexpr double left = 76, right = 24, top = 44, bottom = 56;

/// Colours that stay apart for colour-blind readers (Okabe and Ito), on white.
constexpr char const* colours[] = {"#0072b2", "#d55e00", "#009e73",
                                   "#cc79a7", "#e69f00", "#56b4e9"};

std::string xml(std::string const& text) {
  std::string out;
  for (char const c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
  }
  return out;
}

/// Where numbers are on the paper.
struct Axes {
  double x_least = 0, x_most = 1;
  double y_least = 0, y_most = 1;  ///< decimal logarithms

  explicit Axes(std::vector<ChartLine> const& lines) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    double low = infinite, high = -infinite, first = infinite, last = -infinite;
    for (ChartLine const& line : lines) {
      for (auto const& [x, y] : line.points) {
        if (y > 0 && std::isfinite(y)) {
          low = std::min(low, std::log10(y));
          high = std::max(high, std::log10(y));
          first = std::min(first, x);
          last = std::max(last, x);
        }
      }
    }
    if (low <= high) {
      double const room = std::max(0.05 * (high - low), 0.02);
      y_least = low - room;
      y_most = high + room;
      x_least = first;
      x_most = last > first ? last : first + 1;
    }
  }

  double x(double value) const {
    return left + (value - x_least) / (x_most - x_least) * (width - left - right);
  }
  double y(double value) const {
    return height - bottom -
           (std::log10(value) - y_least) / (y_most - y_least) * (height - top - bottom);
  }
};

/// A step of 1, 2 or 5 times a power of ten that cuts a range into about `parts`.
double round_step(double range, int parts) {
  double const rough = range / parts;
  double const power = std::pow(10.0, std::floor(std::log10(rough)));
  double const factor = rough / power;
  return power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10);
}

std::string grid_line(double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", x1, y1,
      x2, y2);
}

std::string label(double x, double y, char const* anchor, std::string const& text,
                  char const* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, more, xml(text));
}

std::string axis_marks(Axes const& axes) {
  std::string out;
  double const step = round_step(axes.x_most - axes.x_least, 8);
  for (double x = std::ceil(axes.x_least / step) * step; x <= axes.x_most; x += step) {
    out += grid_line(axes.x(x), top, axes.x(x), height - bottom);
    out += label(axes.x(x), height - bottom + 18, "middle", fmt::format("{:.6g}", x));
  }
  bool const few = axes.y_most - axes.y_least < 1.2;
  for (int power = static_cast<int>(std::floor(axes.y_least)); power <= axes.y_most; ++power) {
    for (int const digit : {1, 2, 3, 5, 7}) {
      double const y = digit * std::pow(10.0, power);
      bool const wanted = digit == 1 || digit == 2 || digit == 5 || few;
      if (wanted && std::log10(y) >= axes.y_least && std::log10(y) <= axes.y_most) {
        out += grid_line(left, axes.y(y), width - right, axes.y(y));
        out += label(left - 8, axes.y(y) + 4, "end", fmt::format("{:.4g}", y));
      }
    }
  }
  return out;
}

}  // namespace

std::string svg_chart(std::string const& title, std::string const& x_name,
                      std::string const& y_name, std::vector<ChartLine> const& lines) {
  Axes const axes(lines);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      width, height);
  out += axis_marks(axes);
  out += fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888\"/>\n", left,
      top, width - left - right, height - top - bottom);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    char const* const colour = colours[i % std::size(colours)];
    char const* const dash = i < std::size(colours) ? "" : " stroke-dasharray=\"6 3\"";
    std::string points;
    for (auto const& [x, y] : lines[i].points) {
      if (y > 0 && std::isfinite(y)) {
        points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", axes.x(x), axes.y(y));
      }
    }
    out +=
        fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{}/>\n",
                    points, colour, dash);
    double const y = top + 20 + 19 * static_cast<double>(i);
    out += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
        "stroke-width=\"2\"{}/>\n",
        width - right - 34, y - 4, width - right - 10, y - 4, colour, dash);
    out += label(width - right - 42, y, "end", lines[i].name);
  }
  out += label(width / 2, 26, "middle", title, " font-size=\"16\"");
  out += label((left + width - right) / 2, height - 14, "middle", x_name);
  out += label(-(top + height - bottom) / 2, 20, "middle", y_name, " transform=\"rotate(-90)\"");
  return out + "</svg>\n";
}

}  // namespace cli

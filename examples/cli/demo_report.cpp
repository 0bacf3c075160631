// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "demo_report.hpp"

#include "session.hpp"

#include <dashi/io/byte_size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace cli {

namespace {

std::string html(std::string_view text) {
  std::string out;
  for (char const c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

struct Bar {
  std::string label;
  double value;  ///< 0 to 1 of the width
  std::string text;
  char const* colour;
};

constexpr char const* good = "#2a7f62";
constexpr char const* bad = "#b5482f";
constexpr char const* plain = "#4a6fa5";

/// Horizontal bars, one a row, with their numbers beside them.
std::string bars(std::vector<Bar> const& rows) {
  constexpr int label_width = 250, bar_width = 380, row_height = 30;
  std::string out =
      fmt::format("<svg viewBox=\"0 0 {} {}\" width=\"100%\" role=\"img\">\n",
                  label_width + bar_width + 190, row_height * static_cast<int>(rows.size()) + 8);
  int y = 4;
  for (Bar const& row : rows) {
    double const width = std::clamp(row.value, 0.0, 1.0) * bar_width;
    out += fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>"
        "<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\" rx=\"2\"/>"
        "<text x=\"{:.1f}\" y=\"{}\">{}</text>\n",
        label_width - 10, y + 19, html(row.label), label_width, y + 4, std::max(width, 1.0),
        row_height - 10, row.colour, label_width + std::max(width, 1.0) + 8, y + 19,
        html(row.text));
    y += row_height;
  }
  return out + "</svg>\n";
}

std::string percent(double fraction) {
  return fraction > 0.0 && fraction < 0.0001 ? fmt::format("{:.2g} %", 100 * fraction)
                                             : fmt::format("{:.2f} %", 100 * fraction);
}

std::string float_bars(FloatComparison const& floats) {
  std::vector<Bar> rows;
  for (FloatMethod const& method : floats.methods) {
    double const share = floats.elements == 0 ? 0.0
                                              : static_cast<double>(method.differing) /
                                                    static_cast<double>(floats.elements);
    rows.push_back({method.name, share, percent(share) + " of the numbers differ", bad});
  }
  rows.push_back({"dashi soup remove", 0.0, "0: every bit is that of a soup without it", good});
  return bars(rows);
}

std::string places_bars(FloatComparison const& floats) {
  FloatMethod const& removal = floats.methods.back();
  static constexpr char const* names[] = {"1 place", "2 places", "3 to 4", "5 to 8", "more than 8"};
  std::vector<Bar> rows;
  std::uint64_t const most = *std::max_element(removal.by_places.begin(), removal.by_places.end());
  for (std::size_t b = 0; b < removal.by_places.size(); ++b) {
    rows.push_back(
        {names[b],
         most == 0 ? 0.0 : static_cast<double>(removal.by_places[b]) / static_cast<double>(most),
         grouped(removal.by_places[b]), plain});
  }
  return bars(rows);
}

std::string rate_bars(DemoStory const& story) {
  double most = story.read_ceiling;
  for (DemoRate const& rate : story.rates) {
    most = std::max(most, rate.per_second());
  }
  std::vector<Bar> rows{{"reading memory, 8 streams", story.read_ceiling / most,
                         fmt::format("{:.1f} GB/s, the ceiling", story.read_ceiling / 1e9), plain}};
  for (DemoRate const& rate : story.rates) {
    rows.push_back(
        {rate.what, rate.per_second() / most,
         fmt::format("{:.2f} GB/s, {:.0f} ms", rate.per_second() / 1e9, rate.seconds * 1e3), good});
  }
  return bars(rows);
}

std::string check_rows(DemoStory const& story) {
  std::string out;
  for (DemoCheck const& check : story.checks) {
    out += fmt::format("<tr><td class=\"{}\">{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
                       check.holds ? "yes" : "no", check.holds ? "identical" : "DIFFERENT",
                       html(check.claim), html(check.evidence));
  }
  return out;
}

}  // namespace

std::string html_report(DemoStory const& story) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>dashi "
      "demo</title>\n<style>\n"
      "body{font:16px/1.5 system-ui,sans-serif;max-width:860px;margin:2rem auto;padding:0 "
      "1rem;color:#222}\n"
      "h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;"
      "width:100%}\n"
      "td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid "
      "#ddd;vertical-align:top}\n"
      ".yes{color:#2a7f62;font-weight:600}.no{color:#b5482f;font-weight:700}code{font-size:.8rem}\n"
      "svg text{font:14px system-ui,sans-serif;fill:#222}\n</style></head><body>\n";
  out += fmt::format(
      "<h1>Exact soups: {}</h1>\n<p>{} checkpoints of {} parameters, {} each: {}. A soup is their "
      "exact rational "
      "mean, rounded once. So adding a contributor and removing it again leaves no bit "
      "behind.</p>\n",
      story.all_hold() ? "every check holds" : "A CHECK FAILED", story.members,
      grouped(story.parameters), dashi::io::format_bytes(story.member_bytes), html(story.data));
  out += "<h2>Checked byte for byte</h2>\n<table><tr><th></th><th>what</th><th>digest</th></tr>\n" +
         check_rows(story) + "</table>\n";
  out +=
      "<h2>What float arithmetic would have left</h2>\n<p>Share of the numbers in which a usual "
      "way of "
      "averaging, or of taking one of the members out, differs from the exact soup of the "
      "others.</p>\n" +
      float_bars(story.floats);
  out +=
      "<h2>How far off removing by subtraction is</h2>\n<p>Numbers by their distance from the "
      "exact one, in "
      "places of the output format.</p>\n" +
      places_bars(story.floats);
  out +=
      "<h2>Rates</h2>\n<p>Bytes read and written by each step, against this machine's rate of "
      "reading "
      "memory, measured in the same process. Steps on files include hashing, writing and waiting "
      "for the disk.</p>\n" +
      rate_bars(story);
  return out + "</body></html>\n";
}

}  // namespace cli

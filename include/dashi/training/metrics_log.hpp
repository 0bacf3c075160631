// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/training/metrics.hpp>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::training {

enum class LogFormat : unsigned char {
  json_lines,  ///< an object a step and line; numbers that are not finite are null
  csv,         ///< a header, then a line a step; numbers that are not finite are empty
};

/// Metrics of each step in a text file that grows. After a resume lines beyond the resumed step go,
/// also a line that was cut short: the file is that of a training that was never interrupted, times
/// apart. Each line is handed to the system at once. Throws IoError.
class MetricsLog {
public:
  MetricsLog(std::filesystem::path path, LogFormat format, Index resumed_step = 0)
      : path_(std::move(path)), format_(format) {
    std::error_code error;
    if (std::filesystem::exists(path_, error)) {
      std::filesystem::resize_file(path_, kept(resumed_step), error);
    }
    if (!error) {
      out_.open(path_, std::ios::binary | std::ios::app);
    }
    expect_good(IoStage::create, "cannot open the log of metrics", error.value());
    if (format_ == LogFormat::csv && std::filesystem::file_size(path_) == 0) {
      put(header());
    }
  }

  void write(Metrics const& metrics) { put(line(metrics)); }

private:
  struct Field {
    std::string_view name;
    std::string value;  // empty: not finite
  };

  static std::vector<Field> fields(Metrics const& m) {
    double const rate = m.seconds > 0 ? static_cast<double>(m.images) / m.seconds : NAN;
    return {{"step", std::to_string(m.step)},
            {"loss", text(m.loss)},
            {"mse", text(m.mse)},
            {"vb", text(m.vb)},
            {"source_loss", text(m.source_loss)},
            {"grad_norm", text(m.gradient_norm)},
            {"lr", text(m.learning_rate)},
            {"loss_scale", text(m.loss_scale)},
            {"images", std::to_string(m.images)},
            {"images_per_second", text(rate)},
            {"seconds", text(m.seconds)}};
  }
  /// The shortest text that reads back as the same number.
  static std::string text(double value) {
    if (!std::isfinite(value)) {
      return {};
    }
    char buffer[32];
    auto const end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    return {buffer, end};
  }

  std::string line(Metrics const& metrics) const {
    bool const json = format_ == LogFormat::json_lines;
    std::string out;
    for (Field const& field : fields(metrics)) {
      out += out.empty() ? (json ? "{" : "") : ",";
      if (json) {
        out += "\"" + std::string(field.name) + "\":";
      }
      out += json && field.value.empty() ? "null" : field.value;
    }
    return out + (json ? "}\n" : "\n");
  }
  static std::string header() {
    std::string out;
    for (Field const& field : fields({})) {
      out += (out.empty() ? "" : ",") + std::string(field.name);
    }
    return out + "\n";
  }

  /// Bytes of the whole lines of steps up to `step`.
  std::uintmax_t kept(Index step) const {
    std::ifstream in(path_, std::ios::binary);
    std::uintmax_t bytes = 0;
    for (std::string one; std::getline(in, one) && !in.eof();) {
      std::string_view const start = format_ == LogFormat::csv ? "" : "{\"step\":";
      bool const is_header = format_ == LogFormat::csv && bytes == 0;
      bool const starts = one.compare(0, start.size(), start) == 0;
      if (!is_header && (!starts || std::atoll(one.c_str() + start.size()) > step)) {
        break;
      }
      bytes += one.size() + 1;
    }
    return bytes;
  }

  void put(std::string const& text) {
    out_ << text << std::flush;
    expect_good(IoStage::transfer, "cannot write the log of metrics", errno);
  }
  void expect_good(IoStage stage, char const* what, int number) const {
    if (!out_.is_open() || !out_) {
      throw IoError(stage, number,
                    {.code = "metrics-log",
                     .file = path_.string(),
                     .place = {},
                     .found = what,
                     .expected = {},
                     .advice = {}});
    }
  }

  std::filesystem::path path_;
  LogFormat format_;
  std::ofstream out_;
};

}  // namespace dashi::training

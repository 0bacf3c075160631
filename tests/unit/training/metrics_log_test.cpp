// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/merging/private_folder.hpp>
#include <dashi/training/metrics_log.hpp>

#include <catch2/catch_test_macros.hpp>

#include <file_bytes.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

using namespace dashi;
using namespace dashi::training;
using dashi::test::file_bytes;

namespace {

Metrics metrics(Index step) {
  Metrics m;
  m.step = step;
  m.loss = 0.1 * static_cast<double>(step);
  m.gradient_norm = NAN;
  m.images = 32;
  m.seconds = 0.5;
  return m;
}

}  // namespace

TEST_CASE("a line of metrics is a JSON object", "[metrics_log]") {
  merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const path = folder.path() / "log.jsonl";
  MetricsLog(path, LogFormat::json_lines).write(metrics(1));
  CHECK(file_bytes(path) ==
        "{\"step\":1,\"loss\":0.1,\"mse\":0,\"vb\":0,\"source_loss\":0,\"grad_norm\":null,\"lr\":0,"
        "\"loss_scale\":1,\"images\":32,\"images_per_second\":64,\"seconds\":0.5}\n");
}

TEST_CASE("a resumed log is that of an uninterrupted training", "[metrics_log]") {
  merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
  for (LogFormat const format : {LogFormat::json_lines, LogFormat::csv}) {
    auto const whole = folder.path() / "whole";
    auto const resumed = folder.path() / "resumed";
    std::filesystem::remove(whole);
    std::filesystem::remove(resumed);
    {
      MetricsLog log(whole, format);
      for (Index step = 1; step <= 12; ++step) {
        log.write(metrics(step));
      }
    }
    {
      MetricsLog log(resumed, format);
      for (Index step = 1; step <= 11; ++step) {
        log.write(metrics(step));
      }
    }
    std::ofstream(resumed, std::ios::app) << "{\"step\":12,\"lo";  // the system stopped here
    MetricsLog log(resumed, format, 9);
    for (Index step = 10; step <= 12; ++step) {
      log.write(metrics(step));
    }
    CHECK(file_bytes(resumed) == file_bytes(whole));
    CHECK(file_bytes(whole).starts_with(format == LogFormat::csv ? "step,loss," : "{\"step\":1,"));
  }
}

TEST_CASE("a log begun anew forgets the old one", "[metrics_log]") {
  merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const path = folder.path() / "log.csv";
  MetricsLog(path, LogFormat::csv).write(metrics(3));
  MetricsLog(path, LogFormat::csv).write(metrics(1));
  std::string const text = file_bytes(path);
  CHECK(text.find("\n1,") != std::string::npos);
  CHECK(text.find("\n3,") == std::string::npos);
}

TEST_CASE("a log that cannot be made is an error", "[metrics_log]") {
  CHECK_THROWS_AS(MetricsLog("/nonexistent-folder/log", LogFormat::csv), IoError);
}

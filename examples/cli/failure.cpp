// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "failure.hpp"

#include <dashi/core/error.hpp>

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <exception>
#include <filesystem>
#include <new>
#include <utility>

namespace cli {

namespace {

dashi::Diagnosis diagnosis_of(std::exception const& error) {
  if (auto const* ours = dynamic_cast<dashi::Error const*>(&error)) {
    return ours->diagnosis();
  }
  if (dynamic_cast<std::bad_alloc const*>(&error) != nullptr) {
    return {.code = "out-of-memory",
            .file = {},
            .place = {},
            .found = "not enough memory",
            .expected = {},
            .advice = "give a smaller --mem or fewer --threads"};
  }
  return {.code = "internal",
          .file = {},
          .place = {},
          .found = error.what(),
          .expected = {},
          .advice = "this is a defect of dashi; please report it"};
}

int print_failure(dashi::Diagnosis const& d, dashi::ExitStatus status, bool json) {
  if (json) {
    Json const object{{"error",
                       {{"code", d.code},
                        {"file", d.file},
                        {"place", d.place},
                        {"found", d.found},
                        {"expected", d.expected},
                        {"advice", d.advice},
                        {"message", dashi::one_line(d)},
                        {"status", static_cast<int>(status)}}}};
    write_all(STDERR_FILENO, object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } else {
    write_all(STDERR_FILENO, "dashi: error[" + d.code + "] " + dashi::one_line(d) + "\n");
  }
  return static_cast<int>(status);
}

}  // namespace

int report_current_exception(bool json) {
  try {
    throw;
  } catch (std::exception const& error) {
    return print_failure(diagnosis_of(error), dashi::exit_status(error), json);
  } catch (...) {
    return print_failure({.code = "internal",
                          .file = {},
                          .place = {},
                          .found = "an exception of unknown type",
                          .expected = {},
                          .advice = "this is a defect of dashi; please report it"},
                         dashi::ExitStatus::internal, json);
  }
}

void usage_error(std::string code, std::string found, std::string expected, std::string advice) {
  throw dashi::UsageError({.code = std::move(code),
                           .file = {},
                           .place = "command line",
                           .found = std::move(found),
                           .expected = std::move(expected),
                           .advice = std::move(advice)});
}

}  // namespace cli

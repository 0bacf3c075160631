// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <cerrno>
#include <exception>
#include <new>

namespace dashi {

/// Exit statuses of the program, after sysexits(3); the manual's one table.
enum class ExitStatus : int {
  success = 0,
  negative = 1,  ///< a question was answered with no: `verify` or `diff` found a difference
  usage = 2,
  bad_data = 65,
  input_missing = 66,
  device_missing = 69,
  internal = 70,
  out_of_memory = 71,
  cannot_create = 73,
  io_error = 74,
  stopped_early = 75,
  peer_failed = 76,
  no_permission = 77,
  bad_configuration = 78,
};

/// The one mapping from exceptions to exit statuses.
inline ExitStatus exit_status(std::exception const& error) noexcept {
  if (auto const* io = dynamic_cast<IoError const*>(&error)) {
    if (io->system_error() == EACCES || io->system_error() == EPERM) {
      return ExitStatus::no_permission;
    }
    switch (io->stage()) {
      case IoStage::input: return ExitStatus::input_missing;
      case IoStage::create: return ExitStatus::cannot_create;
      case IoStage::transfer: return ExitStatus::io_error;
    }
  }
  if (dynamic_cast<FormatError const*>(&error) != nullptr) {
    return ExitStatus::bad_data;
  }
  if (dynamic_cast<UsageError const*>(&error) != nullptr) {
    return ExitStatus::usage;
  }
  if (dynamic_cast<VendorError const*>(&error) != nullptr) {
    return ExitStatus::device_missing;
  }
  if (dynamic_cast<ConfigurationError const*>(&error) != nullptr) {
    return ExitStatus::bad_configuration;
  }
  if (auto const* convergence = dynamic_cast<ConvergenceError const*>(&error)) {
    return convergence->finite_input() ? ExitStatus::internal : ExitStatus::bad_data;
  }
  if (dynamic_cast<std::bad_alloc const*>(&error) != nullptr) {
    return ExitStatus::out_of_memory;
  }
  return ExitStatus::internal;
}

}  // namespace dashi

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace dashi {

/// What went wrong, in the fields that a message and `--json` both print. Empty fields are left
/// out.
struct Diagnosis {
  std::string code;      ///< short stable identifier, kebab-case: "duplicate-key"
  std::string file;      ///< path as the user gave it; escaped when printed
  std::string place;     ///< where in the file: "header byte 17", "tensor 'a.weight'"
  std::string found;     ///< what was there, or the whole sentence when nothing was expected
  std::string expected;  ///< what should have been there
  std::string advice;    ///< what to do next
};

/// Text safe to print on one terminal line: control characters, backslashes and bytes above 0x7e
/// that are not part of valid UTF-8 are shown as \xNN; valid UTF-8 passes unchanged, except
/// C1 controls and the line and direction marks (U+2028-2029, U+200E-200F, U+202A-202E,
/// U+2066-2069).
inline std::string escaped(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    unsigned char const c = byte(i);
    std::size_t const length = c < 0x80                ? 1
                               : c >= 0xf0 && c < 0xf5 ? 4
                               : c >= 0xe0             ? 3
                               : c >= 0xc2             ? 2
                                                       : 0;
    bool printable =
        length == 1 ? c >= 0x20 && c != 0x7f && c != '\\' : length > 1 && i + length <= text.size();
    std::uint32_t point = length == 4 ? c & 0x07U : length == 3 ? c & 0x0fU : c & 0x1fU;
    for (std::size_t k = 1; printable && k < length; ++k) {
      printable = (byte(i + k) & 0xc0U) == 0x80U;
      point = point << 6 | (byte(i + k) & 0x3fU);
    }
    if (printable && length > 1) {
      bool const overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
      bool const surrogate = point >= 0xd800 && point <= 0xdfff;
      bool const mark = point < 0xa0 || (point >= 0x200e && point <= 0x200f) ||
                        (point >= 0x2028 && point <= 0x202e) ||
                        (point >= 0x2066 && point <= 0x2069);
      printable = c < 0xf5 && !overlong && !surrogate && !mark && point <= 0x10ffff;
    }
    if (printable) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      out.append("\\x");
      out.push_back(digits[c >> 4]);
      out.push_back(digits[c & 15]);
      ++i;
    }
  }
  return out;
}

/// `file: place: found, expected ...; advice`, on one line, escaped.
inline std::string one_line(Diagnosis const& d) {
  std::string out;
  for (std::string const* part : {&d.file, &d.place}) {
    if (!part->empty()) {
      out += escaped(*part) + ": ";
    }
  }
  out += escaped(d.found);
  if (!d.expected.empty()) {
    out += ", expected " + escaped(d.expected);
  }
  if (!d.advice.empty()) {
    out += "; " + escaped(d.advice);
  }
  return out;
}

/// Base of every exception dashi throws; what() is one_line(diagnosis()).
class Error : public std::runtime_error {
public:
  explicit Error(Diagnosis diagnosis)
      : std::runtime_error(one_line(diagnosis)), diagnosis_(std::move(diagnosis)) {}
  Diagnosis const& diagnosis() const noexcept { return diagnosis_; }

private:
  Diagnosis diagnosis_;
};

/// Input bytes that break their format's rules (exit status 65).
class FormatError : public Error {
public:
  using Error::Error;
};

/// An argument the caller's user chose that has no meaning: a weight, an option, a count (exit
/// status 2).
class UsageError : public Error {
public:
  using Error::Error;
};

/// A caller's mistake found by DASHI_EXPECTS (exit status 70).
class PreconditionError : public Error {
public:
  using Error::Error;
};

/// A device or vendor library refused (exit status 69).
class VendorError : public Error {
public:
  using Error::Error;
};

/// Settings that contradict each other, a file or a saved state (exit status 78).
class ConfigurationError : public Error {
public:
  using Error::Error;
};

/// An iteration that did not reach its tolerance, or a training that diverged (exit status 65 when
/// its input was not finite, else 70).
class ConvergenceError : public Error {
public:
  explicit ConvergenceError(Diagnosis diagnosis, bool finite_input = true)
      : Error(std::move(diagnosis)), finite_input_(finite_input) {}
  bool finite_input() const noexcept { return finite_input_; }

private:
  bool finite_input_;
};

/// What was being done when the operating system refused; decides the exit status.
enum class IoStage {
  input,     ///< opening or identifying an input: 66
  create,    ///< creating or naming an output: 73
  transfer,  ///< reading, writing, syncing: 74
};

/// The operating system refused. Permission errors (EACCES, EPERM, EROFS on create) end with 77 or
/// 73 as dashi::exit_status says.
class IoError : public Error {
public:
  IoError(IoStage stage, int system_error, Diagnosis diagnosis)
      : Error(with_system_text(system_error, std::move(diagnosis))),
        stage_(stage),
        system_error_(system_error) {}
  IoStage stage() const noexcept { return stage_; }
  int system_error() const noexcept { return system_error_; }  ///< errno value, 0 when none applies

private:
  static Diagnosis with_system_text(int system_error, Diagnosis d) {
    if (system_error != 0) {
      d.found += (d.found.empty() ? "" : ": ") + std::string(std::strerror(system_error));
    }
    return d;
  }
  IoStage stage_;
  int system_error_;
};

}  // namespace dashi

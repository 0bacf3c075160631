// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/exit_status.hpp>
#include <dashi/io/progress.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cli {

/// JSON with its members in the order in which they were added.
using Json = nlohmann::ordered_json;

/// The options that every verb has.
struct GlobalOptions {
  bool dry_run = false;
  bool json = false;
  bool quiet = false;
  bool version = false;
  int threads = 0;           ///< 0: one for each processor
  std::uint64_t memory = 0;  ///< bytes for buffers; 0: default_memory()
  std::uint64_t seed = 1;
  std::string device = "host";
};

/// What a verb needs of the program around it: options, progress, and the ways to say something.
class Session {
public:
  Session();
  ~Session();
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;

  GlobalOptions options;
  std::vector<std::string> command_line;      ///< as the program was called
  std::function<dashi::ExitStatus()> action;  ///< set by the verb that was named

  int threads() const;           ///< at least 1
  std::uint64_t memory() const;  ///< bytes

  /// A bar on a terminal, a line every ten seconds in a pipe, nothing with --quiet.
  dashi::io::Progress& progress(std::string const& label);
  /// The same in things other than bytes: `steps` of advance() are one of them.
  dashi::io::Progress& progress(std::string const& label, std::string const& things,
                                std::uint64_t steps = 1);
  /// Something to say behind the numbers of the bar, if there is one.
  void note_progress(std::string const& text);
  /// Takes the bar off the screen; called before anything else is printed.
  void end_progress();

  /// Text on stdout unless --json. A closed pipe is not an error.
  void say(std::string const& text);
  /// The one JSON object on stdout, with the warnings so far, when --json. Large objects are made
  /// only then: nlohmann's destructor allocates, and so ends the program when memory is short.
  void report(Json object);
  /// One line on stderr, and part of the JSON object.
  void warn(std::string const& text);
  void warn_all(std::vector<std::string> const& texts);

  /// Starts Kokkos; the verbs that compute call it first. The streaming verbs bring threads of
  /// their own and want one of Kokkos.
  void start_kokkos(int threads = 1);
  /// After a signal, unfinished temporary files beside this output are removed.
  void will_write(std::filesystem::path const& output);

private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A gibibyte, or a quarter of the machine's memory where that is less.
std::uint64_t default_memory();

/// Writes all of it to a descriptor; false when the reader is gone (EPIPE), IoError for the rest.
bool write_all(int descriptor, std::string const& text);

/// `name` and `value` columns, for people.
std::string row(std::string const& name, std::string const& value);
/// 1541376 as "1 541 376".
std::string grouped(std::uint64_t number);
/// At most `limit` bytes of a text, escaped.
std::string shortened(std::string const& text, std::size_t limit);
/// For people: six significant digits.
std::string short_number(double value);

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "session.hpp"

#include "progress_bar.hpp"
#include "signals.hpp"

#include <dashi/core/error.hpp>
#include <dashi/core/scope_guard.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <unistd.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <algorithm>
#include <cerrno>
#include <optional>
#include <thread>

namespace cli {

struct Session::State {
  std::optional<ProgressBar> bar;
  std::optional<dashi::ScopeGuard> kokkos;
  std::vector<std::string> warnings;
};

Session::Session() : state_(std::make_unique<State>()) {}
Session::~Session() = default;

int Session::threads() const {
  unsigned const found = std::max(1U, std::thread::hardware_concurrency());
  return options.threads > 0 ? options.threads : static_cast<int>(found);
}

std::uint64_t Session::memory() const {
  return options.memory > 0 ? options.memory : default_memory();
}

dashi::io::Progress& Session::progress(std::string const& label) { return progress(label, {}); }

dashi::io::Progress& Session::progress(std::string const& label, std::string const& things,
                                       std::uint64_t steps) {
  end_progress();
  if (options.quiet) {
    return dashi::io::no_progress();
  }
  return state_->bar.emplace(label, ProgressUnit{things, steps});
}

void Session::note_progress(std::string const& text) {
  if (state_->bar) {
    state_->bar->note(text);
  }
}

void Session::end_progress() { state_->bar.reset(); }

void Session::say(std::string const& text) {
  end_progress();
  if (!options.json) {
    write_all(STDOUT_FILENO, text);
  }
}

void Session::report(Json object) {
  end_progress();
  if (options.json) {
    object["warnings"] = state_->warnings;
    // Paths may hold any bytes, JSON holds UTF-8 only.
    write_all(STDOUT_FILENO, object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
}

void Session::warn(std::string const& text) {
  end_progress();
  state_->warnings.push_back(text);
  if (!options.quiet && !options.json) {
    write_all(STDERR_FILENO, "dashi: warning: " + dashi::escaped(text) + "\n");
  }
}

void Session::warn_all(std::vector<std::string> const& texts) {
  for (std::string const& text : texts) {
    warn(text);
  }
}

void Session::start_kokkos(int threads) {
  if (!state_->kokkos) {
    // A pool beside the streaming engine's threads would only spin. Kokkos asks OpenMP for a full
    // team once, whatever the settings say.
#if defined(_OPENMP)
    ::omp_set_num_threads(threads);
#endif
    Kokkos::InitializationSettings settings;
    settings.set_num_threads(threads).set_disable_warnings(true);
    state_->kokkos.emplace(settings);
  }
}

void Session::will_write(std::filesystem::path const& output) { clean_up_after_signal(output); }

std::uint64_t default_memory() {
  constexpr std::uint64_t most = std::uint64_t{1} << 30;
  long const pages = ::sysconf(_SC_PHYS_PAGES);
  long const page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) {
    return most;
  }
  return std::min(most, static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) / 4);
}

bool write_all(int descriptor, std::string const& text) {
  for (std::size_t done = 0; done < text.size();) {
    ssize_t const written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written >= 0) {
      done += static_cast<std::size_t>(written);
    } else if (errno == EPIPE || (errno != EINTR && descriptor == STDERR_FILENO)) {
      return false;
    } else if (errno != EINTR) {
      throw dashi::IoError(dashi::IoStage::transfer, errno,
                           {.code = "write-failed",
                            .file = "standard output",
                            .place = {},
                            .found = "cannot print the result",
                            .expected = {},
                            .advice = "check where the output goes"});
    }
  }
  return true;
}

std::string row(std::string const& name, std::string const& value) {
  return fmt::format("  {:<11} {}\n", name, value);
}

std::string grouped(std::uint64_t number) {
  std::string out = std::to_string(number);
  for (std::size_t at = out.size(); at > 3; at -= 3) {
    out.insert(at - 3, " ");
  }
  return out;
}

std::string shortened(std::string const& text, std::size_t limit) {
  std::string const cut = text.size() > limit ? text.substr(0, limit) : text;
  return dashi::escaped(cut) +
         (text.size() > limit ? fmt::format("... ({} bytes)", text.size()) : "");
}

std::string short_number(double value) { return fmt::format("{:.6g}", value); }

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "progress_bar.hpp"

#include <dashi/io/byte_size.hpp>

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

namespace cli {

namespace {

constexpr auto quiet_time = std::chrono::milliseconds(500);
constexpr auto frame_time = std::chrono::milliseconds(100);
constexpr auto line_time = std::chrono::seconds(10);

bool stderr_is_terminal() {
  char const* const kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

bool wants_colour() {
  char const* const refused = std::getenv("NO_COLOR");
  return refused == nullptr || *refused == '\0';
}

int terminal_width() {
  struct winsize size {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void print(std::string const& text) {
  [[maybe_unused]] ssize_t const ignored = ::write(STDERR_FILENO, text.data(), text.size());
}

std::string duration(double seconds) {
  auto const s = static_cast<std::uint64_t>(std::min(seconds, 359999.0) + 0.5);
  return s < 60     ? fmt::format("{} s", s)
         : s < 3600 ? fmt::format("{}:{:02} min", s / 60, s % 60)
                    : fmt::format("{}:{:02} h", s / 3600, s % 3600 / 60);
}

}  // namespace

ProgressBar::ProgressBar(std::string label, ProgressUnit unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      terminal_(stderr_is_terminal()),
      colour_(wants_colour()) {
  start(0);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (std::system_error const&) {
    // No thread to be had: the work goes on without a bar.
  }
}

ProgressBar::~ProgressBar() {
  {
    std::scoped_lock const lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
  if (drawn_ && terminal_) {
    print("\r\x1b[K");
  }
}

void ProgressBar::start(std::uint64_t total) noexcept {
  total_ = total;
  done_ = 0;
  began_ = Clock::now().time_since_epoch().count();
}

void ProgressBar::note(std::string text) {
  std::scoped_lock const lock(mutex_);
  note_ = std::move(text);
}

void ProgressBar::run() {
  std::unique_lock lock(mutex_);
  auto wait =
      terminal_ ? std::chrono::milliseconds(quiet_time) : std::chrono::milliseconds(line_time);
  while (!stopped_.wait_for(lock, wait, [this] { return stop_; })) {
    draw();
    wait = terminal_ ? frame_time : std::chrono::milliseconds(line_time);
  }
}

std::string ProgressBar::amounts(std::uint64_t done, std::uint64_t total, double rate) const {
  if (unit_.name.empty()) {
    return fmt::format("{} of {}, {:.2f} GB/s", dashi::io::format_bytes(done),
                       dashi::io::format_bytes(total), rate * 1e-9);
  }
  return fmt::format("{} of {} {}, {:.3g} {}/s", done / unit_.steps, total / unit_.steps,
                     unit_.name, rate / static_cast<double>(unit_.steps), unit_.name);
}

std::string ProgressBar::status() const {
  std::uint64_t const total = total_;
  std::uint64_t const done = std::min<std::uint64_t>(done_, total);
  double const seconds =
      std::chrono::duration<double>(Clock::now().time_since_epoch() - Clock::duration(began_))
          .count();
  double const rate = static_cast<double>(done) / std::max(seconds, 1e-9);
  std::string out = amounts(done, total, rate);
  if (done > 0) {
    out += ", " + duration(static_cast<double>(total - done) / rate) + " left";
  }
  return note_.empty() ? out : out + ", " + note_;
}

void ProgressBar::draw() {
  std::uint64_t const total = total_;
  if (total == 0) {
    return;
  }
  double const part =
      static_cast<double>(std::min<std::uint64_t>(done_, total)) / static_cast<double>(total);
  std::string const head = fmt::format("{} {:3.0f} %", label_, 100 * part);
  std::string const tail = status();
  if (!terminal_) {
    print(fmt::format("dashi: {}, {}\n", head, tail));
    return;
  }
  int const room = terminal_width() - static_cast<int>(head.size() + tail.size()) - 5;
  std::string bar;
  if (room >= 8) {
    auto const width = static_cast<std::size_t>(std::min(room, 40));
    auto const filled = static_cast<std::size_t>(part * static_cast<double>(width));
    bar = fmt::format(" {}{}{}{}", colour_ ? "\x1b[36m" : "", std::string(filled, '='),
                      colour_ ? "\x1b[0m" : "", std::string(width - filled, '.'));
  }
  print(fmt::format("\r{}{}  {}\x1b[K", head, bar, tail));
  drawn_ = true;
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "run_folder.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/gzip.hpp>
#include <dashi/io/output_file.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <system_error>

namespace cli {

namespace fs = std::filesystem;
namespace io = dashi::io;

namespace {

std::string step_name(dashi::Index step) { return fmt::format("step-{:06}", step); }

void write_file(fs::path const& path, std::span<std::byte const> bytes) {
  io::OutputFile file(path, {.force = true}, bytes.size());
  file.write_at(0, bytes);
  file.commit(bytes.first(std::min<std::size_t>(bytes.size(), 64)));
}

void make_folder(fs::path const& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw dashi::IoError(dashi::IoStage::create, error.value(),
                         {.code = "cannot-create",
                          .file = path.string(),
                          .place = {},
                          .found = "cannot make the folder",
                          .expected = {},
                          .advice = {}});
  }
}

}  // namespace

fs::path RunFolder::step_folder(dashi::Index step) const { return checkpoints() / step_name(step); }

fs::path RunFolder::preview(dashi::Index step) const {
  return folder_ / "previews" / (step_name(step) + ".png");
}

bool RunFolder::has_states() const {
  std::error_code error;
  for (auto const& entry : fs::directory_iterator(checkpoints(), error)) {
    if (entry.path().filename().string().starts_with("state-")) {
      return true;
    }
  }
  return false;
}

void RunFolder::begin(fs::path const& config, bool resume) const {
  bool const there = has_states();
  if (there && !resume) {
    throw dashi::IoError(dashi::IoStage::create, 0,
                         {.code = "output-exists",
                          .file = folder_.string(),
                          .place = {},
                          .found = "the folder holds a training",
                          .expected = {},
                          .advice = "give --resume to go on with it, or another output"});
  }
  if (!there && resume) {
    throw dashi::IoError(dashi::IoStage::input, 0,
                         {.code = "nothing-to-resume",
                          .file = folder_.string(),
                          .place = {},
                          .found = "the folder holds no state of a training",
                          .expected = {},
                          .advice = "leave out --resume to begin one"});
  }
  make_folder(checkpoints());
  std::error_code error;
  if (!fs::equivalent(config, folder_ / "config.yaml", error)) {
    write_file(folder_ / "config.yaml", io::read_whole(config));
  }
}

void RunFolder::finish_checkpoint(dashi::Index step, std::vector<fs::path> const& states) const {
  std::string const latest = step_name(step) + "\n";
  write_file(checkpoints() / "latest", std::as_bytes(std::span(latest)));
  std::set<std::string> kept{step_name(step)};
  for (fs::path const& state : states) {
    std::string const stem = state.stem().string();
    kept.insert(step_name(std::stoll(stem.substr(stem.find('-') + 1))));
  }
  std::error_code error;
  std::vector<fs::path> old;
  for (auto const& entry : fs::directory_iterator(checkpoints(), error)) {
    std::string const name = entry.path().filename().string();
    if (name.starts_with("step-") && !kept.contains(name)) {
      old.push_back(entry.path());
    }
  }
  for (fs::path const& folder : old) {
    fs::remove_all(folder, error);
  }
}

}  // namespace cli

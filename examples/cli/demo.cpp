// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "demo_floats.hpp"
#include "demo_members.hpp"
#include "demo_memory.hpp"
#include "demo_report.hpp"
#include "failure.hpp"
#include "soup_actions.hpp"
#include "verbs.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/sha256.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <span>

namespace cli {

namespace {

namespace fs = std::filesystem;
namespace io = dashi::io;
namespace merging = dashi::merging;

constexpr int made_members = 5;

struct DemoArguments {
  std::string out = "dashi-demo";
  std::string data;
};

std::string digest_of_file(fs::path const& path) {
  io::InputFile const file(path);
  io::Sha256 hash;
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < file.size(); at += buffer.size()) {
    auto const part = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), file.size() - at)));
    file.read_exact(at, part);
    hash.update(part);
  }
  return io::hex(hash.finish());
}

/// The steps of the story, each with its files in one folder.
class Demo {
public:
  Demo(Session& session, fs::path folder, std::vector<fs::path> members)
      : session_(session), folder_(std::move(folder)), members_(std::move(members)) {
    options_.workers = session.threads();
    options_.memory_budget = session.memory();
    options_.force = true;
    io::Checkpoint const first(members_.front());
    story_.folder = folder_.string();
    story_.members = members_.size();
    story_.member_bytes = first.bytes();
    for (io::TensorRef const& ref : first.tensors()) {
      story_.parameters += ref.info.elements();
    }
  }

  DemoStory& story() { return story_; }

  void run(bool accumulates) {
    std::vector<fs::path> const others(members_.begin(), members_.end() - 1);
    fs::path const& last = members_.back();
    fs::path const without = folder_ / "others.safetensors";
    fs::path const with = folder_ / "all.safetensors";
    fs::path const again = folder_ / "removed.safetensors";

    fs::path const soup = make("team.soup", merging::LedgerMode::recompute, others);
    publish(soup, without, others.size(), "publish " + counted(others.size()));
    std::string const ledger_before = digest_of_file(soup);
    timed("add one (hashes it)", io::Checkpoint(last).bytes(),
          [&] { change_soup(soup, {.removals = {}, .additions = {{.file = last}}}, options_); });
    publish(soup, with, members_.size(), "publish " + counted(members_.size()));
    change_soup(soup, {.removals = {last.string()}, .additions = {}}, options_);
    publish(soup, again);
    check("added " + last.filename().string() + " and removed it: the published soup", without,
          again);
    check("... and the ledger", ledger_before, digest_of_file(soup));

    std::vector<fs::path> const reversed(others.rbegin(), others.rend());
    fs::path const backwards = make("backwards.soup", merging::LedgerMode::recompute, reversed);
    fs::path const other_order = folder_ / "backwards.safetensors";
    publish(backwards, other_order);
    check("the members in the opposite order", without, other_order);

    fs::path const fewer = make("unlearned.soup", merging::LedgerMode::recompute, members_);
    change_soup(fewer, {.removals = {members_.front().string()}, .additions = {}}, options_);
    fs::path const unlearned = folder_ / "unlearned.safetensors";
    publish(fewer, unlearned);
    fs::path const never =
        make("never.soup", merging::LedgerMode::recompute, {members_.begin() + 1, members_.end()});
    fs::path const never_saw = folder_ / "never_saw.safetensors";
    publish(never, never_saw);
    check("unlearned " + members_.front().filename().string() + " against never having had it",
          never_saw, unlearned);

    if (accumulates) {
      run_accumulating(others, last, without);
    }
    session_.say("comparing with float arithmetic ...\n");
    story_.floats = compare_floats(members_, without, with, session_.threads());
  }

private:
  static std::string counted(std::size_t count) { return std::to_string(count) + " members"; }

  fs::path make(char const* name, merging::LedgerMode mode, std::vector<fs::path> const& files) {
    std::vector<merging::SoupAddition> additions;
    for (fs::path const& file : files) {
      additions.push_back({.file = file});
    }
    create_soup(folder_ / name, mode, additions, options_);
    return folder_ / name;
  }

  void run_accumulating(std::vector<fs::path> const& others, fs::path const& last,
                        fs::path const& expected) {
    fs::path const sums = make("sums.soup", merging::LedgerMode::accumulate, others);
    std::uint64_t const ledger = fs::file_size(sums);
    std::string const before = digest_of_file(sums);
    timed("add one to exact sums", io::Checkpoint(last).bytes() + 2 * ledger,
          [&] { change_soup(sums, {.removals = {}, .additions = {{.file = last}}}, options_); });
    timed("remove one from exact sums", io::Checkpoint(last).bytes() + 2 * ledger,
          [&] { change_soup(sums, {.removals = {last.string()}, .additions = {}}, options_); });
    fs::path const published = folder_ / "from_sums.safetensors";
    publish(sums, published);
    check("exact sums that keep no member (" + io::format_bytes(ledger) + ") publish the same",
          expected, published);
    check("... and are the same after adding and removing", before, digest_of_file(sums));
  }

  /// With a label the time is told, and the rate of `members` files read and one written.
  void publish(fs::path const& ledger, fs::path const& output, std::size_t members = 0,
               std::string const& label = {}) {
    merging::MergeOptions options;
    options.workers = session_.threads();
    options.memory_budget = session_.memory();
    merging::PublishOptions file;
    file.force = true;
    double const bytes =
        static_cast<double>(story_.member_bytes) * static_cast<double>(members + 1);
    double const seconds =
        seconds_of([&] { publish_soup(ledger, output, options_, options, file); });
    if (!label.empty()) {
      note({label, seconds, bytes});
    }
  }

  void timed(std::string const& label, std::uint64_t bytes, std::function<void()> const& body) {
    note({label, seconds_of(body), static_cast<double>(bytes)});
  }

  void note(DemoRate rate) {
    session_.say(fmt::format(
        "  {:<28} {:>9}  {:6.1f} ms  {:5.2f} GB/s  {:3.0f} % of reading memory\n", rate.what,
        io::format_bytes(static_cast<std::uint64_t>(rate.bytes)), rate.seconds * 1e3,
        rate.per_second() / 1e9, 100 * rate.per_second() / story_.read_ceiling));
    story_.rates.push_back(std::move(rate));
  }

  void check(std::string claim, fs::path const& expected, fs::path const& found) {
    check(std::move(claim), digest_of_file(expected), digest_of_file(found));
  }

  void check(std::string claim, std::string const& expected, std::string const& found) {
    bool const same = expected == found;
    session_.say(fmt::format("  {}  {}\n             SHA-256 {}\n",
                             same ? "identical" : "DIFFERENT", claim,
                             same ? found : found + ", expected " + expected));
    story_.checks.push_back({std::move(claim), found, same});
  }

  Session& session_;
  fs::path folder_;
  std::vector<fs::path> members_;
  merging::LedgerOptions options_;
  DemoStory story_;
};

/// Accumulating soups take fp16, bf16 and fp32 members.
bool can_accumulate(fs::path const& member) {
  io::Checkpoint const checkpoint(member);
  return std::none_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                      [](io::TensorRef const& ref) { return ref.info.dtype == io::Dtype::f64; });
}

void write_report(fs::path const& path, std::string const& text) {
  io::OutputOptions options;
  options.force = true;
  io::OutputFile file(path, options, text.size());
  file.write_at(0, std::as_bytes(std::span(text)));
  file.commit();
}

Json json_story(DemoStory const& story, fs::path const& report) {
  Json rates = Json::array();
  for (DemoRate const& rate : story.rates) {
    rates.push_back({{"step", rate.what},
                     {"seconds", rate.seconds},
                     {"bytes", rate.bytes},
                     {"of_read_ceiling", rate.per_second() / story.read_ceiling}});
  }
  Json checks = Json::array();
  for (DemoCheck const& check : story.checks) {
    checks.push_back(
        {{"claim", check.claim}, {"sha256", check.evidence}, {"identical", check.holds}});
  }
  Json floats = Json::array();
  for (FloatMethod const& method : story.floats.methods) {
    floats.push_back(
        {{"method", method.name}, {"differing", method.differing}, {"how", method.how}});
  }
  return {{"verb", "demo"},
          {"folder", story.folder},
          {"members", story.members},
          {"parameters", story.parameters},
          {"member_bytes", story.member_bytes},
          {"read_ceiling", story.read_ceiling},
          {"rates", rates},
          {"checks", checks},
          {"floats", {{"elements", story.floats.elements}, {"methods", floats}}},
          {"report", report.string()}};
}

dashi::ExitStatus demo(Session& session, DemoArguments const& arguments) {
  expect_path("--out", arguments.out);
  fs::path const folder(arguments.out);
  if (session.options.dry_run) {
    session.say("would write checkpoints, soups and report.html into " +
                dashi::escaped(folder.string()) +
                (arguments.data.empty() ? ", about 700 MB\n" : "\n"));
    session.report({{"verb", "demo"}, {"folder", folder.string()}, {"dry_run", true}});
    return dashi::ExitStatus::success;
  }
  session.start_kokkos();
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw dashi::IoError(dashi::IoStage::create, error.value(),
                         {.code = "cannot-create",
                          .file = folder.string(),
                          .place = {},
                          .found = "cannot make the folder",
                          .expected = {},
                          .advice = "choose another --out"});
  }
  session.will_write(folder / "report.html");
  std::vector<fs::path> members;
  if (arguments.data.empty()) {
    members = make_members(folder, made_members, session.options.seed, session.threads(),
                           session.progress("make members"));
  } else {
    FoundMembers found = find_members(arguments.data);
    members = std::move(found.members);
    if (!found.others.empty()) {
      session.warn(
          fmt::format("{} of {} checkpoints have other tensors or dtypes than {} and are "
                      "left out",
                      found.others.size(), found.others.size() + members.size(),
                      members.front().filename().string()));
    }
  }
  session.end_progress();
  Demo story(session, folder, members);
  DemoStory& told = story.story();
  told.data = arguments.data.empty() ? "a small DiT made from random numbers, \"fine-tuned\" five "
                                       "times by other random numbers"
                                     : "the files of " + arguments.data;
  session.say(fmt::format("{} checkpoints, {} parameters, {} each, in {}\n", told.members,
                          grouped(told.parameters), io::format_bytes(told.member_bytes),
                          dashi::escaped(members.front().parent_path().string())));
  {
    auto const [ceiling, mean] = memory_rates(session.threads());
    told.read_ceiling = ceiling;
    session.say(
        fmt::format("  reading memory, 8 streams: {:.1f} GB/s; exact mean of 8 in memory: {:.1f} "
                    "GB/s, {:.0f} %\n",
                    told.read_ceiling / 1e9, mean.per_second() / 1e9,
                    100 * mean.per_second() / told.read_ceiling));
    told.rates.push_back(mean);
  }
  story.run(can_accumulate(members.front()));
  for (FloatMethod const& method : told.floats.methods) {
    session.say(fmt::format("  {:<28} {} of {} numbers differ from the exact soup\n", method.name,
                            grouped(method.differing), grouped(told.floats.elements)));
  }
  fs::path const report = folder / "report.html";
  write_report(report, html_report(told));
  session.say(fmt::format("{}; the report is {}\n",
                          told.all_hold() ? "every check holds" : "A CHECK FAILED",
                          dashi::escaped(report.string())));
  session.report(json_story(told, report));
  return told.all_hold() ? dashi::ExitStatus::success : dashi::ExitStatus::negative;
}

}  // namespace

void add_demo(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<DemoArguments>();
  CLI::App* const verb =
      add_verb(app, "demo", "show exact soups on checkpoints that it makes, or on yours",
               "  dashi demo\n  dashi demo --data my_checkpoints --out report");
  verb->add_option("--out", arguments->out,
                   "folder for checkpoints and report (default dashi-demo)");
  verb->add_option("--data", arguments->data,
                   "folder with at least three checkpoints of one model");
  on_verb(*verb, session, arguments, demo);
}

}  // namespace cli

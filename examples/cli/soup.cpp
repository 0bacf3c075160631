// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "failure.hpp"
#include "mean_report.hpp"
#include "output_argument.hpp"
#include "soup_actions.hpp"
#include "verbs.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/soup.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <optional>

namespace cli {

namespace {

namespace io = dashi::io;
namespace merging = dashi::merging;

/// Of every verb of a soup; each uses some.
struct SoupArguments {
  std::string ledger;
  std::string mode = "recompute";
  std::vector<std::string> members;  ///< FILE=WEIGHT
  std::string file;                  ///< that enters
  std::string weight;
  std::vector<std::string> renames;  ///< THEIRS=OURS
  std::string old;                   ///< that leaves
  std::string published;
  bool force = false;
  OutputArgument output;
  MeanArguments mean;

  merging::LedgerOptions options(Session const& session) const {
    merging::LedgerOptions out;
    out.workers = session.threads();
    out.memory_budget = session.memory();
    out.allow_duplicate = mean.allow_duplicate;
    out.force = force;
    out.read = mean.read;
    return out;
  }
};

dashi::Soup open(Session const& session, SoupArguments const& arguments) {
  expect_path("the ledger", arguments.ledger);
  return dashi::Soup::open(arguments.ledger, arguments.options(session));
}

std::optional<merging::KeyMap> key_map(std::vector<std::string> const& renames) {
  if (renames.empty()) {
    return std::nullopt;
  }
  std::map<std::string, std::string, std::less<>> entries;
  for (std::string const& text : renames) {
    std::size_t const at = text.rfind('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
      usage_error("bad-rename", "--rename " + io::in_quotes(text), "THEIRS=OURS, two tensor names");
    }
    if (!entries.emplace(text.substr(0, at), text.substr(at + 1)).second) {
      usage_error("bad-rename", "two --rename of " + io::in_quotes(text.substr(0, at)), "one");
    }
  }
  return merging::KeyMap(std::move(entries));
}

std::string member_lines(merging::Manifest const& manifest) {
  std::string out;
  for (merging::LedgerMember const& member : manifest.members) {
    out += row(
        member.digest.substr(0, 12),
        fmt::format("weight {:<8} {}{}", merging::text(member.weight), dashi::escaped(member.name),
                    member.keys.empty()
                        ? ""
                        : fmt::format(", {} tensors renamed", member.keys.entries().size())));
  }
  return out;
}

Json json_members(merging::Manifest const& manifest) {
  Json out = Json::array();
  for (merging::LedgerMember const& member : manifest.members) {
    Json entry{
        {"digest", member.digest}, {"weight", merging::text(member.weight)}, {"name", member.name}};
    if (!member.keys.empty()) {
      entry["keys"] = member.keys.entries();
    }
    out.push_back(std::move(entry));
  }
  return out;
}

Json json_soup(char const* verb, SoupArguments const& arguments,
               merging::Manifest const& manifest) {
  return {{"verb", std::string("soup ") + verb},
          {"ledger", arguments.ledger},
          {"mode", merging::name(manifest.mode)},
          {"members", json_members(manifest)}};
}

std::string headline(SoupArguments const& arguments, merging::Manifest const& manifest) {
  return fmt::format("{}: a soup of {} member{}, {} mode\n", dashi::escaped(arguments.ledger),
                     manifest.members.size(), manifest.members.size() == 1 ? "" : "s",
                     merging::name(manifest.mode));
}

void tell(Session& session, char const* verb, SoupArguments const& arguments,
          merging::Manifest const& manifest) {
  session.say(headline(arguments, manifest) + member_lines(manifest));
  session.report(json_soup(verb, arguments, manifest));
}

void tell_plan(Session& session, char const* verb, SoupArguments const& arguments,
               merging::SoupPlan const& plan) {
  std::string text = "plan: change " + dashi::escaped(arguments.ledger) + "\n";
  for (std::string const& name : plan.leaving) {
    text += row("leaves", dashi::escaped(name));
  }
  for (std::string const& name : plan.entering) {
    text += row("enters", dashi::escaped(name));
  }
  text += row("read", io::format_bytes(plan.bytes_to_read));
  text += row("write", io::format_bytes(plan.bytes_to_write));
  text += row("memory", fmt::format("{} of buffers with {} threads; limit {} (--mem)",
                                    io::format_bytes(plan.peak_memory), session.threads(),
                                    io::format_bytes(session.memory())));
  session.say(text);
  session.report({{"verb", std::string("soup ") + verb},
                  {"ledger", arguments.ledger},
                  {"dry_run", true},
                  {"leaving", plan.leaving},
                  {"entering", plan.entering},
                  {"bytes_read", plan.bytes_to_read},
                  {"bytes_written", plan.bytes_to_write},
                  {"peak_memory", plan.peak_memory}});
}

/// Plans or does one change of an existing soup.
dashi::ExitStatus change(Session& session, char const* verb, SoupArguments const& arguments,
                         dashi::Soup::Change const& wanted) {
  expect_path("the ledger", arguments.ledger);
  if (session.options.dry_run) {
    tell_plan(session, verb, arguments, open(session, arguments).plan(wanted));
    return dashi::ExitStatus::success;
  }
  session.will_write(arguments.ledger);
  session.start_kokkos();
  tell(session, verb, arguments,
       change_soup(arguments.ledger, wanted, arguments.options(session),
                   session.progress(std::string("soup ") + verb)));
  return dashi::ExitStatus::success;
}

dashi::ExitStatus create(Session& session, SoupArguments const& arguments) {
  expect_path("the ledger", arguments.ledger);
  std::vector<merging::SoupAddition> members;
  for (std::string const& text : arguments.members) {
    WeightedPath const member = split_weight(text);
    members.push_back({.file = member.path, .weight = member.weight});
  }
  auto const mode = arguments.mode == "accumulate" ? merging::LedgerMode::accumulate
                                                   : merging::LedgerMode::recompute;
  merging::LedgerOptions const options = arguments.options(session);
  io::CheckpointOutput output;
  output.file.force = options.force;
  expect_writable(arguments.ledger, output);
  if (session.options.dry_run) {
    tell_plan(session, "new", arguments,
              dashi::Soup::plan_creation(arguments.ledger, mode, members, options));
    return dashi::ExitStatus::success;
  }
  session.will_write(arguments.ledger);
  session.start_kokkos();
  tell(session, "new", arguments,
       create_soup(arguments.ledger, mode, members, options, session.progress("soup new")));
  return dashi::ExitStatus::success;
}

dashi::ExitStatus add(Session& session, SoupArguments const& arguments) {
  expect_path("the checkpoint", arguments.file);
  dashi::Soup::Addition addition{.file = arguments.file,
                                 .weight = merging::parse_weight(arguments.weight)};
  addition.keys = key_map(arguments.renames).value_or(merging::KeyMap());
  return change(session, "add", arguments, {.removals = {}, .additions = {addition}});
}

dashi::ExitStatus remove(Session& session, SoupArguments const& arguments) {
  expect_path("the member", arguments.old);
  return change(session, "remove", arguments, {.removals = {arguments.old}, .additions = {}});
}

dashi::ExitStatus replace(Session& session, SoupArguments const& arguments) {
  expect_path("--old", arguments.old);
  expect_path("--new", arguments.file);
  std::optional<merging::DecimalWeight> weight;
  if (!arguments.weight.empty()) {
    weight = merging::parse_weight(arguments.weight);
  }
  return change(
      session, "replace", arguments,
      open(session, arguments)
          .replacement(arguments.old, arguments.file, weight, key_map(arguments.renames)));
}

dashi::ExitStatus plan_publication(Session& session, SoupArguments const& arguments,
                                   dashi::Soup const& soup, merging::MergeOptions const& options) {
  std::filesystem::path const output(arguments.output.path);
  Json object = json_soup("publish", arguments, soup.manifest());
  object["dry_run"] = true;
  if (soup.mode() == merging::LedgerMode::recompute) {
    merging::MergePlan const plan = soup.plan_publication(options);
    TimeEstimate const time =
        estimate(work_of(plan), plan.sources.front().checkpoint->files().front().file());
    session.say(text_of(plan, output, time, session));
    if (session.options.json) {
      object["plan"] = json_of(plan, output);
      add_time(object["plan"], time);
    }
  } else {
    merging::LedgerPublication const plan =
        merging::plan_ledger_publication(soup.manifest(), options, arguments.ledger);
    merging::LedgerFile const ledger(arguments.ledger);
    PlannedWork work{.bytes_to_read = ledger.file().size(),
                     .bytes_to_write = 0,
                     .chunks = merging::ledger_slices(ledger).size(),
                     .threads = merging::ledger_workers(options.workers, options.memory_budget),
                     .peak_memory = 0};
    for (io::TensorSpec const& spec : plan.specs) {
      work.bytes_to_write += io::tensor_bytes(spec, arguments.output.path);
    }
    work.peak_memory = static_cast<std::uint64_t>(work.threads) * merging::ledger_worker_bytes;
    TimeEstimate const time = estimate(work, ledger.file());
    session.say("plan: publish " + dashi::escaped(arguments.ledger) + " as " +
                dashi::escaped(arguments.output.path) + "\n" + member_lines(soup.manifest()) +
                row("tensors", grouped(plan.specs.size())) + text_of(work, time, session));
    Json& planned = object["plan"];
    planned = {{"output", arguments.output.path}, {"tensors", plan.specs.size()}};
    add_work(planned, work);
    add_time(planned, time);
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

dashi::ExitStatus publish(Session& session, SoupArguments const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  merging::MergeOptions const options = arguments.mean.options(session);
  dashi::Soup const soup = open(session, arguments);
  expect_writable(arguments.output.path, output);
  if (session.options.dry_run) {
    return plan_publication(session, arguments, soup, options);
  }
  session.will_write(arguments.output.path);
  session.start_kokkos();
  merging::PublishOptions file;
  file.force = output.file.force;
  file.largest_shard = output.largest_shard;
  Stopwatch const watch;
  merging::MergeResult const result =
      publish_soup(arguments.ledger, arguments.output.path, arguments.options(session), options,
                   file, session.progress("soup publish"));
  double const seconds = watch.seconds();
  Json object = json_soup("publish", arguments, soup.manifest());
  object["output"] = result.path.string();
  object["seconds"] = seconds;
  object["counts"] = counts_of(session, result, arguments.mean.numbers.saturate);
  session.say(fmt::format("{}: the exact mean of {} member{}, {:.2f} s\n",
                          dashi::escaped(result.path.string()), soup.members().size(),
                          soup.members().size() == 1 ? "" : "s", seconds));
  session.report(object);
  return dashi::ExitStatus::success;
}

dashi::ExitStatus list(Session& session, SoupArguments const& arguments) {
  tell(session, "list", arguments, open(session, arguments).manifest());
  return dashi::ExitStatus::success;
}

/// What the published file says of its own dtype: `verify` need not be told again.
std::string recorded_dtype(std::string const& published, io::ReadOptions const& read) {
  io::Checkpoint const checkpoint(published, read);
  auto const at = checkpoint.metadata().find("dashi.recipe");
  if (at == checkpoint.metadata().end()) {
    return "same";
  }
  Json const recipe = Json::parse(at->second, nullptr, false);
  bool const known = recipe.is_object() && recipe.contains("dtype") && recipe["dtype"].is_string();
  std::string const text = known ? recipe["dtype"].get<std::string>() : "same";
  auto const dtype = io::parse_dtype(text);
  return dtype && io::is_averaged(*dtype) ? text : "same";
}

dashi::ExitStatus verify_ledger(Session& session, SoupArguments const& arguments) {
  dashi::Soup const soup = open(session, arguments);
  std::optional<std::filesystem::path> published;
  MeanArguments mean = arguments.mean;
  if (!arguments.published.empty()) {
    published = arguments.published;
    if (mean.dtype.empty()) {
      mean.dtype = recorded_dtype(arguments.published, mean.read);
    }
  }
  mean.dtype = mean.dtype.empty() ? "same" : mean.dtype;
  merging::MergeOptions const options = mean.options(session);
  merging::SoupVerification verdict;
  if (!session.options.dry_run) {
    session.start_kokkos();
    verdict = verify_soup(arguments.ledger, published, arguments.options(session), options,
                          session.progress("soup verify"));
  }
  Json object = json_soup("verify", arguments, soup.manifest());
  std::string const& file = published ? arguments.published : arguments.ledger;
  if (session.options.dry_run) {
    session.say("plan: verify " + dashi::escaped(file) + "\n");
    object["dry_run"] = true;
  } else if (verdict.equal()) {
    session.say(fmt::format("{}: {}\n", dashi::escaped(file),
                            published ? "is, byte for byte, what the soup publishes"
                            : soup.mode() == merging::LedgerMode::recompute
                                ? "the ledger is sound and every member has its digest"
                                : "the ledger is sound"));
  } else {
    merging::SoupDifference const& d = *verdict.difference;
    session.say(fmt::format("{}: {}: found {}, expected {}\n", dashi::escaped(file),
                            dashi::escaped(d.place), shortened(d.found, 160),
                            shortened(d.expected, 160)));
    object["difference"] = {{"place", d.place}, {"found", d.found}, {"expected", d.expected}};
  }
  if (published) {
    object["published"] = arguments.published;
  }
  object["equal"] = verdict.equal();
  session.report(object);
  return verdict.equal() ? dashi::ExitStatus::success : dashi::ExitStatus::negative;
}

CLI::App* soup_verb(CLI::App& soup, std::shared_ptr<SoupArguments> const& arguments,
                    std::string const& name, std::string const& summary,
                    std::string const& example) {
  CLI::App* const verb = add_verb(soup, name, summary, example);
  verb->add_option("LEDGER", arguments->ledger, "the soup's ledger, such as S.soup")->required();
  return verb;
}

void add_entering_options(CLI::App& verb, SoupArguments& arguments) {
  verb.add_option("--rename", arguments.renames,
                  "THEIRS=OURS: a tensor that the new member calls otherwise; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_flag("--allow-duplicate", arguments.mean.allow_duplicate,
                "accept a checkpoint whose content is in the soup already");
  add_read_options(verb, arguments.mean.read);
}

void add_new(CLI::App& soup, Session& session) {
  auto const arguments = std::make_shared<SoupArguments>();
  CLI::App* const verb = soup_verb(
      soup, arguments, "new", "start a soup",
      "  dashi soup new S.soup --member base_a.safetensors=0.5 --member b.safetensors=1.5");
  verb->add_option("--member", arguments->members, "FILE or FILE=WEIGHT; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("--mode", arguments->mode,
                   "recompute (default): members are kept by name and read again to publish;\n"
                   "accumulate: exact sums are kept, members are needed again only to be removed")
      ->check(CLI::IsMember({"recompute", "accumulate"}));
  verb->add_flag("--allow-duplicate", arguments->mean.allow_duplicate,
                 "accept the same content twice");
  add_force(*verb, arguments->force);
  add_read_options(*verb, arguments->mean.read);
  on_verb(*verb, session, arguments, create);
}

void add_changes(CLI::App& soup, Session& session) {
  auto const adding = std::make_shared<SoupArguments>();
  adding->weight = "1";
  CLI::App* verb = soup_verb(soup, adding, "add", "take a checkpoint in",
                             "  dashi soup add S.soup c.safetensors --weight 0.25");
  verb->add_option("FILE", adding->file, "the checkpoint")->required();
  verb->add_option("--weight", adding->weight, "decimal with at most 8 places (default 1)");
  add_entering_options(*verb, *adding);
  on_verb(*verb, session, adding, add);

  auto const removing = std::make_shared<SoupArguments>();
  verb = soup_verb(soup, removing, "remove", "take a member out, without a trace",
                   "  dashi soup remove S.soup b.safetensors\n  dashi soup remove S.soup 3f2a91");
  verb->add_option("MEMBER", removing->old,
                   "its file; in recompute mode also the beginning of its digest")
      ->required();
  add_read_options(*verb, removing->mean.read);
  on_verb(*verb, session, removing, remove);

  auto const replacing = std::make_shared<SoupArguments>();
  verb = soup_verb(soup, replacing, "replace", "take one member out and another in",
                   "  dashi soup replace S.soup --old b.safetensors --new n.safetensors");
  verb->add_option("--old", replacing->old, "the member that leaves")->required();
  verb->add_option("--new", replacing->file, "the checkpoint that enters")->required();
  verb->add_option("--weight", replacing->weight,
                   "of the new member (default: that of the old one)");
  add_entering_options(*verb, *replacing);
  on_verb(*verb, session, replacing, replace);
}

void add_publish(CLI::App& soup, Session& session) {
  auto const arguments = std::make_shared<SoupArguments>();
  CLI::App* const verb =
      soup_verb(soup, arguments, "publish", "write the exact mean of the members",
                "  dashi soup publish S.soup soup.safetensors\n"
                "  dashi soup publish S.soup half.safetensors --dtype f16");
  add_output_argument(*verb, arguments->output);
  add_mean_dtype(*verb, arguments->mean);
  add_number_options(*verb, arguments->mean.numbers);
  add_read_options(*verb, arguments->mean.read);
  on_verb(*verb, session, arguments, publish);
}

void add_questions(CLI::App& soup, Session& session) {
  auto const listing = std::make_shared<SoupArguments>();
  CLI::App* verb = soup_verb(soup, listing, "list", "list the members", "  dashi soup list S.soup");
  on_verb(*verb, session, listing, list);

  auto const verifying = std::make_shared<SoupArguments>();
  verifying->mean.dtype.clear();
  verb = soup_verb(soup, verifying, "verify",
                   "check the ledger, or whether a file is what the soup publishes",
                   "  dashi soup verify S.soup\n  dashi soup verify S.soup soup.safetensors");
  verb->add_option("PUBLISHED", verifying->published, "a file that 'soup publish' wrote");
  verb->add_option("--dtype", verifying->mean.dtype,
                   "with which it was published (default: what it says)");
  add_number_options(*verb, verifying->mean.numbers);
  add_read_options(*verb, verifying->mean.read);
  on_verb(*verb, session, verifying, verify_ledger);
}

}  // namespace

void add_soup(CLI::App& app, Session& session) {
  CLI::App* const soup =
      add_verb(app, "soup", "exact means of checkpoints that remember their members",
               "  dashi soup new S.soup --member a.safetensors --member b.safetensors\n"
               "  dashi soup publish S.soup soup.safetensors");
  add_new(*soup, session);
  add_changes(*soup, session);
  add_publish(*soup, session);
  add_questions(*soup, session);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/soup.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi {

inline merging::MergeMember Soup::open_addition(Addition const& addition) const {
  merging::MergeMember member = merging::open_member(addition.file, addition.weight, options_.read);
  std::map<std::string, std::string, std::less<>> keys = addition.keys.entries();
  std::erase_if(keys, [](auto const& entry) { return entry.first == entry.second; });
  member.keys = merging::KeyMap(std::move(keys));
  return member;
}

/// Notes a member as gone; UsageError when it is named twice.
inline std::size_t Soup::take(merging::Manifest const& manifest,
                              merging::SelectedMember const& selected,
                              std::vector<std::size_t>& gone) const {
  if (std::find(gone.begin(), gone.end(), selected.index) != gone.end()) {
    throw UsageError(
        {.code = "removed-twice",
         .file = {},
         .place = {},
         .found = "member " + io::in_quotes(manifest.members[selected.index].name) + " twice",
         .expected = "each member once",
         .advice = {}});
  }
  gone.push_back(selected.index);
  return selected.index;
}

inline merging::Manifest Soup::without(std::vector<std::size_t> gone) const {
  merging::Manifest after = manifest_;
  std::sort(gone.rbegin(), gone.rend());
  for (std::size_t const index : gone) {
    after.members.erase(after.members.begin() + static_cast<std::ptrdiff_t>(index));
  }
  return after;
}

inline merging::LedgerChange Soup::accumulate_change(merging::Manifest const& manifest,
                                                     Change const& change) const {
  std::vector<merging::RemovedMember> removed;
  std::vector<std::size_t> gone;
  for (std::string const& text : change.removals) {
    merging::SelectedMember const selected = select(manifest, text, false, io::no_progress());
    merging::LedgerMember const& record = manifest.members[take(manifest, selected, gone)];
    if (!selected.exists) {
      throw IoError(
          IoStage::input, ENOENT,
          {.code = "no-such-file",
           .file = selected.file.string(),
           .place = {},
           .found = "cannot open the member's file",
           .expected = "the file of member " + record.digest.substr(0, 12) + " " + record.name +
                       ", whose values must be subtracted",
           .advice = "give the path of a copy, or make the soup anew from the other members"});
    }
    merging::MergeMember member = merging::open_member(selected.file, record.weight, options_.read);
    member.keys = record.keys;
    removed.push_back({selected.index, std::move(member)});
  }
  std::vector<merging::MergeMember> added;
  std::vector<std::string> names;
  for (Addition const& addition : change.additions) {
    added.push_back(open_addition(addition));
    names.push_back(merging::member_name(addition.file, folder()));
  }
  return merging::plan_change(manifest, std::move(removed), std::move(added), names);
}

/// Members must fit each other before one enters. Of the recorded members those whose files are
/// there are looked at; publishing needs and checks all of them.
inline void Soup::expect_compatible(merging::Manifest const& after,
                                    std::vector<merging::MergeMember> const& added) const {
  std::vector<merging::MergeMember> all = added;
  std::error_code ignored;
  for (merging::LedgerMember const& record : after.members) {
    if (all.size() > added.size() || !std::filesystem::exists(file_of(record), ignored)) {
      continue;  // they fit each other: one is enough
    }
    merging::MergeMember member =
        merging::open_member(file_of(record), record.weight, options_.read);
    member.keys = record.keys;
    all.insert(all.begin(), std::move(member));
  }
  if (!all.empty()) {
    merging::match_members(all, {.dtype = io::Dtype::f64});
  }
}

inline merging::Manifest Soup::recompute_change(Change const& change,
                                                io::Progress& progress) const {
  std::vector<std::size_t> gone;
  for (std::string const& text : change.removals) {
    take(manifest_, select(manifest_, text, true, progress), gone);
  }
  merging::Manifest after = without(gone);
  std::vector<merging::MergeMember> added;
  for (Addition const& addition : change.additions) {
    added.push_back(open_addition(addition));
  }
  if (!added.empty()) {
    expect_compatible(after, added);
  }
  for (std::size_t a = 0; a < added.size(); ++a) {
    std::string const digest =
        merging::scan_member(*added[a].checkpoint, options_.workers, true, progress);
    for (merging::LedgerMember const& other : after.members) {
      if (other.digest == digest && !options_.allow_duplicate) {
        throw FormatError(
            {.code = "duplicate-member",
             .file = added[a].checkpoint->path().string(),
             .place = {},
             .found = "the same content as member " + io::in_quotes(other.name),
             .expected = "each checkpoint once",
             .advice = "give it once with the sum of the weights, or --allow-duplicate"});
      }
    }
    after.members.push_back({.digest = digest,
                             .weight = added[a].weight,
                             .name = merging::member_name(change.additions[a].file, folder()),
                             .keys = added[a].keys});
  }
  after.sort();
  return after;
}

inline void Soup::run(Change const& change, merging::LedgerFile const* old, bool force,
                      io::Progress& progress) {
  io::OutputOptions output{.force = force};
  for (Addition const& addition : change.additions) {
    io::Checkpoint const checkpoint(addition.file, options_.read);
    for (io::SafetensorsFile const& file : checkpoint.files()) {
      output.inputs.push_back(file.file().identity());
    }
  }
  if (mode() == Mode::accumulate) {
    merging::LedgerChange planned = accumulate_change(manifest_, change);
    for (merging::RemovedMember const& removed : planned.removed) {
      for (io::SafetensorsFile const& file : removed.member.checkpoint->files()) {
        output.inputs.push_back(file.file().identity());
      }
    }
    merging::LedgerPass(planned, old, *path_, std::move(output), options_, progress).run();
    manifest_ = std::move(planned.after);
    return;
  }
  merging::Manifest after = recompute_change(change, progress);
  if (path_) {
    merging::LedgerLayout const layout(after, {});
    io::OutputFile file(*path_, std::move(output), layout.file_size());
    file.write_at(0, layout.header());
    if (old != nullptr) {
      old->expect_current();
    }
    file.commit(layout.header());
  }
  manifest_ = std::move(after);
}

inline merging::SoupPlan Soup::plan(Change const& change) const {
  merging::SoupPlan plan;
  if (mode() == Mode::accumulate) {
    merging::LedgerChange const planned = accumulate_change(manifest_, change);
    for (merging::RemovedMember const& removed : planned.removed) {
      plan.leaving.push_back(manifest_.members[removed.index].name);
      plan.bytes_to_read += removed.member.checkpoint->bytes();
    }
    for (std::size_t a = 0; a < planned.added.size(); ++a) {
      plan.entering.push_back(planned.after.members[planned.kept + a].name);
      plan.bytes_to_read += planned.added[a].checkpoint->bytes();
    }
    std::error_code missing;
    std::uint64_t const size = std::filesystem::file_size(*path_, missing);
    plan.bytes_to_read += missing || planned.kept == 0 ? 0 : size;
    std::vector<merging::SparseCounts> const none(planned.after.tensors.size());
    plan.bytes_to_write = merging::LedgerLayout(planned.after, none).file_size();
    auto const team = static_cast<std::uint64_t>(
        merging::ledger_workers(options_.workers, options_.memory_budget));
    plan.peak_memory =
        team * merging::ledger_worker_bytes + merging::LedgerWriter::spool_limit(options_);
    return plan;
  }
  std::vector<std::size_t> gone;
  for (std::string const& text : change.removals) {
    merging::SelectedMember const selected = select(manifest_, text, false, io::no_progress());
    plan.leaving.push_back(manifest_.members[take(manifest_, selected, gone)].name);
  }
  merging::Manifest const kept = without(gone);
  merging::Manifest after = kept;
  std::vector<merging::MergeMember> added;
  for (Addition const& addition : change.additions) {
    added.push_back(open_addition(addition));
    plan.entering.push_back(merging::member_name(addition.file, folder()));
    plan.bytes_to_read += added.back().checkpoint->bytes();
    after.members.push_back({.digest = std::string(64, '0'),
                             .weight = addition.weight,
                             .name = plan.entering.back(),
                             .keys = added.back().keys});
  }
  if (!added.empty()) {
    expect_compatible(kept, added);
  }
  plan.bytes_to_write = path_ ? merging::LedgerLayout(after, {}).file_size() : 0;
  plan.peak_memory = static_cast<std::uint64_t>(merging::worker_count(options_.workers)) << 20;
  return plan;
}

}  // namespace dashi

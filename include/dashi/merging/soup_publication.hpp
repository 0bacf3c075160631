// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/check_sums.hpp>
#include <dashi/merging/ledger_publish.hpp>
#include <dashi/merging/soup.hpp>

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

namespace dashi {

inline std::vector<io::FileIdentity> Soup::member_files() const {
  std::vector<io::FileIdentity> files;
  for (merging::LedgerMember const& record : manifest_.members) {
    std::filesystem::path const path = file_of(record);
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) {
      continue;
    }
    files.push_back(io::file_identity(found));
    try {
      io::Checkpoint const checkpoint(path, options_.read);
      for (io::SafetensorsFile const& file : checkpoint.files()) {
        files.push_back(file.file().identity());
      }
    } catch (Error const&) {
      continue;  // accumulate mode does not need the file to be good
    }
  }
  return files;
}

inline merging::MeanPlan Soup::plan_publication(merging::MergeOptions options) const {
  std::vector<merging::MergeMember> members;
  for (merging::LedgerMember const& record : manifest_.members) {
    merging::MergeMember member =
        merging::open_member(file_of(record), record.weight, options_.read);
    member.name = record.name;
    member.keys = record.keys;
    member.digest = record.digest;
    members.push_back(std::move(member));
  }
  options.allow_duplicate = true;  // the soup has decided that when they entered
  return merging::plan_mean(std::move(members), options);
}

inline merging::MergeResult Soup::publish(std::filesystem::path const& output,
                                          merging::MergeOptions options,
                                          merging::PublishOptions file,
                                          io::Progress& progress) const {
  if (mode() == Mode::recompute) {
    if (path_) {
      file.inputs.push_back(io::InputFile(*path_).identity());
    }
    return merging::publish_mean(plan_publication(options), output, std::move(file), progress);
  }
  merging::LedgerFile const ledger(*path_);
  file.inputs.push_back(ledger.file().identity());
  std::vector<io::FileIdentity> const members = member_files();
  file.inputs.insert(file.inputs.end(), members.begin(), members.end());
  merging::LedgerPublication const publication =
      merging::plan_ledger_publication(ledger.manifest(), options, path_->string());
  io::CheckpointWriter writer(output, publication.specs, publication.metadata, file.output());
  merging::WriterSink sink(writer);
  merging::MergeResult result =
      merging::LedgerPublisher(ledger, publication, options, sink, progress).run();
  writer.commit();
  result.path = writer.path();
  return result;
}

inline merging::SoupVerification Soup::verify(std::optional<std::filesystem::path> const& published,
                                              merging::MergeOptions options,
                                              io::Progress& progress) const {
  if (mode() == Mode::recompute) {
    if (!published) {
      for (merging::LedgerMember const& record : manifest_.members) {
        io::Checkpoint const checkpoint(file_of(record), options_.read);
        std::string const digest =
            merging::scan_member(checkpoint, options_.workers, true, progress);
        if (digest != record.digest) {
          throw FormatError({.code = "digest-mismatch",
                             .file = file_of(record).string(),
                             .place = {},
                             .found = "content with digest " + digest,
                             .expected = record.digest,
                             .advice = "the file is not the one that was added; restore that one"});
        }
      }
      return {};
    }
    merging::MeanPlan const plan = plan_publication(options);
    std::vector<std::string> digests;
    for (merging::LedgerMember const& record : manifest_.members) {
      digests.push_back(record.digest);
    }
    merging::CompareSink sink(*published, merging::tensor_specs(plan), plan.metadata(digests),
                              options_.read);
    if (sink.comparable()) {
      merging::stream_mean(plan, sink, progress);
    }
    return {sink.difference()};
  }
  merging::LedgerFile const ledger(*path_);
  merging::check_sums(ledger, options_);
  if (!published) {
    return {};
  }
  merging::LedgerPublication const publication =
      merging::plan_ledger_publication(ledger.manifest(), options, path_->string());
  merging::CompareSink sink(*published, publication.specs, publication.metadata, options_.read);
  if (sink.comparable()) {
    merging::LedgerPublisher(ledger, publication, options, sink, progress).run();
  }
  return {sink.difference()};
}

}  // namespace dashi

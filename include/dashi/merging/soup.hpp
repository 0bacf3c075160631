// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/ledger_change.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/ledger_pass.hpp>
#include <dashi/merging/ledger_publish.hpp>
#include <dashi/merging/ledger_select.hpp>
#include <dashi/merging/ledger_verify.hpp>
#include <dashi/merging/locked_ledger.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/mean_stream.hpp>
#include <dashi/merging/soup_types.hpp>
#include <dashi/merging/uniform.hpp>
#include <dashi/merging/weighted.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi {

/// A soup of fine-tuned checkpoints that remembers its members: Diffusion Soup, arXiv 2406.08431,
/// with exact means, so that a removed member leaves no bit behind. docs/maths/soups.md.
///
/// After any operations the published file is, byte for byte, that of a soup that only ever saw the
/// remaining members with their weights; so is the ledger file. A soup in memory (Soup(Uniform{}))
/// keeps names and digests; create() and open() keep them in a ledger file, and every operation
/// replaces that file as a whole or not at all.
///
/// Throws UsageError (2), FormatError (65), IoError. Kokkos must be initialised (ScopeGuard).
class Soup {
public:
  using Options = merging::LedgerOptions;
  using Addition = merging::SoupAddition;
  using Change = merging::SoupChange;
  using Mode = merging::LedgerMode;

  /// In memory, recompute mode. Members have weight 1 unless add() says otherwise.
  explicit Soup(merging::Uniform, Options options = {}) : options_(std::move(options)) {}
  explicit Soup(merging::Weighted, Options options = {}) : options_(std::move(options)) {}

  /// A new ledger file with these members. IoError (73) when `ledger` exists, unless options.force,
  /// and when another process is changing it.
  static Soup create(std::filesystem::path const& ledger, Mode mode = Mode::recompute,
                     std::vector<Addition> const& members = {}, Options const& options = {},
                     io::Progress& progress = io::no_progress()) {
    Soup soup(ledger, options);
    soup.manifest_.mode = mode;
    std::optional<merging::ReplacedLedgerLock> lock;
    if (options.force) {
      lock.emplace(ledger);
    }
    soup.run({.removals = {}, .additions = members}, nullptr, options.force, progress);
    return soup;
  }

  /// An existing ledger file; a symbolic link stands for the ledger it leads to. FormatError (65)
  /// unless it is in canonical form.
  static Soup open(std::filesystem::path const& ledger, Options const& options = {}) {
    std::error_code ignored;
    std::filesystem::path target;
    if (std::filesystem::is_symlink(ledger, ignored)) {
      target = std::filesystem::canonical(ledger, ignored);
    }
    Soup soup(target.empty() ? ledger : target, options);
    soup.manifest_ = merging::LedgerFile(*soup.path_).manifest();
    return soup;
  }

  Mode mode() const noexcept { return manifest_.mode; }
  merging::Manifest const& manifest() const noexcept { return manifest_; }  ///< members by digest
  std::vector<merging::LedgerMember> const& members() const noexcept { return manifest_.members; }

  Soup& add(std::filesystem::path const& file, merging::DecimalWeight weight = {},
            merging::KeyMap keys = {}) {
    return apply({.removals = {}, .additions = {{file, weight, std::move(keys)}}});
  }
  Soup& add(std::filesystem::path const& file, std::string_view weight) {
    return add(file, merging::parse_weight(weight));
  }

  /// `member`: its file; or, where no such file is, the beginning of its digest or its recorded
  /// name. Accumulate mode needs the file (66).
  Soup& remove(std::string const& member) { return apply({.removals = {member}, .additions = {}}); }

  /// The new member gets the weight and the key map of the old one unless they are given.
  Soup& replace(std::string const& old, std::filesystem::path const& file,
                std::optional<merging::DecimalWeight> weight = {},
                std::optional<merging::KeyMap> keys = {},
                io::Progress& progress = io::no_progress()) {
    return apply(replacement(old, file, weight, std::move(keys)), progress);
  }

  Change replacement(std::string const& old, std::filesystem::path const& file,
                     std::optional<merging::DecimalWeight> weight = {},
                     std::optional<merging::KeyMap> keys = {}) const {
    merging::LedgerMember const& member =
        manifest_.members[select(manifest_, old, false, io::no_progress()).index];
    return {.removals = {old},
            .additions = {
                {file, weight.value_or(member.weight), keys ? *std::move(keys) : member.keys}}};
  }

  /// Removals and additions in one pass.
  Soup& apply(Change const& change, io::Progress& progress = io::no_progress()) {
    if (!path_) {
      run(change, nullptr, false, progress);
      return *this;
    }
    merging::LockedLedger const ledger(*path_);
    manifest_ = ledger->manifest();
    run(change, &*ledger, true, progress);
    return *this;
  }

  /// What apply() would do; checks what can be checked without reading tensors.
  merging::SoupPlan plan(Change const& change) const;

  /// What create() would do. Looks at the members' headers, not at `ledger`.
  static merging::SoupPlan plan_creation(std::filesystem::path const& ledger, Mode mode,
                                         std::vector<Addition> const& members,
                                         Options const& options = {}) {
    Soup soup(ledger, options);
    soup.manifest_.mode = mode;
    return soup.plan({.removals = {}, .additions = members});
  }

  /// Writes the exact mean of the members. UsageError (2) for a soup without members or with a
  /// total weight that is not positive.
  merging::MergeResult publish(std::filesystem::path const& output,
                               merging::MergeOptions options = {},
                               merging::PublishOptions file = {},
                               io::Progress& progress = io::no_progress()) const;

  /// The plan of publish() in recompute mode, whose members are opened.
  merging::MeanPlan plan_publication(merging::MergeOptions options = {}) const;

  /// Checks the ledger (every list of an accumulating soup; every member's digest of a recomputing
  /// one) and, when given, whether `published` is what publish() would write.
  merging::SoupVerification verify(std::optional<std::filesystem::path> const& published = {},
                                   merging::MergeOptions options = {},
                                   io::Progress& progress = io::no_progress()) const;

private:
  Soup(std::filesystem::path ledger, Options const& options)
      : path_(std::move(ledger)), options_(options) {}

  std::filesystem::path folder() const {
    return path_ && path_->has_parent_path() ? path_->parent_path() : std::filesystem::path(".");
  }
  std::filesystem::path file_of(merging::LedgerMember const& member) const {
    std::filesystem::path const name(member.name);
    return name.is_absolute() || folder() == "." ? name : folder() / name;
  }

  /// The members' own files, as far as they are there: no output may replace one of them.
  std::vector<io::FileIdentity> member_files() const;

  merging::SelectedMember select(merging::Manifest const& manifest, std::string const& text,
                                 bool verify, io::Progress& progress) const {
    return merging::select_member(manifest, text, folder(), verify, options_.workers, options_.read,
                                  progress);
  }

  merging::MergeMember open_addition(Addition const& addition) const;
  merging::LedgerChange accumulate_change(merging::Manifest const& manifest,
                                          Change const& change) const;
  merging::Manifest recompute_change(Change const& change, io::Progress& progress) const;
  std::size_t take(merging::Manifest const& manifest, merging::SelectedMember const& selected,
                   std::vector<std::size_t>& gone) const;
  merging::Manifest without(std::vector<std::size_t> gone) const;  ///< members by index
  void expect_compatible(merging::Manifest const& after,
                         std::vector<merging::MergeMember> const& added) const;
  void run(Change const& change, merging::LedgerFile const* old, bool force,
           io::Progress& progress);

  std::optional<std::filesystem::path> path_;
  Options options_;
  merging::Manifest manifest_;
};

}  // namespace dashi

#include <dashi/merging/soup_changes.hpp>
#include <dashi/merging/soup_publication.hpp>

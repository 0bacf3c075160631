// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/progress.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/publish_plan.hpp>
#include <dashi/merging/soup_types.hpp>

#include <filesystem>
#include <optional>
#include <vector>

namespace cli {

// What dashi::Soup does with tensors, compiled once for the verbs that need it.

/// Soup::create; the members as they are recorded.
dashi::merging::Manifest create_soup(std::filesystem::path const& ledger,
                                     dashi::merging::LedgerMode mode,
                                     std::vector<dashi::merging::SoupAddition> const& members,
                                     dashi::merging::LedgerOptions const& options,
                                     dashi::io::Progress& progress = dashi::io::no_progress());

/// Soup::open and apply; the members after it.
dashi::merging::Manifest change_soup(std::filesystem::path const& ledger,
                                     dashi::merging::SoupChange const& change,
                                     dashi::merging::LedgerOptions const& options,
                                     dashi::io::Progress& progress = dashi::io::no_progress());

/// Soup::open and publish.
dashi::merging::MergeResult publish_soup(std::filesystem::path const& ledger,
                                         std::filesystem::path const& output,
                                         dashi::merging::LedgerOptions const& options,
                                         dashi::merging::MergeOptions const& mean,
                                         dashi::merging::PublishOptions const& file,
                                         dashi::io::Progress& progress = dashi::io::no_progress());

/// Soup::open and verify.
dashi::merging::SoupVerification verify_soup(
    std::filesystem::path const& ledger, std::optional<std::filesystem::path> const& published,
    dashi::merging::LedgerOptions const& options, dashi::merging::MergeOptions const& mean,
    dashi::io::Progress& progress = dashi::io::no_progress());

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "soup_actions.hpp"

#include <dashi/merging/soup.hpp>

namespace cli {

namespace io = dashi::io;
namespace merging = dashi::merging;

merging::Manifest create_soup(std::filesystem::path const& ledger, merging::LedgerMode mode,
                              std::vector<merging::SoupAddition> const& members,
                              merging::LedgerOptions const& options, io::Progress& progress) {
  return dashi::Soup::create(ledger, mode, members, options, progress).manifest();
}

merging::Manifest change_soup(std::filesystem::path const& ledger,
                              merging::SoupChange const& change,
                              merging::LedgerOptions const& options, io::Progress& progress) {
  dashi::Soup soup = dashi::Soup::open(ledger, options);
  return soup.apply(change, progress).manifest();
}

merging::MergeResult publish_soup(std::filesystem::path const& ledger,
                                  std::filesystem::path const& output,
                                  merging::LedgerOptions const& options,
                                  merging::MergeOptions const& mean,
                                  merging::PublishOptions const& file, io::Progress& progress) {
  return dashi::Soup::open(ledger, options).publish(output, mean, file, progress);
}

merging::SoupVerification verify_soup(std::filesystem::path const& ledger,
                                      std::optional<std::filesystem::path> const& published,
                                      merging::LedgerOptions const& options,
                                      merging::MergeOptions const& mean, io::Progress& progress) {
  return dashi::Soup::open(ledger, options).verify(published, mean, progress);
}

}  // namespace cli

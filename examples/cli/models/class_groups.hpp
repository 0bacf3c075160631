// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/svd_transfer.hpp>

#include <filesystem>
#include <string>

namespace cli {

/// Classes and tailor groups of a YAML file, as docs/factorised.md describes it:
///
///     classes: 5
///     groups: 2
///     group_of_class: [0, 0, 1, 1, 1]
///
/// classes: default as many as the list has, or `classes` where that is not 0; groups: default one
/// more than the largest of the list, or 2; without a list neighbouring classes share a group.
/// Throws ConfigurationError with the line.
dashi::checkpoints::ClassGroups read_class_groups(std::filesystem::path const& file,
                                                  dashi::Index classes = 0);

/// The same from --groups: a number of groups, or a file.
dashi::checkpoints::ClassGroups class_groups_argument(std::string const& text,
                                                      dashi::Index classes);

}  // namespace cli

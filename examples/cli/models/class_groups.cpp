// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "class_groups.hpp"

#include "config_map.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace cli {

using dashi::Index;

dashi::checkpoints::ClassGroups read_class_groups(std::filesystem::path const& file,
                                                  Index classes) {
  std::string const name = file.string();
  YamlNode const root = read_yaml(file);
  ConfigMap map(name, "", &root);
  dashi::checkpoints::ClassGroups result;
  result.group_of_class = map.integers("group_of_class");
  auto const listed = static_cast<Index>(result.group_of_class.size());
  result.classes = map.integer("classes", listed > 0 ? listed : classes, 1, 10'000'000);
  if (result.classes == 0) {
    map.refuse("classes", "missing", "a number of classes, or group_of_class");
  }
  if (listed > 0 && listed != result.classes) {
    map.refuse("group_of_class", std::to_string(listed) + " classes",
               std::to_string(result.classes) + ", as classes says");
  }
  Index const largest =
      listed > 0 ? *std::max_element(result.group_of_class.begin(), result.group_of_class.end())
                 : Index{1};
  result.groups = map.integer("groups", largest + 1, 1, 10'000'000);
  if (listed > 0 && largest >= result.groups) {
    map.refuse("group_of_class", "a class in group " + std::to_string(largest),
               "groups from 0 to " + std::to_string(result.groups - 1));
  }
  if (listed == 0) {
    result.group_of_class = dashi::neighbouring_classes(result.classes, result.groups);
  }
  map.finish();
  return result;
}

dashi::checkpoints::ClassGroups class_groups_argument(std::string const& text, Index classes) {
  Index groups = 0;
  auto const [stop, error] = std::from_chars(text.data(), text.data() + text.size(), groups);
  if (error == std::errc() && stop == text.data() + text.size()) {
    if (groups < 1 || groups > classes) {
      throw dashi::UsageError(
          {.code = "bad-groups",
           .file = {},
           .place = "--groups",
           .found = text + " groups of tailors",
           .expected = "1 to " + std::to_string(classes) + ", the classes of the model",
           .advice = {}});
    }
    return {classes, groups, dashi::neighbouring_classes(classes, groups)};
  }
  return read_class_groups(text, classes);
}

}  // namespace cli

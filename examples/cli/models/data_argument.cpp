// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "data_argument.hpp"

#include "arguments.hpp"

#include <dashi/data/resize.hpp>

namespace cli {

void add_data_options(CLI::App& verb, DataArgument& argument) {
  verb.add_option("--data", argument.path,
                  "images: a folder or .zip of class folders, .npy, IDX, .csv or .safetensors")
      ->required();
  verb.add_option("--size", argument.size, "height and width wanted; default: as stored")
      ->check(CLI::Range(1, 8192));
  verb.add_option("--resize", argument.resize, "none (default), box, bilinear or center_crop")
      ->check(CLI::IsMember({"none", "box", "bilinear", "center_crop"}));
  verb.add_option("--channels", argument.channels, "1 or 3; default: as stored")
      ->check(CLI::IsMember({1, 3}));
  verb.add_option("--class-depth", argument.class_depth,
                  "leading folders that name the class (default 1); 0: no classes")
      ->check(CLI::Range(0, 32));
  verb.add_option("--class-name", argument.classes,
                  "a class to read; may be repeated, labels are in this order; default: all")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_option("--label-offset", argument.label_offset, "added to every label")
      ->check(CLI::NonNegativeNumber);
  verb.add_flag("--invert", argument.invert, "negate the images");
  verb.add_flag("--strict", argument.strict, "stop at a broken file");
  verb.add_option("--limit", argument.limit, "images, taken evenly; default: all")
      ->check(CLI::PositiveNumber);
}

DataConfig data_config(DataArgument const& argument) {
  using dashi::data::Resize;
  expect_path("--data", argument.path);
  DataConfig config;
  config.path = argument.path;
  config.limit = static_cast<std::size_t>(argument.limit);
  auto& o = config.load;
  o.size = argument.size;
  for (Resize const rule : {Resize::box, Resize::bilinear, Resize::center_crop}) {
    o.resize = argument.resize == name(rule) ? rule : o.resize;
  }
  o.channels = argument.channels;
  o.class_depth = argument.class_depth;
  o.classes = argument.classes;
  o.label_offset = argument.label_offset;
  o.invert = argument.invert;
  o.strict = argument.strict;
  return config;
}

}  // namespace cli

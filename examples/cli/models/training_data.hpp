// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"
#include "train_config.hpp"

#include <dashi/data/image_set.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cli {

/// Some images of a set under numbers of their own: a training::DataSet.
class ChosenImages {
public:
  /// All of them.
  explicit ChosenImages(dashi::data::ImageSet set);
  /// items: at least one, indices of the set.
  ChosenImages(dashi::data::ImageSet set, std::vector<std::size_t> items);

  std::size_t size() const noexcept { return items_.size(); }
  dashi::data::ImageShape shape() const noexcept { return set_.shape(); }
  dashi::Index classes() const noexcept { return set_.classes(); }
  std::int64_t label(std::size_t i) const { return set_.label(items_.at(i)); }
  std::string name(std::size_t i) const { return set_.name(items_.at(i)); }
  void read(std::size_t i, std::span<float> chw) const { set_.read(items_.at(i), chw); }
  std::string const& digest() const noexcept { return digest_; }

private:
  dashi::data::ImageSet set_;
  std::vector<std::size_t> items_;
  std::string digest_;
};

/// count * size / total, ... : `count` of `total`, evenly; all where count is 0.
std::vector<std::size_t> evenly(std::size_t count, std::size_t total);

/// Reads a data set, with a bar and a warning for broken files.
dashi::data::ImageSet read_images(Session& session, DataConfig const& config);

/// Images to train on, and those kept apart: of each 1 / share one, evenly.
std::pair<std::vector<std::size_t>, std::vector<std::size_t>> split_off(
    std::vector<std::size_t> const& items, double share);

}  // namespace cli

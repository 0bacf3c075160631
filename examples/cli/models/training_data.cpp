// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "training_data.hpp"

#include <dashi/data/load.hpp>
#include <dashi/data/procedural.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/xxh3.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cli {

namespace io = dashi::io;

ChosenImages::ChosenImages(dashi::data::ImageSet set) : set_(std::move(set)), items_(set_.size()) {
  std::iota(items_.begin(), items_.end(), std::size_t{0});
  digest_ = set_.digest();
}

ChosenImages::ChosenImages(dashi::data::ImageSet set, std::vector<std::size_t> items)
    : set_(std::move(set)), items_(std::move(items)) {
  io::FieldHash<io::Xxh3> hash("dashi chosen images 1\n");
  hash.text(set_.digest());
  for (std::size_t const item : items_) {
    hash.number(item);
  }
  digest_ = io::digest_text<io::Xxh3>(hash.finish());
}

std::vector<std::size_t> evenly(std::size_t count, std::size_t total) {
  std::size_t const taken = count == 0 ? total : std::min(count, total);
  std::vector<std::size_t> items(taken);
  for (std::size_t k = 0; k < taken; ++k) {
    items[k] = k * total / taken;
  }
  return items;
}

dashi::data::ImageSet read_images(Session& session, DataConfig const& config) {
  if (config.path.empty()) {
    return dashi::data::procedural(config.procedural);
  }
  dashi::data::LoadOptions options = config.load;
  options.threads = static_cast<std::size_t>(session.threads());
  options.progress = &session.progress("read images");
  dashi::data::ImageSet set = dashi::data::load(config.path, options);
  session.end_progress();
  if (!set.broken().empty()) {
    session.warn(fmt::format("{}: {} files could not be decoded and are left out, the first: {}",
                             config.path, set.broken().size(), set.broken().front().reason));
  }
  return set;
}

std::pair<std::vector<std::size_t>, std::vector<std::size_t>> split_off(
    std::vector<std::size_t> const& items, double share) {
  std::pair<std::vector<std::size_t>, std::vector<std::size_t>> out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    bool const apart =
        std::floor(static_cast<double>(i + 1) * share) > std::floor(static_cast<double>(i) * share);
    (apart ? out.second : out.first).push_back(items[i]);
  }
  return out;
}

}  // namespace cli

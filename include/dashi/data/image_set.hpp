// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/data/image_pixels.hpp>
#include <dashi/data/image_shape.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

/// A file that is no image although its name says so.
struct Broken {
  std::string path;
  std::string reason;  ///< one line, with the path
};

/// What an ImageSet is made of.
struct ImageSetParts {
  ImageShape shape;
  std::vector<std::string> class_names;  ///< by label
  std::vector<std::int64_t> labels;      ///< one an image, an index of class_names
  std::vector<std::string> names;        ///< one an image, for messages; may be empty
  std::shared_ptr<ImagePixels const> pixels;
  std::string digest;
  std::vector<Broken> broken;
};

/// Labelled images or latents of one shape, read by index; a value whose copies share one state
/// that does not change. Reading is thread-safe.
///
/// Images have values in [-1, 1], latents and other float arrays the values that were stored.
class ImageSet {
public:
  /// Throws PreconditionError for an empty set, labels outside the classes, or lists of unequal
  /// length.
  explicit ImageSet(ImageSetParts parts) {
    DASHI_EXPECTS(!parts.labels.empty() && parts.shape.size() > 0, "a set needs images");
    DASHI_EXPECTS(parts.pixels != nullptr, "a set needs pixels");
    DASHI_EXPECTS(parts.names.empty() || parts.names.size() == parts.labels.size(),
                  "names are as many as labels");
    for (std::int64_t const label : parts.labels) {
      DASHI_EXPECTS(label >= 0 && static_cast<std::size_t>(label) < parts.class_names.size(),
                    "label " + std::to_string(label) + " is no index of the class names");
    }
    parts_ = std::make_shared<ImageSetParts const>(std::move(parts));
  }

  std::size_t size() const noexcept { return parts_->labels.size(); }
  ImageShape shape() const noexcept { return parts_->shape; }

  /// One more than the largest label that may occur: the size of a label table.
  Index classes() const noexcept { return static_cast<Index>(parts_->class_names.size()); }
  /// By label; empty for labels below LoadOptions::label_offset.
  std::vector<std::string> const& class_names() const noexcept { return parts_->class_names; }

  std::int64_t label(std::size_t i) const {
    expect_index(i);
    return parts_->labels[i];
  }

  /// Where image i came from: the path within its folder or archive, or a number.
  std::string name(std::size_t i) const {
    expect_index(i);
    return parts_->names.empty() ? std::to_string(i) : parts_->names[i];
  }

  /// Image i as [channels, height, width]; `chw` holds shape().size() numbers. Throws FormatError
  /// when a file that is decoded on demand has changed.
  void read(std::size_t i, std::span<float> chw) const {
    expect_index(i);
    DASHI_EXPECTS(chw.size() == static_cast<std::size_t>(parts_->shape.size()),
                  "an image has " + std::to_string(parts_->shape.size()) +
                      " numbers, got room for " + std::to_string(chw.size()));
    parts_->pixels->read(i, chw);
  }

  /// XXH3-128 over shape, class names, and name, label and values of each image, as
  /// digest_text<Xxh3>: two sets with equal digests train alike.
  std::string const& digest() const noexcept { return parts_->digest; }

  /// Files that were left out because they could not be decoded.
  std::vector<Broken> const& broken() const noexcept { return parts_->broken; }

  /// Bytes of memory that the decoded images take.
  std::uint64_t memory() const { return parts_->pixels->memory(); }

private:
  void expect_index(std::size_t i) const {
    DASHI_EXPECTS(i < size(),
                  "image " + std::to_string(i) + " of a set of " + std::to_string(size()));
  }

  std::shared_ptr<ImageSetParts const> parts_;
};

}  // namespace dashi::data

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dashi::training {

namespace data_set_parts {

template <class D>
concept Size = requires(D const& data) {
  { data.size() } -> std::convertible_to<std::size_t>;
};
template <class D>
concept Shape = requires(D const& data) {
  { data.shape().channels } -> std::convertible_to<Index>;
  { data.shape().height } -> std::convertible_to<Index>;
  { data.shape().width } -> std::convertible_to<Index>;
};
template <class D>
concept Label = requires(D const& data, std::size_t i) {
  { data.label(i) } -> std::convertible_to<std::int64_t>;
};
template <class D>
concept Read = requires(D const& data, std::size_t i, std::span<float> chw) {
  { data.read(i, chw) } -> std::same_as<void>;
};
template <class D>
concept Digest = requires(D const& data) {
  { data.digest() } -> std::convertible_to<std::string>;
};

}  // namespace data_set_parts

/// Labelled images of one shape by index, such as data::ImageSet: size(), shape() with channels,
/// height and width, label(i), read(i, chw) of float numbers, and digest(), a text that differs
/// whenever labels or numbers do. label and read are called from several threads at a time.
template <class D>
concept DataSet = data_set_parts::Size<D> && data_set_parts::Shape<D> && data_set_parts::Label<D> &&
    data_set_parts::Read<D> && data_set_parts::Digest<D>;

/// Says in a sentence what keeps D from being a DataSet.
template <class D>
consteval bool require_data_set() {
  static_assert(data_set_parts::Size<D>, "DataSet: declare std::size_t size() const");
  static_assert(data_set_parts::Shape<D>,
                "DataSet: declare shape() const, a struct with channels, height and width");
  static_assert(data_set_parts::Label<D>,
                "DataSet: declare std::int64_t label(std::size_t i) const, the class of image i");
  static_assert(data_set_parts::Read<D>,
                "DataSet: declare void read(std::size_t i, std::span<float> chw) const, which "
                "fills in the numbers of image i, channel by channel, row by row");
  static_assert(data_set_parts::Digest<D>,
                "DataSet: declare std::string digest() const, which tells data sets apart");
  return true;
}

}  // namespace dashi::training

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// Elements first, first + 1, ... of a tensor, each rounded once to T. Throws FormatError for a
/// dtype that is not converted and for NaN and infinity.
template <class T>
void read_numbers(io::Checkpoint const& checkpoint, io::TensorRef const& ref, std::uint64_t first,
                  std::span<T> to) {
  DASHI_EXPECTS(first + to.size() <= ref.info.elements(),
                "tensor '" + ref.info.name + "' was checked to have these elements");
  auto const refuse = [&](char const* code, std::string const& element, std::string found,
                          std::string expected, std::string advice) {
    throw FormatError({.code = code,
                       .file = checkpoint.path().string(),
                       .place = "tensor " + io::in_quotes(ref.info.name) + element,
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  };
  if (!io::is_convertible(ref.info.dtype)) {
    refuse("dtype", {}, std::string(io::name(ref.info.dtype)), "one of " + io::convertible_names(),
           {});
  }
  io::with_float_type(ref.info.dtype, [&]<class From>() {
    std::vector<From> values(to.size());
    checkpoint.read(ref, first * sizeof(From), std::as_writable_bytes(std::span(values)));
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = convert<T>(values[i]);
      if (!std::isfinite(to[i])) {
        refuse("not-finite", ", element " + std::to_string(first + i), "NaN or infinity",
               "finite numbers", "the training that wrote it diverged; take an earlier checkpoint");
      }
    }
  });
}

/// Elements first, first + 1, ... of the `tensor`-th tensor of an output, each rounded once to its
/// dtype. Throws FormatError, with `place` as its place, for numbers beyond the largest.
inline void write_numbers(io::CheckpointWriter& writer, std::size_t tensor,
                          io::TensorSpec const& spec, std::span<double const> from,
                          std::uint64_t first = 0) {
  io::with_float_type(spec.dtype, [&]<class To>() {
    std::vector<To> out(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      out[i] = convert<To>(from[i]);
      if (!std::isfinite(convert<double>(out[i]))) {
        throw FormatError(
            {.code = "overflow",
             .file = writer.path().string(),
             .place =
                 "tensor " + io::in_quotes(spec.name) + ", element " + std::to_string(first + i),
             .found = "a number beyond the largest " + std::string(io::name(spec.dtype)),
             .expected = "numbers that " + std::string(io::name(spec.dtype)) + " can hold",
             .advice = "give --dtype f32"});
      }
    }
    writer.write(tensor, first * sizeof(To), std::as_bytes(std::span<To const>(out)));
  });
}

}  // namespace dashi::checkpoints

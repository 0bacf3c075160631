// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace dashi::io {

/// A tensor of an adapter: in a file, read when asked for, or in memory. Copies share the bytes.
class AdapterTensor {
public:
  AdapterTensor() = default;
  AdapterTensor(std::shared_ptr<Checkpoint const> file, TensorRef const& ref)
      : file_(std::move(file)), ref_(ref) {}
  /// `bytes`: the elements, C order, little-endian.
  AdapterTensor(Dtype dtype, std::vector<std::uint64_t> shape, std::vector<std::byte> bytes)
      : bytes_(std::make_shared<std::vector<std::byte> const>(std::move(bytes))) {
    ref_.info.dtype = dtype;
    ref_.info.shape = std::move(shape);
    ref_.info.end = bytes_->size();
  }

  bool empty() const noexcept { return file_ == nullptr && bytes_ == nullptr; }
  Dtype dtype() const noexcept { return ref_.info.dtype; }
  std::vector<std::uint64_t> const& shape() const noexcept { return ref_.info.shape; }
  std::uint64_t elements() const noexcept { return ref_.info.elements(); }
  /// Where it lies; empty for one in memory.
  std::string const& stored_name() const noexcept { return ref_.info.name; }

  /// All bytes. Throws IoError. Thread-safe, as the next.
  std::vector<std::byte> bytes() const {
    if (bytes_ != nullptr) {
      return *bytes_;
    }
    std::vector<std::byte> out(static_cast<std::size_t>(ref_.info.bytes()));
    if (file_ != nullptr) {
      file_->read(ref_, 0, out);
    }
    return out;
  }
  /// All elements, widened exactly; the dtype must be a floating one.
  std::vector<double> values() const {
    std::vector<std::byte> const raw = bytes();
    std::vector<double> out(static_cast<std::size_t>(elements()));
    with_float_type(dtype(), [&]<class T>() {
      for (std::size_t i = 0; i < out.size(); ++i) {
        T value;
        std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
        out[i] = convert<double>(value);
      }
    });
    return out;
  }

private:
  std::shared_ptr<Checkpoint const> file_;
  std::shared_ptr<std::vector<std::byte> const> bytes_;
  TensorRef ref_;
};

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/sha256.hpp>

#include <bit>
#include <cstdint>
#include <string>
#include <variant>

namespace dashi::checkpoints {

namespace detail {

class AdapterHash {
public:
  std::string of(io::AdapterFile const& file) {
    hash_.number(file.modules.size());
    for (io::AdapterModule const& module : file.modules) {
      hash_.text(module.part);
      hash_.text(module.path);
      hash_.number(std::bit_cast<std::uint64_t>(module.scale));
      hash_.number(module.form.index());
      std::visit([&](auto const& form) { add(form); }, module.form);
      hash_.number(module.dora ? 1 + (module.dora->per_input ? 1U : 0U) : 0);
      add(module.dora ? module.dora->magnitude : io::AdapterTensor());
      hash_.number(module.bias_is_difference ? 1 : 0);
      add(module.bias);
      add(module.replacement);
    }
    return io::digest_text<io::Sha256>(hash_.finish());
  }

private:
  void add(io::AdapterTensor const& tensor) {
    hash_.number(tensor.empty() ? 0 : 1);
    if (tensor.empty()) {
      return;
    }
    hash_.text(io::name(tensor.dtype()));
    hash_.number(tensor.shape().size());
    for (std::uint64_t const extent : tensor.shape()) {
      hash_.number(extent);
    }
    hash_.bytes(tensor.bytes());
  }
  void add(io::NoForm const&) {}
  void add(io::LowRankForm const& form) {
    add(form.down);
    add(form.up);
    add(form.mid);
    hash_.number(form.embedding ? 1 : 0);
  }
  void add(io::KroneckerFactorForm const& form) {
    add(form.full);
    add(form.a);
    add(form.b);
    add(form.t2);
  }
  void add(io::KroneckerForm const& form) {
    add(form.first);
    add(form.second);
    hash_.number(form.interleaved ? 1 : 0);
  }
  void add(io::ScaleForm const& form) { add(form.gamma); }
  void add(io::DenseForm const& form) { add(form.difference); }

  io::FieldHash<io::Sha256> hash_{"dashi adapter 1\n"};
};

}  // namespace detail

/// SHA-256 of what an adapter does: of its modules their names, scales, forms and tensors, whatever
/// file holds them and in whatever order. Metadata has no part. Reads every tensor.
inline std::string adapter_digest(io::AdapterFile const& file) {
  return detail::AdapterHash().of(file);
}

}  // namespace dashi::checkpoints

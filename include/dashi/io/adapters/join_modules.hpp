// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/same_module.hpp>
#include <dashi/io/adapters/scaled_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::io {

/// A module of rows [row, row + rows) of a weight that another module is to have as a whole.
struct ModulePart {
  AdapterModule module;
  std::uint64_t row = 0;
  std::uint64_t rows = 0;
};

namespace detail {

/// Joins modules of parts of a weight. In `why`: what kept it from that.
class ModuleJoiner {
public:
  /// By row, without overlap. `file` is for messages.
  ModuleJoiner(std::vector<ModulePart> parts, std::uint64_t rows, std::filesystem::path file)
      : parts_(std::move(parts)), rows_(rows), file_(std::move(file)) {}

  std::optional<AdapterModule> join() {
    AdapterModule out = parts_.front().module;
    bool const done = forms(out) && vectors(out);
    return done ? std::optional(std::move(out)) : std::nullopt;
  }
  std::string const& why() const noexcept { return why_; }

private:
  bool fail(std::string why) {
    why_ = std::move(why);
    return false;
  }
  bool covered() const {
    std::uint64_t at = 0;
    for (ModulePart const& part : parts_) {
      at += part.row == at ? part.rows : 0;
    }
    return at == rows_;
  }

  /// The tensors of all parts below each other, `unit` rows of the weight to one of theirs; where
  /// there is none, `fill`.
  template <class Tensor>
  std::optional<AdapterTensor> stack(Tensor const& tensor_of, std::uint64_t unit, double fill) {
    AdapterTensor const* like = nullptr;
    for (ModulePart const& part : parts_) {
      AdapterTensor const& tensor = tensor_of(part.module);
      if (tensor.empty()) {
        continue;
      }
      bool const fits = part.row % unit == 0 && part.rows % unit == 0 && !tensor.shape().empty() &&
                        tensor.shape().front() == part.rows / unit;
      if (!fits ||
          (like != nullptr && (like->dtype() != tensor.dtype() || !same_tail(*like, tensor)))) {
        (void)fail("tensors of its parts have other shapes or dtypes");
        return std::nullopt;
      }
      like = like == nullptr ? &tensor : like;
    }
    std::vector<std::uint64_t> shape = like->shape();
    shape.front() = rows_ / unit;
    std::size_t const row = static_cast<std::size_t>(like->elements() / like->shape().front());
    std::vector<std::byte> bytes = rounded_bytes(
        std::vector<double>(static_cast<std::size_t>(shape.front()) * row, fill), like->dtype());
    for (ModulePart const& part : parts_) {
      std::vector<std::byte> const mine = tensor_of(part.module).bytes();
      std::copy(mine.begin(), mine.end(),
                bytes.begin() +
                    static_cast<std::ptrdiff_t>(part.row / unit * (bytes.size() / shape.front())));
    }
    return AdapterTensor(like->dtype(), std::move(shape), std::move(bytes));
  }
  static bool same_tail(AdapterTensor const& a, AdapterTensor const& b) {
    return std::equal(a.shape().begin() + 1, a.shape().end(), b.shape().begin() + 1,
                      b.shape().end());
  }

  bool same_scale() const {
    return std::all_of(parts_.begin(), parts_.end(), [&](ModulePart const& part) {
      return part.module.scale == parts_.front().module.scale;
    });
  }

  bool forms(AdapterModule& out) {
    std::size_t const kind = out.form.index();
    for (ModulePart const& part : parts_) {
      if (part.module.form.index() != kind) {
        return fail("its parts have changes of two kinds");
      }
    }
    return std::visit([&](auto& form) { return join(form, out); }, out.form);
  }

  bool join(NoForm&, AdapterModule&) { return true; }
  bool join(ScaleForm& form, AdapterModule&) {
    auto gamma = stack(
        [](AdapterModule const& m) -> AdapterTensor const& {
          return std::get<ScaleForm>(m.form).gamma;
        },
        1, 1);
    return gamma && (form.gamma = std::move(*gamma), true);
  }
  bool join(DenseForm& form, AdapterModule&) {
    auto difference = stack(
        [](AdapterModule const& m) -> AdapterTensor const& {
          return std::get<DenseForm>(m.form).difference;
        },
        1, 0);
    return difference && (form.difference = std::move(*difference), true);
  }

  static LowRankForm const& low_rank(ModulePart const& part) {
    return std::get<LowRankForm>(part.module.form);
  }
  bool join(LowRankForm& form, AdapterModule& out) {
    bool common = same_scale();
    bool plain = true;
    for (ModulePart const& part : parts_) {
      LowRankForm const& mine = low_rank(part);
      common = common && same_tensor(mine.down, form.down) && same_tensor(mine.mid, form.mid);
      plain = plain && mine.mid.empty() && !mine.embedding &&
              mine.down.dtype() == form.down.dtype() && mine.up.dtype() == form.up.dtype() &&
              same_tail(mine.down, form.down);
    }
    if (common) {
      auto up = stack(
          [](AdapterModule const& m) -> AdapterTensor const& {
            return std::get<LowRankForm>(m.form).up;
          },
          1, 0);
      return up && (form.up = std::move(*up), true);
    }
    if (!plain) {
      return fail("its parts have factors of two dtypes or shapes, or Tucker cores");
    }
    return side_by_side(form, out);
  }
  /// Ranks add up: downs below each other, each up in columns of its own.
  bool side_by_side(LowRankForm& form, AdapterModule& out) {
    bool const scaled = !same_scale();
    std::uint64_t rank = 0;
    std::vector<std::byte> downs;
    for (ModulePart const& part : parts_) {
      auto const bytes = low_rank(part).down.bytes();
      downs.insert(downs.end(), bytes.begin(), bytes.end());
      rank += low_rank(part).down.shape().front();
    }
    std::size_t const element = static_cast<std::size_t>(bits(form.up.dtype())) / 8;
    std::vector<std::byte> ups(static_cast<std::size_t>(rows_ * rank) * element);
    std::uint64_t column = 0;
    for (ModulePart const& part : parts_) {
      AdapterTensor const up =
          scaled ? scaled_tensor(low_rank(part).up, part.module.scale, file_, part.module.path)
                 : low_rank(part).up;
      auto const bytes = up.bytes();
      std::uint64_t const mine = up.shape().at(1);
      for (std::uint64_t r = 0; r < part.rows; ++r) {
        auto const from = bytes.begin() + static_cast<std::ptrdiff_t>(r * mine * element);
        std::copy(
            from, from + static_cast<std::ptrdiff_t>(mine * element),
            ups.begin() + static_cast<std::ptrdiff_t>(((part.row + r) * rank + column) * element));
      }
      column += mine;
    }
    std::vector<std::uint64_t> down_shape = form.down.shape();
    down_shape.front() = rank;
    std::vector<std::uint64_t> up_shape = form.up.shape();
    up_shape[0] = rows_;
    up_shape[1] = rank;
    form.down = AdapterTensor(form.down.dtype(), std::move(down_shape), std::move(downs));
    form.up = AdapterTensor(form.up.dtype(), std::move(up_shape), std::move(ups));
    out.rank = rank;
    out.alpha = {};
    out.scale = scaled ? 1 : out.scale;
    out.scale_reason = scaled ? "joined, in the factors" : out.scale_reason;
    return true;
  }

  /// Parts with one second factor have their first factors below each other.
  bool join(KroneckerForm& form, AdapterModule&) {
    bool common = same_scale() && !form.interleaved;
    for (ModulePart const& part : parts_) {
      auto const& mine = std::get<KroneckerForm>(part.module.form);
      common =
          common && !mine.interleaved && same_tensor(mine.second.full, form.second.full) &&
          same_tensor(mine.second.a, form.second.a) && same_tensor(mine.second.b, form.second.b) &&
          same_tensor(mine.second.t2, form.second.t2) && same_tensor(mine.first.b, form.first.b);
    }
    if (!common) {
      return fail("its parts are Kronecker products without a factor in common");
    }
    bool const low = form.first.low_rank();
    AdapterTensor& target = low ? form.first.a : form.first.full;
    std::uint64_t const block = parts_.front().rows / target.shape().front();
    auto first = stack(
        [low](AdapterModule const& m) -> AdapterTensor const& {
          auto const& factor = std::get<KroneckerForm>(m.form).first;
          return low ? factor.a : factor.full;
        },
        block, 0);
    return first && (target = std::move(*first), true);
  }

  /// Biases, replacements and magnitudes. Only a bias' difference may lack rows.
  bool vectors(AdapterModule& out) {
    std::size_t trained = 0, differences = 0, replaced = 0, magnitudes = 0, per_input = 0;
    for (ModulePart const& part : parts_) {
      AdapterModule const& m = part.module;
      trained += !m.bias.empty() && !m.bias_is_difference ? 1U : 0U;
      differences += !m.bias.empty() && m.bias_is_difference ? 1U : 0U;
      replaced += m.replacement.empty() ? 0U : 1U;
      magnitudes += m.dora ? 1U : 0U;
      per_input += m.dora && m.dora->per_input ? 1U : 0U;
    }
    auto const everywhere = [&](std::size_t count) {
      return count == 0 || (count == parts_.size() && covered());
    };
    if (!everywhere(trained) || (trained > 0 && differences > 0) || !everywhere(replaced) ||
        !everywhere(magnitudes) || per_input > 0) {
      return fail(!everywhere(magnitudes) || per_input > 0
                      ? "magnitudes (DoRA) are of a part of its rows, or over all of them"
                      : "trained biases or whole weights are of a part of its rows");
    }
    auto const put = [&](AdapterTensor& target, auto const& tensor_of) {
      auto joined = stack(tensor_of, 1, 0);
      return joined && (target = std::move(*joined), true);
    };
    bool done = true;
    if (trained + differences > 0) {
      out.bias_is_difference = differences > 0;
      done = put(out.bias, [](AdapterModule const& m) -> AdapterTensor const& { return m.bias; });
    }
    if (done && replaced > 0) {
      done = put(out.replacement,
                 [](AdapterModule const& m) -> AdapterTensor const& { return m.replacement; });
    }
    if (done && magnitudes > 0) {
      done = put(out.dora->magnitude,
                 [](AdapterModule const& m) -> AdapterTensor const& { return m.dora->magnitude; });
    }
    return done;
  }

  std::vector<ModulePart> parts_;
  std::uint64_t rows_;
  std::filesystem::path file_;
  std::string why_;
};

}  // namespace detail

}  // namespace dashi::io

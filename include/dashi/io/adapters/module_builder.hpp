// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/adapter_slot.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/tensor_info.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io::detail {

/// The tensors of one module by what they are.
using SlotTensors = std::map<AdapterSlot, AdapterTensor>;

/// Makes the typed form of a module out of its tensors and checks that they fit each other. Scale
/// and alpha are the caller's. FormatError, which names the module.
class ModuleBuilder {
public:
  ModuleBuilder(std::filesystem::path file, std::string name, SlotTensors const& tensors)
      : file_(std::move(file)), name_(std::move(name)), tensors_(tensors) {}

  /// `magnitude_per_row`: the dialect has no other magnitudes, whatever their shape.
  AdapterModule build(bool magnitude_per_row) {
    expect_floating();
    expect_one_form();
    if (has(AdapterSlot::down) || has(AdapterSlot::up) || has(AdapterSlot::mid)) {
      low_rank();
    } else if (has(AdapterSlot::embedding_down) || has(AdapterSlot::embedding_up)) {
      embedding();
    } else if (has_kronecker()) {
      kronecker();
    } else if (has(AdapterSlot::krona_down) || has(AdapterSlot::krona_up)) {
      published_krona();
    } else if (has(AdapterSlot::difference)) {
      module_.form = DenseForm{at(AdapterSlot::difference)};
    } else if (has(AdapterSlot::gamma)) {
      expect_dimensions(AdapterSlot::gamma, 1, 1);
      module_.form = ScaleForm{at(AdapterSlot::gamma)};
    }
    others(magnitude_per_row);
    return std::move(module_);
  }

private:
  bool has(AdapterSlot slot) const { return tensors_.count(slot) != 0; }
  AdapterTensor const& at(AdapterSlot slot) const { return tensors_.at(slot); }
  std::vector<std::uint64_t> const& shape(AdapterSlot slot) const { return at(slot).shape(); }
  bool has_kronecker() const {
    return std::any_of(tensors_.begin(), tensors_.end(), [](auto const& pair) {
      return pair.first >= AdapterSlot::w1 && pair.first <= AdapterSlot::t2;
    });
  }

  [[noreturn]] void fail(char const* code, std::string found, std::string expected,
                         std::string advice = {}) const {
    refuse_adapter(code, file_, "module " + in_quotes(name_), std::move(found), std::move(expected),
                   std::move(advice));
  }

  std::string described(AdapterSlot slot) const {
    AdapterTensor const& tensor = at(slot);
    return in_quotes(tensor.stored_name()) + " " + shape_text(tensor.shape());
  }

  void expect_floating() const {
    for (auto const& [slot, tensor] : tensors_) {
      if (slot != AdapterSlot::alpha && !is_convertible(tensor.dtype())) {
        fail("wrong-dtype",
             in_quotes(tensor.stored_name()) + " of " + std::string(io::name(tensor.dtype())),
             "one of " + convertible_names());
      }
      if (slot != AdapterSlot::alpha && tensor.elements() == 0) {
        fail("adapter-shape", described(slot), "a tensor that is not empty");
      }
    }
  }

  void expect_one_form() const {
    std::vector<std::string> forms;
    auto const add = [&](char const* form, bool there) {
      if (there) {
        forms.emplace_back(form);
      }
    };
    add("LoRA", has(AdapterSlot::down) || has(AdapterSlot::up) || has(AdapterSlot::mid));
    add("LoRA of a table", has(AdapterSlot::embedding_down) || has(AdapterSlot::embedding_up));
    add("LoKr", has_kronecker());
    add("DiffuseKronA", has(AdapterSlot::krona_down) || has(AdapterSlot::krona_up));
    add("dense difference", has(AdapterSlot::difference));
    add("gamma", has(AdapterSlot::gamma));
    if (forms.size() > 1) {
      fail("mixed-forms", "tensors of " + listing(forms), "one form");
    }
  }

  /// Both or none: half a pair of factors says nothing.
  void expect_all(std::initializer_list<std::pair<AdapterSlot, char const*>> slots) const {
    std::string there;
    std::string missing;
    for (auto const& [slot, text] : slots) {
      (has(slot) ? there : missing) +=
          (has(slot) ? there : missing).empty() ? std::string(text) : std::string(" and ") + text;
    }
    if (!missing.empty()) {
      fail("half-a-pair", "half a pair of factors: " + there + " without " + missing, "both",
           "save the adapter again");
    }
  }

  void expect_dimensions(AdapterSlot slot, std::size_t least, std::size_t most) const {
    std::size_t const rank = shape(slot).size();
    if (rank < least || rank > most) {
      fail("adapter-shape", described(slot),
           least == most ? std::to_string(least) + " extents"
                         : std::to_string(least) + " to " + std::to_string(most) + " extents");
    }
  }

  void expect_rank(std::uint64_t rank, std::uint64_t other, AdapterSlot one, AdapterSlot two) {
    if (rank != other) {
      fail("rank-mismatch",
           "the factors disagree on the rank: " + std::to_string(rank) + " in " + described(one) +
               ", " + std::to_string(other) + " in " + described(two),
           "one rank");
    }
    if (module_.rank != 0 && module_.rank != rank) {
      fail("rank-mismatch",
           "the first factor has rank " + std::to_string(module_.rank) + ", the second rank " +
               std::to_string(rank),
           "one rank", "alpha / rank has no meaning for two");
    }
    module_.rank = rank;
  }

  void expect_ones(AdapterSlot slot, char const* what) const {
    for (std::size_t i = 2; i < shape(slot).size(); ++i) {
      if (shape(slot)[i] != 1) {
        fail("adapter-shape", described(slot),
             std::string(what) + " of extent 1 behind the first two");
      }
    }
  }

  void low_rank() {
    expect_all({{AdapterSlot::down, "down (A)"}, {AdapterSlot::up, "up (B)"}});
    expect_dimensions(AdapterSlot::down, 2, 5);
    expect_dimensions(AdapterSlot::up, shape(AdapterSlot::down).size(),
                      shape(AdapterSlot::down).size());
    expect_ones(AdapterSlot::up, "up");
    expect_rank(shape(AdapterSlot::down)[0], shape(AdapterSlot::up)[1], AdapterSlot::down,
                AdapterSlot::up);
    LowRankForm form{at(AdapterSlot::down), at(AdapterSlot::up), {}, false};
    if (has(AdapterSlot::mid)) {
      expect_dimensions(AdapterSlot::mid, 3, 5);
      expect_dimensions(AdapterSlot::down, shape(AdapterSlot::mid).size(),
                        shape(AdapterSlot::mid).size());
      expect_ones(AdapterSlot::down, "down");
      expect_rank(module_.rank, shape(AdapterSlot::mid)[0], AdapterSlot::down, AdapterSlot::mid);
      expect_rank(module_.rank, shape(AdapterSlot::mid)[1], AdapterSlot::down, AdapterSlot::mid);
      form.mid = at(AdapterSlot::mid);
    }
    module_.form = std::move(form);
  }

  void embedding() {
    expect_all({{AdapterSlot::embedding_down, "lora_embedding_A"},
                {AdapterSlot::embedding_up, "lora_embedding_B"}});
    expect_dimensions(AdapterSlot::embedding_down, 2, 2);
    expect_dimensions(AdapterSlot::embedding_up, 2, 2);
    expect_rank(shape(AdapterSlot::embedding_down)[0], shape(AdapterSlot::embedding_up)[1],
                AdapterSlot::embedding_down, AdapterSlot::embedding_up);
    module_.form =
        LowRankForm{at(AdapterSlot::embedding_down), at(AdapterSlot::embedding_up), {}, true};
  }

  /// A factor from its tensor or its two halves.
  KroneckerFactorForm factor(AdapterSlot full, AdapterSlot a, AdapterSlot b, char const* name_full,
                             char const* name_a, char const* name_b) {
    KroneckerFactorForm out;
    if (has(full) && (has(a) || has(b))) {
      fail("mixed-forms", std::string(name_full) + " and its factors too", "one or the other");
    }
    if (has(full)) {
      out.full = at(full);
      return out;
    }
    if (!has(a) && !has(b)) {
      fail("half-a-pair",
           std::string("half a pair of factors: there is neither ") + name_full + " nor " + name_a +
               " and " + name_b,
           "two factors of the Kronecker product", "save the adapter again");
    }
    expect_all({{a, name_a}, {b, name_b}});
    expect_dimensions(a, 2, 2);
    expect_dimensions(b, 2, 2);
    out.a = at(a);
    out.b = at(b);
    return out;
  }

  void kronecker() {
    KroneckerForm form;
    form.first = factor(AdapterSlot::w1, AdapterSlot::w1_a, AdapterSlot::w1_b, "lokr_w1",
                        "lokr_w1_a", "lokr_w1_b");
    form.second = factor(AdapterSlot::w2, AdapterSlot::w2_a, AdapterSlot::w2_b, "lokr_w2",
                         "lokr_w2_a", "lokr_w2_b");
    if (form.first.low_rank()) {
      expect_rank(shape(AdapterSlot::w1_a)[1], shape(AdapterSlot::w1_b)[0], AdapterSlot::w1_a,
                  AdapterSlot::w1_b);
    } else {
      expect_dimensions(AdapterSlot::w1, 2, 2);
    }
    if (has(AdapterSlot::t2)) {
      expect_all({{AdapterSlot::w2_a, "lokr_w2_a"},
                  {AdapterSlot::w2_b, "lokr_w2_b"},
                  {AdapterSlot::t2, "lokr_t2"}});
      expect_dimensions(AdapterSlot::t2, 3, 5);
      expect_rank(shape(AdapterSlot::t2)[0], shape(AdapterSlot::w2_a)[0], AdapterSlot::t2,
                  AdapterSlot::w2_a);
      expect_rank(shape(AdapterSlot::t2)[1], shape(AdapterSlot::w2_b)[0], AdapterSlot::t2,
                  AdapterSlot::w2_b);
      form.second.t2 = at(AdapterSlot::t2);
    } else if (form.second.low_rank()) {
      expect_rank(shape(AdapterSlot::w2_a)[1], shape(AdapterSlot::w2_b)[0], AdapterSlot::w2_a,
                  AdapterSlot::w2_b);
    } else {
      expect_dimensions(AdapterSlot::w2, 2, 5);
    }
    module_.form = std::move(form);
  }

  void published_krona() {
    expect_all({{AdapterSlot::krona_down, "down"}, {AdapterSlot::krona_up, "up"}});
    expect_dimensions(AdapterSlot::krona_down, 2, 2);
    expect_dimensions(AdapterSlot::krona_up, 2, 2);
    KroneckerForm form;
    form.first.full = at(AdapterSlot::krona_down);
    form.second.full = at(AdapterSlot::krona_up);
    form.interleaved = true;
    module_.form = std::move(form);
  }

  void others(bool magnitude_per_row) {
    if (has(AdapterSlot::magnitude)) {
      if (!std::holds_alternative<LowRankForm>(module_.form) &&
          !std::holds_alternative<KroneckerForm>(module_.form)) {
        fail("half-a-pair", "a magnitude without factors", "factors of LoRA or LoKr with it");
      }
      auto const& extents = shape(AdapterSlot::magnitude);
      std::size_t const wide = static_cast<std::size_t>(
          std::count_if(extents.begin(), extents.end(), [](std::uint64_t n) { return n != 1; }));
      if (wide > 1) {
        fail("adapter-shape", described(AdapterSlot::magnitude), "one extent that is not 1");
      }
      bool const per_input =
          !magnitude_per_row && extents.size() > 1 && extents[0] == 1 && wide == 1;
      module_.dora = MagnitudeForm{at(AdapterSlot::magnitude), per_input};
    }
    if (has(AdapterSlot::bias) && has(AdapterSlot::bias_difference)) {
      fail("mixed-forms", "a bias and a difference of it", "one of them");
    }
    if (has(AdapterSlot::bias) || has(AdapterSlot::bias_difference)) {
      module_.bias_is_difference = has(AdapterSlot::bias_difference);
      AdapterSlot const slot =
          module_.bias_is_difference ? AdapterSlot::bias_difference : AdapterSlot::bias;
      expect_dimensions(slot, 1, 1);
      module_.bias = at(slot);
    }
    if (has(AdapterSlot::replacement)) {
      if (module_.form.index() != 0) {
        fail("mixed-forms", "a whole weight and a change of it", "one of them");
      }
      module_.replacement = at(AdapterSlot::replacement);
    }
  }

  std::filesystem::path file_;
  std::string name_;
  SlotTensors const& tensors_;
  AdapterModule module_;
};

}  // namespace dashi::io::detail

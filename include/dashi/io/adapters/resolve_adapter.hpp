// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_names.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/adapter_resolution.hpp>
#include <dashi/io/adapters/change_shape.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

/// Finds the places of one adapter's modules and compares shapes.
class AdapterResolver {
public:
  AdapterResolver(AdapterFile const& adapter, AdapterNames const& names)
      : adapter_(adapter), names_(names) {}

  AdapterResolution resolve() {
    out_.ignored = adapter_.ignored;
    for (auto const& [token, tensor] : adapter_.token_embeddings) {
      out_.unmatched.push_back("token " + token);
    }
    for (std::size_t m = 0; m < adapter_.modules.size(); ++m) {
      resolve(m);
    }
    refuse_overlaps();
    return std::move(out_);
  }

private:
  std::string name(std::size_t m) const {
    return adapter_module_name(adapter_.dialect, adapter_.modules[m]);
  }

  void resolve(std::size_t m) {
    std::vector<std::size_t> const found = names_.find(adapter_.dialect, adapter_.modules[m]);
    if (found.empty()) {
      out_.unmatched.push_back(name(m));
      return;
    }
    if (found.size() > 1) {
      std::vector<std::string> places;
      for (std::size_t const place : found) {
        places.push_back(tensor(names_.places()[place].pieces.front()).name);
      }
      out_.ambiguous.push_back({m, name(m), "may mean " + listing(places), false});
      return;
    }
    AdapterPlace const& place = names_.places()[found.front()];
    std::string const fault = mismatch(m, place);
    if (!fault.empty()) {
      return;
    }
    for (AdapterPiece const& piece : place.pieces) {
      out_.targets.push_back({.module = m,
                              .tensor = tensor(piece).name,
                              .bias = piece.bias,
                              .module_row = piece.module_row,
                              .tensor_row = piece.tensor_row,
                              .rows = piece.rows});
    }
  }

  TensorInfo const& tensor(AdapterPiece const& piece) const {
    return names_.base().tensors[piece.weight];
  }

  std::string refuse(std::size_t m, std::string reason, bool factors = false) {
    out_.incompatible.push_back({m, name(m), reason, factors});
    return reason;
  }

  /// Why the module does not fit its place, also noted in the report; empty when it does.
  std::string mismatch(std::size_t m, AdapterPlace const& place) {
    AdapterModule const& module = adapter_.modules[m];
    std::vector<std::uint64_t> weight = tensor(place.pieces.front()).shape;
    std::uint64_t rows = 0;
    for (AdapterPiece const& piece : place.pieces) {
      rows = std::max(rows, piece.module_row + piece.rows);
      auto const& other = tensor(piece).shape;
      if (weight.size() != other.size() ||
          !std::equal(weight.begin() + 1, weight.end(), other.begin() + 1)) {
        return refuse(m, "its parts in the base have shapes " + shape_text(weight) + " and " +
                             shape_text(other));
      }
    }
    if (weight.empty()) {
      return refuse(m, in_quotes(tensor(place.pieces.front()).name) + " is a scalar");
    }
    weight.front() = rows;
    std::vector<std::uint64_t> const change = change_shape(module, weight);
    if (change != weight) {
      if (!is_squeeze(change, weight)) {
        bool const factors = std::holds_alternative<KroneckerForm>(module.form);
        return refuse(m,
                      (factors ? "its factors multiply to " : "its change is ") +
                          shape_text(change) + ", " + base_text(place) + " is " +
                          shape_text(weight),
                      factors);
      }
      out_.squeezed.push_back(name(m));
    }
    return mismatch_of_vectors(m, place, weight);
  }

  std::string base_text(AdapterPlace const& place) const {
    std::vector<std::string> tensors;
    for (AdapterPiece const& piece : place.pieces) {
      tensors.push_back(in_quotes(tensor(piece).name));
    }
    return listing(tensors);
  }

  std::string mismatch_of_vectors(std::size_t m, AdapterPlace const& place,
                                  std::vector<std::uint64_t> const& weight) {
    AdapterModule const& module = adapter_.modules[m];
    auto const length = [&](AdapterTensor const& vector, std::uint64_t expected, char const* what) {
      return vector.elements() == expected
                 ? std::string()
                 : refuse(m, std::string("its ") + what + " has " +
                                 std::to_string(vector.elements()) + " numbers, " +
                                 base_text(place) + " needs " + std::to_string(expected));
    };
    std::string fault;
    if (auto const* const scale = std::get_if<ScaleForm>(&module.form)) {
      fault = length(scale->gamma, weight[0], "gamma");
    }
    if (fault.empty() && !module.bias.empty()) {
      fault = length(module.bias, weight[0], "bias");
      for (AdapterPiece const& piece : place.pieces) {
        if (fault.empty() && piece.bias.empty()) {
          fault = refuse(m, "it has a bias, " + in_quotes(tensor(piece).name) + " has none");
        }
      }
    }
    if (fault.empty() && module.dora) {
      if (module.dora->per_input && place.pieces.size() > 1) {
        return refuse(m, "its magnitudes are norms over all rows, which the base keeps in " +
                             std::to_string(place.pieces.size()) + " tensors");
      }
      bool const per_input = module.dora->per_input;
      fault = length(module.dora->magnitude,
                     per_input ? (weight.size() > 1 ? weight[1] : 1) : weight[0], "magnitude");
    }
    return fault;
  }

  /// Two modules on the same rows, as a file has them that holds one module under two names.
  void refuse_overlaps() {
    std::map<std::string, std::vector<AdapterTarget const*>> by_tensor;
    for (AdapterTarget const& target : out_.targets) {
      by_tensor[target.tensor].push_back(&target);
    }
    for (auto const& [tensor_name, targets] : by_tensor) {
      for (std::size_t i = 1; i < targets.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
          AdapterTarget const& a = *targets[k];
          AdapterTarget const& b = *targets[i];
          if (a.module != b.module && a.tensor_row < b.tensor_row + b.rows &&
              b.tensor_row < a.tensor_row + a.rows) {
            out_.ambiguous.push_back({b.module, name(b.module),
                                      "goes to the same rows of " + in_quotes(tensor_name) +
                                          " as " + in_quotes(name(a.module)),
                                      false});
          }
        }
      }
    }
  }

  AdapterFile const& adapter_;
  AdapterNames const& names_;
  AdapterResolution out_;
};

}  // namespace detail

/// Where the modules go, and what finds no place, whatever it is.
inline AdapterResolution find_targets(AdapterFile const& adapter, AdapterNames const& names) {
  return detail::AdapterResolver(adapter, names).resolve();
}

/// FormatError (65) that lists what is wrong with a resolution that is not complete.
inline void expect_complete(AdapterResolution const& resolution, AdapterFile const& adapter,
                            AdapterBase const& base) {
  if (resolution.complete()) {
    return;
  }
  auto const reasons = [](std::vector<AdapterMismatch> const& list) {
    std::vector<std::string> out;
    for (AdapterMismatch const& mismatch : list) {
      out.push_back(in_quotes(mismatch.name) + ": " + mismatch.reason);
    }
    return out;
  };
  std::string found;
  auto const add = [&](std::size_t count, char const* what, std::vector<std::string> const& list) {
    if (count > 0) {
      found +=
          (found.empty() ? "" : "; ") + std::to_string(count) + " " + what + ": " + listing(list);
    }
  };
  add(resolution.incompatible.size(), "of other shapes than the base",
      reasons(resolution.incompatible));
  add(resolution.unmatched.size(), "without a place in the base", resolution.unmatched);
  add(resolution.ambiguous.size(), "with several places in the base",
      reasons(resolution.ambiguous));
  bool const factors = std::any_of(resolution.incompatible.begin(), resolution.incompatible.end(),
                                   [](AdapterMismatch const& m) { return m.factors; });
  char const* const code = factors                            ? "does-not-factor"
                           : !resolution.incompatible.empty() ? "shape-mismatch"
                           : !resolution.unmatched.empty()    ? "no-place"
                                                              : "ambiguous-place";
  detail::refuse_adapter(code, adapter.path, std::to_string(adapter.modules.size()) + " modules",
                         std::move(found), "one place in " + base.file + " for every module",
                         "give the base that the adapter was made for; --ignore REGEX leaves "
                         "modules out");
}

/// Where every module goes in the base; FormatError (65) that lists the modules without a place,
/// with several, and with another shape than theirs.
inline AdapterResolution resolve_adapter(AdapterFile const& adapter, AdapterBase const& base) {
  AdapterNames const names(base);
  AdapterResolution resolution = find_targets(adapter, names);
  expect_complete(resolution, adapter, base);
  return resolution;
}

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_names.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/join_modules.hpp>
#include <dashi/io/adapters/module_rows.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

/// Cuts and joins the modules of an adapter of a DiT.
class AdapterRecutter {
public:
  AdapterRecutter(AdapterFile const& adapter, AdapterNames const& names, NameStyle style)
      : adapter_(adapter), names_(names), style_(style) {}

  AdapterFile recut() {
    AdapterFile out = adapter_;
    out.modules.clear();
    for (AdapterModule const& module : adapter_.modules) {
      take(module, out.modules);
    }
    if (parts_.empty()) {
      return adapter_;
    }
    for (auto& [place, parts] : parts_) {
      out.modules.push_back(joined(names_.places()[place], std::move(parts)));
    }
    std::sort(out.modules.begin(), out.modules.end(),
              [](AdapterModule const& a, AdapterModule const& b) { return a.path < b.path; });
    out.dialect = Dialect::dashi_adapter;
    out.config.clear();
    return out;
  }

private:
  std::string name(AdapterModule const& module) const {
    return adapter_module_name(adapter_.dialect, module);
  }
  [[noreturn]] void refuse(AdapterModule const& module, std::string const& why) const {
    refuse_adapter("names-differ", adapter_.path, "module " + in_quotes(name(module)),
                   "it is one module in its own names and another number of modules in the new "
                   "ones, and " +
                       why,
                   "a module that both have, or one that can be cut or joined without loss",
                   "fuse the adapter and extract it from the result");
  }

  /// Leaves a module that has a name in the style, or no place at all, to the translator.
  void take(AdapterModule const& module, std::vector<AdapterModule>& kept) {
    auto const found = names_.find(adapter_.dialect, module);
    bool cut = false;
    if (found.size() == 1) {
      AdapterPlace const& place = names_.places()[found.front()];
      if (place.style != style_ && names_.in_style(place, style_) == nullptr) {
        for (std::size_t i = 0; i < names_.places().size(); ++i) {
          cut = (names_.places()[i].style == style_ && add(module, place, i)) || cut;
        }
      }
    }
    if (!cut) {
      kept.push_back(module);
      if (found.size() == 1) {
        kept.back().part.clear();
        kept.back().path = names_.places()[found.front()].path;
      }
    }
  }

  /// Notes what the module does to rows of another place; false when that is nothing.
  bool add(AdapterModule const& module, AdapterPlace const& from, std::size_t to) {
    std::vector<ModulePart> parts = parts_.contains(to) ? parts_.at(to) : std::vector<ModulePart>();
    bool any = false;
    for (AdapterPiece const& target : names_.places()[to].pieces) {
      for (AdapterPiece const& piece : from.pieces) {
        std::uint64_t const first = std::max(piece.tensor_row, target.tensor_row);
        std::uint64_t const last =
            std::min(piece.tensor_row + piece.rows, target.tensor_row + target.rows);
        if (piece.weight != target.weight || first >= last) {
          continue;
        }
        any = true;
        std::uint64_t const row = target.module_row + (first - target.tensor_row);
        bool const copy = std::any_of(parts.begin(), parts.end(), [&](ModulePart const& part) {
          return part.row < row + (last - first) && row < part.row + part.rows;
        });
        if (copy) {  // of one module in every block
          continue;
        }
        std::uint64_t const start = piece.module_row + (first - piece.tensor_row);
        auto mine = module_rows(module, start, last - first);
        if (!mine) {
          refuse(module, "rows " + std::to_string(start) + " to " +
                             std::to_string(start + (last - first)) + " of its form are none");
        }
        mine->path = name(module);
        parts.push_back({std::move(*mine), row, last - first});
      }
    }
    if (any) {
      parts_[to] = std::move(parts);
    }
    return any;
  }

  AdapterModule joined(AdapterPlace const& place, std::vector<ModulePart> parts) const {
    std::uint64_t rows = 0;
    for (AdapterPiece const& piece : place.pieces) {
      rows = std::max(rows, piece.module_row + piece.rows);
    }
    std::sort(parts.begin(), parts.end(),
              [](ModulePart const& a, ModulePart const& b) { return a.row < b.row; });
    AdapterModule out = parts.front().module;
    if (parts.size() > 1 || parts.front().rows != rows) {
      ModuleJoiner joiner(std::move(parts), rows, adapter_.path);
      auto whole = joiner.join();
      if (!whole) {
        refuse_adapter("names-differ", adapter_.path, "module " + in_quotes(out.path),
                       "it is a part of " + in_quotes(place.path) + ", and " + joiner.why(),
                       "parts that can be joined without loss",
                       "fuse the adapter and extract it from the result");
      }
      out = std::move(*whole);
    }
    out.part.clear();
    out.path = place.path;
    return out;
  }

  AdapterFile const& adapter_;
  AdapterNames const& names_;
  NameStyle style_;
  std::map<std::size_t, std::vector<ModulePart>> parts_;  ///< by place
};

}  // namespace detail

/// The adapter with the modules that the names of a style have, where those are other parts of the
/// base's weights: one of query, key and value together becomes three, three become one, one of an
/// embedder becomes its copies. No number is changed, but that joined LoRAs of several scales have
/// theirs in the factors. Only of a DiT; others come back as they are, as does an adapter of which
/// no module is affected. Otherwise its dialect is dashi_adapter.
///
/// FormatError (65) for parts that are none without loss: Kronecker products of which no factor is
/// cut by rows or in common, DoRA over columns, trained biases of a third.
inline AdapterFile recut_adapter(AdapterFile const& adapter, AdapterNames const& names,
                                 NameStyle style) {
  Dialect const base = names.base().dialect;
  if (base != Dialect::dit_original && base != Dialect::dit_diffusers) {
    return adapter;
  }
  return detail::AdapterRecutter(adapter, names, style).recut();
}

}  // namespace dashi::io

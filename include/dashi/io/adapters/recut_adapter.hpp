// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_names.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/join_modules.hpp>
#include <dashi/io/adapters/module_rows.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>
#include <dashi/io/adapters/same_module.hpp>
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
    if (!cuts_any()) {
      return adapter_;
    }
    expect_complete(find_targets(adapter_, names_), adapter_, names_.base());
    AdapterFile out = adapter_;
    out.modules.clear();
    for (AdapterModule const& module : adapter_.modules) {
      take(module, out.modules);
    }
    for (auto& [place, parts] : parts_) {
      out.modules.push_back(joined(names_.places()[place], parts));
    }
    std::sort(out.modules.begin(), out.modules.end(),
              [](AdapterModule const& a, AdapterModule const& b) { return a.path < b.path; });
    out.dialect = Dialect::dashi_adapter;
    out.config.clear();
    return out;
  }

private:
  bool cuts_any() const {
    return std::any_of(
        adapter_.modules.begin(), adapter_.modules.end(), [&](AdapterModule const& module) {
          auto const found = names_.find(adapter_.dialect, module);
          return found.size() == 1 && names_.places()[found.front()].style != style_ &&
                 names_.in_style(names_.places()[found.front()], style_) == nullptr;
        });
  }

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

  /// A module that has a name in the style stays what it is.
  void take(AdapterModule const& module, std::vector<AdapterModule>& kept) {
    auto const found = names_.find(adapter_.dialect, module);
    DASHI_EXPECTS(found.size() == 1, "an adapter whose modules have a place");
    AdapterPlace const& place = names_.places()[found.front()];
    AdapterPlace const* const named =
        place.style == style_ ? &place : names_.in_style(place, style_);
    bool cut = false;
    for (std::size_t i = 0; named == nullptr && i < names_.places().size(); ++i) {
      cut = (names_.places()[i].style == style_ && add(module, place, i)) || cut;
    }
    if (!cut) {
      kept.push_back(module);
      kept.back().part.clear();
      kept.back().path = named == nullptr ? place.path : named->path;
    }
  }

  static std::uint64_t rows_of(AdapterPlace const& place) {
    std::uint64_t rows = 0;
    for (AdapterPiece const& piece : place.pieces) {
      rows = std::max(rows, piece.module_row + piece.rows);
    }
    return rows;
  }

  /// Notes what the module does to rows of another place; false when that is nothing.
  bool add(AdapterModule const& module, AdapterPlace const& from, std::size_t to) {
    bool any = false;
    auto const& pieces = names_.places()[to].pieces;
    for (std::size_t p = 0; p < pieces.size(); ++p) {
      AdapterPiece const& target = pieces[p];
      for (AdapterPiece const& piece : from.pieces) {
        std::uint64_t const first = std::max(piece.tensor_row, target.tensor_row);
        std::uint64_t const last =
            std::min(piece.tensor_row + piece.rows, target.tensor_row + target.rows);
        if (piece.weight != target.weight || first >= last) {
          continue;
        }
        any = true;
        std::uint64_t const start = piece.module_row + (first - piece.tensor_row);
        auto mine = module_rows(module, start, last - first, rows_of(from));
        if (!mine) {
          refuse(module, "rows " + std::to_string(start) + " to " +
                             std::to_string(start + (last - first)) + " of its form are none");
        }
        mine->path = name(module);
        parts_[to].push_back(
            {{std::move(*mine), target.module_row + (first - target.tensor_row), last - first}, p});
      }
    }
    return any;
  }

  struct PartOfPiece {
    ModulePart part;
    std::size_t piece;  ///< of the place
  };

  /// A place with copies of one weight (of an embedder in every block) has a module that all of
  /// them have.
  std::vector<ModulePart> without_copies(AdapterPlace const& place,
                                         std::vector<PartOfPiece> const& parts) const {
    std::vector<ModulePart> out;
    for (PartOfPiece const& mine : parts) {
      auto const same_rows = [&](ModulePart const& other) {
        return other.row < mine.part.row + mine.part.rows && mine.part.row < other.row + other.rows;
      };
      auto const first = std::find_if(out.begin(), out.end(), same_rows);
      if (first == out.end()) {
        out.push_back(mine.part);
      } else if (!same_module(first->module, mine.part.module)) {
        refuse_part(place, mine.part.module.path,
                    "is not equal to " + in_quotes(first->module.path) + ", another copy of it");
      }
    }
    for (std::size_t p = 0; p < place.pieces.size(); ++p) {
      bool const copied = std::any_of(out.begin(), out.end(), [&](ModulePart const& part) {
        return part.row < place.pieces[p].module_row + place.pieces[p].rows &&
               place.pieces[p].module_row < part.row + part.rows;
      });
      bool const there = std::any_of(parts.begin(), parts.end(),
                                     [&](PartOfPiece const& mine) { return mine.piece == p; });
      if (copied && !there) {
        refuse_part(place, parts.front().part.module.path,
                    "is there without that of " +
                        in_quotes(names_.base().tensors[place.pieces[p].weight].name) +
                        ", another copy of it");
      }
    }
    return out;
  }

  [[noreturn]] void refuse_part(AdapterPlace const& place, std::string const& module,
                                std::string const& why) const {
    refuse_adapter("names-differ", adapter_.path, "module " + in_quotes(module),
                   "it is a part of " + in_quotes(place.path) + " and " + why,
                   "parts that can be joined without loss",
                   "fuse the adapter and extract it from the result");
  }

  AdapterModule joined(AdapterPlace const& place, std::vector<PartOfPiece> const& found) const {
    std::uint64_t const rows = rows_of(place);
    std::vector<ModulePart> parts = without_copies(place, found);
    std::sort(parts.begin(), parts.end(),
              [](ModulePart const& a, ModulePart const& b) { return a.row < b.row; });
    AdapterModule out = parts.front().module;
    if (parts.size() > 1 || parts.front().rows != rows) {
      ModuleJoiner joiner(std::move(parts), rows, adapter_.path);
      auto whole = joiner.join();
      if (!whole) {
        refuse_part(place, out.path, joiner.why());
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
  std::map<std::size_t, std::vector<PartOfPiece>> parts_{};  ///< by place
};

}  // namespace detail

/// The adapter with the modules that the names of a style have, where those are other parts of the
/// base's weights: one of query, key and value together becomes three, three become one, one of an
/// embedder becomes its copies. No number is changed, but that joined LoRAs of several scales have
/// theirs in the factors. Only of a DiT; others come back as they are, as does an adapter of which
/// no module is affected. Otherwise its dialect is dashi_adapter.
///
/// FormatError (65) for parts that are none without loss: Kronecker products of which no factor is
/// cut by rows or in common, DoRA over columns, trained biases of a third, copies that differ; and
/// for what resolve_adapter() refuses, where something is cut.
inline AdapterFile recut_adapter(AdapterFile const& adapter, AdapterNames const& names,
                                 NameStyle style) {
  Dialect const base = names.base().dialect;
  if (base != Dialect::dit_original && base != Dialect::dit_diffusers) {
    return adapter;
  }
  return detail::AdapterRecutter(adapter, names, style).recut();
}

}  // namespace dashi::io

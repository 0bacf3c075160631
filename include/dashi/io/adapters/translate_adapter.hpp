// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_names.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/recut_adapter.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

/// The style that users of a dialect know this base in; stored where that is its own.
inline NameStyle style_of_names(AdapterNames const& names, Dialect to) {
  Dialect const base = names.base().dialect;
  NameStyle const own =
      base == Dialect::ldm_checkpoint || base == Dialect::dit_original    ? NameStyle::original
      : base == Dialect::unet_diffusers || base == Dialect::dit_diffusers ? NameStyle::diffusers
                                                                          : NameStyle::stored;
  auto const wanted = [&] {
    switch (to) {
      case Dialect::comfyui: return NameStyle::original;
      case Dialect::diffusers_lora:
      case Dialect::diffusers_lora_old:
      case Dialect::ibm_krona: return NameStyle::diffusers;
      case Dialect::kohya:
      case Dialect::lycoris: {
        bool const sdxl =
            std::any_of(names.places().begin(), names.places().end(), [](AdapterPlace const& p) {
              return p.path == "label_emb.0.0" || p.path == "add_embedding.linear_1";
            });
        return sdxl ? NameStyle::original : NameStyle::diffusers;
      }
      default: return NameStyle::stored;
    }
  }();
  return own == NameStyle::stored || wanted == own ? NameStyle::stored : wanted;
}

/// Gives the modules of an adapter the parts and paths of another dialect.
class AdapterTranslator {
public:
  AdapterTranslator(AdapterFile const& adapter, Dialect to, AdapterNames const* names)
      : adapter_(adapter), to_(to), names_(names) {}

  AdapterFile translate() {
    AdapterFile out = adapter_;
    if (adapter_.dialect == to_) {
      return out;
    }
    out.dialect = to_;
    out.config.clear();
    expect_one_part();
    for (AdapterModule& module : out.modules) {
      std::string const path = new_path(module);
      module.part = new_part(adapter_part(module.part), path);
      module.path = to_ == Dialect::cloneofsimo ? module.part + ":" + path : path;
    }
    return out;
  }

private:
  std::string name(AdapterModule const& module) const {
    return adapter_module_name(adapter_.dialect, module);
  }

  [[noreturn]] void fail(char const* code, std::string place, std::string found,
                         std::string expected, std::string advice) const {
    refuse_adapter(code, adapter_.path, std::move(place), std::move(found), std::move(expected),
                   std::move(advice));
  }

  /// PEFT and LyCORIS' wrapper keep one model.
  void expect_one_part() const {
    if (to_ != Dialect::peft && to_ != Dialect::lycoris) {
      return;
    }
    std::set<std::string> parts;
    for (AdapterModule const& module : adapter_.modules) {
      parts.insert(module.part);
    }
    if (parts.size() > 1) {
      fail("several-models", {},
           "modules of several models: " + listing({parts.begin(), parts.end()}),
           "those of one, as '" + std::string(io::name(to_)) + "' holds",
           "--ignore REGEX leaves the others out");
    }
  }

  std::string new_path(AdapterModule const& module) const {
    bool const from_dots =
        !is_flattened(adapter_.dialect) && adapter_.dialect != Dialect::cloneofsimo;
    if (is_flattened(adapter_.dialect) && is_flattened(to_)) {
      return module.path;
    }
    if (names_ != nullptr) {
      return path_in_base(module);
    }
    if (!from_dots || to_ == Dialect::cloneofsimo) {
      throw UsageError({.code = "names-need-base",
                        .file = adapter_.path.string(),
                        .place = "module " + in_quotes(name(module)),
                        .found = from_dots
                                     ? "names with dots cannot become indices alone"
                                     : "the names of '" + std::string(io::name(adapter_.dialect)) +
                                           "' do not tell where modules are",
                        .expected = "the base",
                        .advice = "give it with --base"});
    }
    return is_flattened(to_) ? flattened(module.path) : module.path;
  }

  std::string path_in_base(AdapterModule const& module) const {
    auto const found = names_->find(adapter_.dialect, module);
    if (found.size() != 1) {
      fail(found.empty() ? "no-place" : "ambiguous-place", "module " + in_quotes(name(module)),
           found.empty() ? "it has no place in the base" : "it has several places in the base",
           "one place in " + names_->base().file, "give the base that the adapter was made for");
    }
    AdapterPlace const& place = names_->places()[found.front()];
    if (to_ == Dialect::cloneofsimo) {
      return cloneofsimo_number(module, place);
    }
    AdapterPlace const* const named = place_in_style(place);
    if (named == nullptr) {
      fail("names-differ", "module " + in_quotes(name(module)),
           "it is one module in its own names and another number of modules in those of '" +
               std::string(io::name(to_)) + "'",
           "a module that both have", "fuse the adapter and extract it from the result");
    }
    return is_flattened(to_) ? flattened(named->path) : named->path;
  }

  AdapterPlace const* place_in_style(AdapterPlace const& place) const {
    NameStyle const wanted = style_of_names(*names_, to_);
    bool const text = place.part != AdapterPart::denoiser && place.part != AdapterPart::whole;
    if (place.style == wanted || text) {  // text encoders have one name in use
      return &place;
    }
    return names_->in_style(place, wanted);
  }

  std::string cloneofsimo_number(AdapterModule const& module, AdapterPlace const& place) const {
    AdapterPart const part = adapter_part(module.part);
    auto const& order = names_->cloneofsimo_places(
        part == AdapterPart::whole || part == AdapterPart::denoiser ? AdapterPart::denoiser : part);
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (names_->places()[order[i]].pieces == place.pieces) {
        return std::to_string(i);
      }
    }
    fail("names-differ", "module " + in_quotes(name(module)),
         "cloneofsimo's files count attention and the gated layer of ff alone",
         "one of those modules", "--ignore REGEX leaves it out");
  }

  static bool is_unet_path(std::string_view path) {
    for (std::string_view const start : {"down_blocks", "up_blocks", "mid_block", "input_blocks",
                                         "output_blocks", "middle_block", "conv_in", "conv_out"}) {
      if (path.starts_with(start)) {
        return true;
      }
    }
    return false;
  }

  std::string new_part(AdapterPart part, std::string const& path) const {
    std::string const encoders[] = {"text_encoder", "text_encoder_2", "text_encoder_3"};
    bool const text = part >= AdapterPart::text_encoder;
    std::size_t const which =
        text ? static_cast<std::size_t>(part) - static_cast<std::size_t>(AdapterPart::text_encoder)
             : 0;
    switch (to_) {
      case Dialect::peft: return "base_model.model";
      case Dialect::lycoris: return "lycoris";
      case Dialect::kohya:
        return !text                  ? "lora_unet"
               : has_second_encoder() ? "lora_te" + std::to_string(which + 1)
                                      : "lora_te";
      case Dialect::comfyui: {
        std::string const clips[] = {"text_encoders.clip_l.transformer",
                                     "text_encoders.clip_g.transformer",
                                     "text_encoders.t5xxl.transformer"};
        return text ? clips[which] : "diffusion_model";
      }
      case Dialect::cloneofsimo: return text ? "text_encoder" : "unet";
      case Dialect::dashi_adapter: return text ? encoders[which] : "";
      default: return text ? encoders[which] : is_unet_path(path) ? "unet" : "transformer";
    }
  }
  bool has_second_encoder() const {
    return std::any_of(
        adapter_.modules.begin(), adapter_.modules.end(), [](AdapterModule const& m) {
          return adapter_part(m.part) > AdapterPart::text_encoder || m.part == "lora_te1";
        });
  }

  AdapterFile const& adapter_;
  Dialect to_;
  AdapterNames const* names_;
};

}  // namespace detail

/// The same adapter under the names of another dialect; tensors and scales stay, but for what
/// recut_adapter() cuts and joins. Flattened names and indices become others only by the names of
/// the base. UsageError when those are needed and not given; FormatError (65) for a module without
/// a place, for one that the other names split and that cannot be, and for several models where the
/// dialect holds one.
inline AdapterFile translate_adapter(AdapterFile const& adapter, Dialect to,
                                     AdapterNames const* names = nullptr) {
  if (names == nullptr) {
    return detail::AdapterTranslator(adapter, to, nullptr).translate();
  }
  AdapterFile const recut = recut_adapter(adapter, *names, detail::style_of_names(*names, to));
  return detail::AdapterTranslator(recut, to, names).translate();
}

}  // namespace dashi::io

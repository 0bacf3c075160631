// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/merging/alpha_scalar.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/key_map.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace dashi::merging {

/// How a soup remembers its members.
enum class LedgerMode {
  recompute,   ///< by name and digest; publishing reads them again, in canonical order
  accumulate,  ///< by exact sums; publishing reads the ledger alone
};

constexpr std::string_view name(LedgerMode mode) noexcept {
  return mode == LedgerMode::recompute ? "recompute" : "accumulate";
}

/// How the sum of one tensor is held; a function of the manifest alone (word_kind()).
enum class WordKind {
  int64,   ///< units of 2^-24, one word: F16 members and small weights
  window,  ///< units of 2^-79, 128 bits, and a sparse list of what does not fit
  copied,  ///< not averaged: the bytes, equal in all members
};

constexpr std::string_view name(WordKind kind) noexcept {
  return kind == WordKind::int64 ? "int64" : kind == WordKind::window ? "window" : "copied";
}

/// Largest Σ|w|·10^places for which int64 sums of any F16 values cannot overflow:
/// 65504·2^24·8 392 706 < 2^63.
inline constexpr std::uint64_t most_int64_weight = 8'392'706;

/// Σ|w|·10^places must stay below this in accumulate mode.
inline constexpr std::uint64_t window_weight_limit = std::uint64_t{1} << 40;

/// One member of a soup.
struct LedgerMember {
  std::string digest;  ///< io::member_digest of the content under the member's own tensor names
  DecimalWeight weight{};
  std::string name;  ///< path relative to the ledger's folder, '/' between its parts
  KeyMap keys{};     ///< their tensor names to ours; no entry for a name that stays
  std::map<std::string, std::string> metadata{};  ///< accumulate mode: the member's own
  std::vector<io::Dtype> dtypes{};                ///< accumulate mode: one for each tensor
  /// Accumulate mode: which alpha scalars, by index in order, it stores with shape [1] and not [].
  std::vector<std::size_t> vector_alphas{};

  bool has_vector_alpha(std::size_t tensor) const {
    return std::binary_search(vector_alphas.begin(), vector_alphas.end(), tensor);
  }
};

/// A tensor of a soup under our name; in accumulate mode only.
struct LedgerTensor {
  std::string name;
  std::vector<std::uint64_t> shape;

  std::uint64_t elements() const noexcept {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : shape) {
      count *= extent;
    }
    return count;
  }
  friend bool operator==(LedgerTensor const&, LedgerTensor const&) = default;
};

/// What a soup is made of: a function of the set of its members alone, without dates or history.
///
/// Canonical form: members ordered by digest, then weight, name and keys; tensors by name.
struct Manifest {
  LedgerMode mode = LedgerMode::recompute;
  std::vector<LedgerMember> members{};
  std::vector<LedgerTensor> tensors{};

  void sort() {
    auto const key = [](LedgerMember const& m) {
      return std::tie(m.digest, m.weight.digits, m.weight.places, m.name, m.keys.entries());
    };
    std::sort(members.begin(), members.end(),
              [&](LedgerMember const& a, LedgerMember const& b) { return key(a) < key(b); });
  }

  std::size_t vector_alphas(std::size_t tensor) const {  ///< members that store it so
    return static_cast<std::size_t>(
        std::count_if(members.begin(), members.end(),
                      [&](LedgerMember const& m) { return m.has_vector_alpha(tensor); }));
  }

  /// Alpha scalars have the shape [1] when all members have it, else [].
  void settle_alpha_shapes() {
    for (std::size_t t = 0; t < tensors.size() && !members.empty(); ++t) {
      if (is_alpha_scalar(tensors[t].name, tensors[t].shape)) {
        tensors[t].shape.assign(vector_alphas(t) == members.size() ? 1 : 0, 1);
      }
    }
  }
};

/// Members times tensors that an accumulating ledger may have: each pair keeps its dtype in memory.
inline constexpr std::uint64_t most_ledger_pairs = std::uint64_t{1} << 25;

/// The weights of a soup as integers in units of 10^-places.
struct LedgerScale {
  std::vector<std::int64_t> weights;  ///< one for each member, in the manifest's order
  int places = 0;                     ///< the most decimal places among the members
  std::int64_t total = 0;
  std::uint64_t absolute = 0;  ///< Σ|w|
  std::uint64_t active = 0;    ///< members whose weight is not zero
};

/// Accumulate mode: the scale of the manifest's members. UsageError (2) when Σ|w|·10^places is not
/// below 2^40.
inline LedgerScale ledger_scale(Manifest const& manifest) {
  std::vector<DecimalWeight> weights;
  for (LedgerMember const& member : manifest.members) {
    weights.push_back(member.weight);
  }
  IntegerWeights integers = to_integers(weights);
  LedgerScale scale{.weights = std::move(integers.values), .places = integers.places};
  for (std::int64_t const w : scale.weights) {
    std::uint64_t const magnitude =
        w < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(w) : static_cast<std::uint64_t>(w);
    if (magnitude >= window_weight_limit - scale.absolute) {
      throw UsageError({.code = "weights-too-large",
                        .file = {},
                        .place = "weights",
                        .found = "a sum of absolute weights of 2^40 or more in units of 10^-" +
                                 std::to_string(scale.places),
                        .expected = "less, which is what the accumulators hold",
                        .advice = "use --mode recompute, or weights with fewer decimal places"});
    }
    scale.absolute += magnitude;
    scale.total += w;
    scale.active += w != 0 ? 1 : 0;
  }
  return scale;
}

/// Accumulate mode: how tensor `at` is held.
inline WordKind word_kind(Manifest const& manifest, LedgerScale const& scale, std::size_t at) {
  bool all_f16 = true;
  for (LedgerMember const& member : manifest.members) {
    if (!io::is_averaged(member.dtypes[at])) {
      return WordKind::copied;
    }
    all_f16 = all_f16 && member.dtypes[at] == io::Dtype::f16;
  }
  return all_f16 && scale.absolute <= most_int64_weight ? WordKind::int64 : WordKind::window;
}

}  // namespace dashi::merging

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/change_shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::io {

/// PEFT's split of an extent in two: `factor` and the rest where it divides, else the divisor m <=
/// sqrt(n) and <= factor that comes last while m + n / m does not grow; -1: no limit. Not sorted.
inline std::pair<std::uint64_t, std::uint64_t> peft_factorization(std::uint64_t n,
                                                                  std::int64_t factor) {
  if (factor > 0 && n % static_cast<std::uint64_t>(factor) == 0) {
    return {static_cast<std::uint64_t>(factor), n / static_cast<std::uint64_t>(factor)};
  }
  std::uint64_t const limit = factor == -1 ? n : static_cast<std::uint64_t>(factor);
  std::uint64_t best = 1;
  for (std::uint64_t m = 1; m <= limit && m <= n / m; ++m) {
    if (n % m == 0) {
      best = m;
    }
  }
  return {best, n / best};
}

namespace detail {

/// The settings from which PEFT builds LoKr factors of given shapes.
struct PeftFactors {
  std::int64_t factor = -1;
  bool both = false;                                ///< decompose_both
  bool tucker = false;                              ///< use_effective_conv2d
  std::map<std::string, std::uint64_t> least_rank;  ///< by path
};

/// Extents of one module's factors.
struct LokrExtents {
  std::uint64_t p1 = 0, q1 = 0, p2 = 0;
  std::vector<std::uint64_t> q2;  ///< what it may be: the width of a kernel is not told
  bool first_low = false, second_low = false, tucker = false;
  std::uint64_t rank = 0;
};

inline LokrExtents lokr_extents(AdapterModule const& module) {
  auto const& form = std::get<KroneckerForm>(module.form);
  auto const& f = form.first;
  auto const& s = form.second;
  LokrExtents out;
  out.first_low = f.low_rank();
  out.second_low = s.low_rank();
  out.rank = module.rank;
  out.p1 = f.low_rank() ? f.a.shape()[0] : f.full.shape()[0];
  out.q1 = f.low_rank() ? f.b.shape()[1] : f.full.shape()[1];
  out.tucker = !s.t2.empty();
  if (!s.low_rank()) {
    out.p2 = s.full.shape()[0];
    out.q2 = {s.full.shape()[1]};
  } else if (out.tucker) {
    out.p2 = s.a.shape()[1];
    out.q2 = {s.b.shape()[1]};
  } else {
    out.p2 = s.a.shape()[0];
    for (std::uint64_t const kernel : {1U, 3U, 5U, 7U, 9U, 25U, 27U, 49U}) {
      if (s.b.shape()[1] % kernel == 0) {
        out.q2.push_back(s.b.shape()[1] / kernel);
      }
    }
  }
  return out;
}

/// Least rank under which PEFT builds these factors with that setting; nothing when it never does.
inline std::optional<std::uint64_t> peft_rank(LokrExtents const& e, std::int64_t factor,
                                              bool both) {
  for (std::uint64_t const q2 : e.q2) {
    if (peft_factorization(saturating_product(e.p1, e.p2), factor) != std::pair(e.p1, e.p2) ||
        peft_factorization(saturating_product(e.q1, q2), factor) != std::pair(e.q1, q2)) {
      continue;
    }
    // A factor is kept whole when the rank is at least half its longer side.
    std::uint64_t const first = std::max(e.p1, e.q1);
    std::uint64_t const second = std::max(e.p2, q2);
    std::uint64_t rank = e.rank;
    if (rank == 0) {
      rank = std::max((second + 1) / 2, both ? (first + 1) / 2 : 1);
    }
    bool const first_whole = !both || 2 * rank >= first;
    bool const second_whole = 2 * rank >= second;
    if (first_whole != e.first_low && second_whole != e.second_low) {
      return rank;
    }
  }
  return std::nullopt;
}

/// FormatError when no one setting gives the shapes of all modules.
inline PeftFactors find_peft_factors(std::filesystem::path const& file,
                                     std::vector<AdapterModule> const& modules) {
  std::vector<std::pair<std::string, LokrExtents>> all;
  PeftFactors out;
  std::uint64_t largest = 1;
  for (AdapterModule const& module : modules) {
    if (std::holds_alternative<KroneckerForm>(module.form)) {
      LokrExtents const e = lokr_extents(module);
      out.both = out.both || e.first_low;
      out.tucker = out.tucker || e.tucker;
      largest = std::max({largest, e.p1, e.q1});
      all.emplace_back(module.path, e);
    }
  }
  constexpr std::uint64_t most = 4096;
  std::vector<std::int64_t> candidates{-1};
  for (std::uint64_t i = 1; i <= std::min(most, 2 * largest); ++i) {
    candidates.push_back(static_cast<std::int64_t>(i));
  }
  for (std::int64_t const factor : candidates) {
    out.factor = factor;
    out.least_rank.clear();
    for (auto const& [path, extents] : all) {
      auto const rank = peft_rank(extents, factor, out.both);
      if (!rank) {
        break;
      }
      out.least_rank[path] = *rank;
    }
    if (out.least_rank.size() == all.size()) {
      return out;
    }
  }
  refuse_adapter("cannot-hold-form", file, {},
                 "factors of shapes that PEFT builds with no decompose_factor",
                 "shapes of one decompose_factor for all modules",
                 "write --to lycoris, whose readers take shapes from the tensors");
}

}  // namespace detail

}  // namespace dashi::io

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::diffusion {

/// Factor of a sample's mean squared error by the signal-to-noise ratio of its step; the
/// variational term keeps its own. Baselines of Diff-Tuning (arXiv 2406.00773).
struct Weighting {
  enum class Kind : std::int32_t {
    plain,        ///< 1
    min_snr,      ///< min(SNR, gamma) / SNR: Hang et al., arXiv 2303.09556, for predicted noise
    clipped_snr,  ///< min(SNR, gamma), not divided, as in the code of Diff-Tuning
    p2,           ///< 1 / (k + SNR)^gamma: Choi et al., arXiv 2204.00227
  };
  Kind kind = Kind::plain;
  double gamma = 0;
  double k = 0;

  static Weighting plain() { return {}; }
  static Weighting min_snr(double gamma = 5) { return checked({Kind::min_snr, gamma, 0}); }
  static Weighting clipped_snr(double gamma = 5) { return checked({Kind::clipped_snr, gamma, 0}); }
  static Weighting p2(double k = 1, double gamma = 0.5) { return checked({Kind::p2, gamma, k}); }

  KOKKOS_INLINE_FUNCTION double at(double snr) const {
    switch (kind) {
      case Kind::min_snr: return snr < gamma ? 1.0 : gamma / snr;
      case Kind::clipped_snr: return snr < gamma ? snr : gamma;
      case Kind::p2: return Kokkos::pow(k + snr, -gamma);
      case Kind::plain: break;
    }
    return 1.0;
  }

private:
  static Weighting checked(Weighting weighting) {
    DASHI_EXPECTS(weighting.gamma > 0 && weighting.k >= 0,
                  "a weighting needs gamma > 0 and k >= 0");
    return weighting;
  }
};

}  // namespace dashi::diffusion

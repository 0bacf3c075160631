// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <string_view>

namespace cli {

struct VerbSummary {
  char const* name;
  char const* summary;
};

/// Verbs that compute with models. They are the program dashi-models (model_launch.cpp).
inline constexpr std::array model_verbs{
    VerbSummary{"train",
                "train or fine-tune a DiT as a configuration says; stops and resumes exactly"},
    VerbSummary{"sample", "draw images from a DiT"},
    VerbSummary{"probe", "measure a DiT's loss by timestep on images, with fixed noise"},
    VerbSummary{"score",
                "compare samples of a DiT with images: Frechet distance, precision, recall"},
    VerbSummary{"factorise", "write the weights of a DiT as singular vectors: KIND or FINE"},
    VerbSummary{"recombine", "take the model of some classes out of a factorised DiT"},
    VerbSummary{"transfer", "prepare a factorised DiT for new classes or another depth"},
    VerbSummary{"extract", "write what a tuned checkpoint adds to its base as an adapter"},
    VerbSummary{"combine", "write one adapter that changes weights by the weighted sum of several"},
};

/// Empty for another verb.
constexpr char const* model_verb_summary(std::string_view name) {
  for (VerbSummary const& verb : model_verbs) {
    if (verb.name == name) {
      return verb.summary;
    }
  }
  return "";
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"

#include "failure.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <utility>

namespace cli {

CLI::App* add_verb(CLI::App& app, std::string const& name, std::string const& summary,
                   std::string const& examples) {
  CLI::App* const verb = app.add_subcommand(name, summary);
  verb->fallthrough();
  verb->footer(
      "Example:\n" + examples +
      "\n\nThe options of every verb (--dry-run, --json, --threads, --mem, ...) are listed by "
      "'dashi --help'.");
  return verb;
}

void add_read_options(CLI::App& verb, dashi::io::ReadOptions& options) {
  verb.add_flag(
      "--lenient", options.lenient,
      "read, with a warning, white space before a header, unknown fields, a wrong total size");
  verb.add_flag(
      "--allow-links", options.allow_links,
      "follow links of shards that leave the directory, as the Hugging Face cache has them");
}

void add_force(CLI::App& verb, bool& force) {
  verb.add_flag("--force", force, "replace an existing output");
}

void add_number_options(CLI::App& verb, NumberArguments& arguments) {
  verb.add_option("--nonfinite", arguments.nonfinite,
                  "NaN and infinity: error (default), or propagate")
      ->check(CLI::IsMember({"error", "propagate"}));
  verb.add_flag("--saturate", arguments.saturate,
                "results too large for the dtype become its largest number; default: refuse them");
}

dashi::merging::OverflowPolicy overflow_policy(NumberArguments const& arguments) {
  using dashi::merging::OverflowPolicy;
  return arguments.saturate      ? OverflowPolicy::saturate
         : arguments.propagate() ? OverflowPolicy::propagate
                                 : OverflowPolicy::error;
}

WeightedPath split_weight(std::string const& text) {
  std::size_t const at = text.rfind('=');
  if (at == std::string::npos) {
    expect_path("a checkpoint", text);
    return {text, {}};
  }
  WeightedPath out{text.substr(0, at), {}};
  expect_path("a checkpoint", out.path);
  try {
    out.weight = dashi::merging::parse_weight(std::string_view(text).substr(at + 1));
  } catch (dashi::UsageError const& error) {
    dashi::Diagnosis d = error.diagnosis();
    d.place = "command line: " + dashi::io::in_quotes(text) + ": " + d.place;
    d.advice = "write FILE=WEIGHT; it is split at the last '='";
    throw dashi::UsageError(d);
  }
  return out;
}

dashi::io::Dtype dtype_argument(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> others{
      {{"FP16", "F16"},
       {"FLOAT16", "F16"},
       {"HALF", "F16"},
       {"BFLOAT16", "BF16"},
       {"FP32", "F32"},
       {"FLOAT32", "F32"},
       {"FP64", "F64"},
       {"FLOAT64", "F64"},
       {"FLOAT8_E4M3FN", "F8_E4M3"},
       {"FLOAT8_E5M2", "F8_E5M2"},
       {"FLOAT8_E4M3FNUZ", "F8_E4M3FNUZ"},
       {"FLOAT8_E5M2FNUZ", "F8_E5M2FNUZ"}}};
  for (auto const& [other, ours] : others) {
    if (upper == other) {
      upper = ours;
    }
  }
  if (auto const dtype = dashi::io::parse_dtype(upper)) {
    return *dtype;
  }
  usage_error("bad-dtype", "the dtype " + dashi::io::in_quotes(text),
              "f32, bf16, f16, f64, f8_e4m3, ...");
}

std::optional<dashi::io::Dtype> mean_dtype_argument(std::string_view text) {
  if (text == "same") {
    return std::nullopt;
  }
  dashi::io::Dtype const dtype = dtype_argument(text);
  if (!dashi::io::is_averaged(dtype)) {
    usage_error("bad-dtype", "the dtype " + dashi::io::in_quotes(text) + " for a mean",
                "same, f32, bf16, f16 or f64");
  }
  return dtype;
}

std::string lower_name(dashi::io::Dtype dtype) {
  std::string out(dashi::io::name(dtype));
  for (char& c : out) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

std::uint64_t size_argument(std::string const& option, std::string const& text) {
  auto const size = dashi::io::parse_byte_size(text);
  if (!size || *size == 0) {
    usage_error("bad-size", option + " " + dashi::io::in_quotes(text),
                "a size such as 512MB, 2GB or 1.5GiB");
  }
  return *size;
}

void expect_path(std::string const& what, std::string const& path) {
  if (path.empty()) {
    usage_error("empty-path", "an empty path for " + what, "the name of a file");
  }
}

std::string nearest(std::string const& word, std::vector<std::string> const& candidates) {
  std::string best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (std::string const& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);  // of the edit distance table
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size() && word.size() < 64; ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        std::size_t const change = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (word.size() < 64 && row.back() < least) {
      least = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_delta.hpp>
#include <dashi/checkpoints/adapter_values.hpp>
#include <dashi/checkpoints/combine_terms.hpp>
#include <dashi/checkpoints/extract_low_rank.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/listing.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

struct CombineOptions {
  /// Of the result; 0: exact, by concatenation.
  std::size_t rank = 0;
  io::Dtype dtype = io::Dtype::f32;
  std::uint64_t seed = 1;
};

/// What became of a module.
struct CombinedModule {
  std::string module;
  std::string form;  ///< "rank 12", "Kronecker", "dense", "bias"
  std::size_t terms = 0;
  double norm = 0;   ///< of the sum of the changes
  double error = 0;  ///< of what the module makes of it, over that norm; rounding included
};

struct Combination {
  io::AdapterFile adapter;
  std::vector<CombinedModule> modules;
};

namespace detail {

template <class Exec, class Provider>
class Combiner {
public:
  Combiner(Context<Exec, Provider>& ctx, CombineOptions const& options)
      : ctx_(ctx), options_(options) {}

  Combination run(std::vector<CombineInput> const& inputs) {
    FloatingEnvironment const environment;
    std::map<std::pair<std::string, std::string>, std::vector<CombineTerm>> modules;
    for (CombineInput const& input : inputs) {
      expect_combinable(input, *inputs.front().file);
      for (io::AdapterModule const& module : input.file->modules) {
        expect_linear(*input.file, module);
        modules[{module.part, module.path}].push_back(
            {&module, input.weight * module.scale, input.weight});
      }
    }
    Combination out;
    out.adapter.dialect = inputs.front().file->dialect;
    for (auto const& [name, terms] : modules) {
      combine(out, name, terms, *inputs.front().file);
    }
    return out;
  }

private:
  void combine(Combination& out, std::pair<std::string, std::string> const& name,
               std::vector<CombineTerm> const& terms, io::AdapterFile const& file) {
    io::AdapterModule module;
    module.part = name.first;
    module.path = name.second;
    module.scale_reason = "combined";
    CombinedModule report;
    report.module = name.second;
    report.terms = terms.size();
    combine_biases(module, terms, file);
    auto const shapes = change_shape(terms, file);
    if (shapes.empty()) {
      report.form = "bias";
    } else {
      std::vector<double> sum(product_of_extents(shapes));
      for (CombineTerm const& term : terms) {
        AdapterDelta const delta(*term.module, term.weight);
        if (!delta.empty()) {
          delta.add(0, delta.rows(), sum);
        }
      }
      report.norm = norm_of(sum);
      make(module, terms, shapes, sum, report);
      std::vector<double> left(sum.size());
      AdapterDelta const made(module);
      made.add(0, made.rows(), left);
      for (std::size_t i = 0; i < left.size(); ++i) {
        left[i] -= sum[i];
      }
      report.error = report.norm == 0 ? 0 : norm_of(left) / report.norm;
    }
    out.adapter.modules.push_back(std::move(module));
    out.modules.push_back(std::move(report));
  }

  void make(io::AdapterModule& module, std::vector<CombineTerm> const& terms,
            std::vector<std::uint64_t> const& shape, std::vector<double>& sum,
            CombinedModule& report) {
    std::size_t const rows = static_cast<std::size_t>(shape.front());
    std::size_t const cols = sum.size() / rows;
    if (options_.rank > 0 && shape.size() >= 2 && options_.rank * (rows + cols) < sum.size()) {
      LowRankFactors const found =
          nearest_low_rank(ctx_, sum, rows, cols, options_.rank, options_.seed);
      module.form = low_rank_form(options_.dtype, shape, found);
      module.rank = found.rank;
      report.form = "rank " + std::to_string(found.rank);
      return;
    }
    if (auto const joined = concatenated(terms, options_.dtype)) {
      module.form = *joined;
      module.rank = static_cast<std::uint64_t>(joined->down.shape().front());
      report.form = "rank " + std::to_string(module.rank);
      return;
    }
    if (auto const one = with_common_factor(terms, options_.dtype)) {
      module.form = *one;
      report.form = "Kronecker";
      return;
    }
    module.form = io::DenseForm{tensor_of(options_.dtype, shape, sum)};
    report.form = "dense";
  }

  /// Weighted sums of differences; trained biases are no differences.
  void combine_biases(io::AdapterModule& module, std::vector<CombineTerm> const& terms,
                      io::AdapterFile const& file) const {
    std::vector<double> sum;
    std::vector<std::uint64_t> shape;
    for (CombineTerm const& term : terms) {
      if (term.module->bias.empty()) {
        continue;
      }
      std::vector<double> const bias = finite_values(term.module->bias);
      if (sum.empty()) {
        sum.resize(bias.size());
        shape = term.module->bias.shape();
      }
      if (bias.size() != sum.size()) {
        refuse_combination(file, *term.module, "biases of two lengths", "one length");
      }
      for (std::size_t i = 0; i < bias.size(); ++i) {
        sum[i] += term.weight * bias[i];
      }
    }
    if (!sum.empty()) {
      module.bias = tensor_of(options_.dtype, shape, sum);
      module.bias_is_difference = true;
    }
  }

  Context<Exec, Provider>& ctx_;
  CombineOptions const& options_;
};

}  // namespace detail

/// One adapter that changes every weight by the weighted sum of what the given ones do: sum of
/// w_i scale_i form_i. Never factors added to factors, which brings cross terms in.
///
/// Exact but for one rounding of each number: LoRA by concatenation, of rank r_1 + r_2 + ...; LoKr
/// with a factor in common by adding the other; everything else as a dense difference. With a rank:
/// the nearest product of it, and the error tells what is lost. Sums are in double, one module at a
/// time.
///
/// FormatError for DoRA, gammas, trained biases and replacements, which are no sums, for shapes and
/// dialects that disagree.
template <class Exec, class Provider>
Combination combine_adapters(Context<Exec, Provider>& ctx, std::vector<CombineInput> const& inputs,
                             CombineOptions const& options) {
  DASHI_EXPECTS(!inputs.empty(), "an adapter to combine");
  return detail::Combiner(ctx, options).run(inputs);
}

}  // namespace dashi::checkpoints

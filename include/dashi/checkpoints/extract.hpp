// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/adapter_values.hpp>
#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/extract_kronecker_search.hpp>
#include <dashi/checkpoints/extract_low_rank.hpp>
#include <dashi/checkpoints/extraction.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

[[noreturn]] inline void refuse_extraction(io::Checkpoint const& tuned, std::string const& tensor,
                                           std::string found, std::string expected) {
  throw FormatError({.code = "not-the-same-model",
                     .file = tuned.path().string(),
                     .place = "tensor " + io::in_quotes(tensor),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "give two checkpoints of one model"});
}

template <class Exec, class Provider>
class Extractor {
public:
  Extractor(Context<Exec, Provider>& ctx, io::Checkpoint const& base, io::Checkpoint const& tuned,
            ExtractOptions const& options, io::Progress& progress)
      : ctx_(ctx), base_(base), tuned_(tuned), options_(options), progress_(progress) {}

  Extraction run() {
    FloatingEnvironment const environment;
    if (base_.tensors().size() != tuned_.tensors().size()) {
      throw FormatError({.code = "not-the-same-model",
                         .file = tuned_.path().string(),
                         .place = {},
                         .found = std::to_string(tuned_.tensors().size()) + " tensors",
                         .expected = std::to_string(base_.tensors().size()) + ", as the base has",
                         .advice = "give two checkpoints of one model"});
    }
    progress_.start(base_.bytes() + tuned_.bytes());
    for (io::TensorRef const& ref : base_.tensors()) {
      io::TensorRef const* const other = tuned_.find(ref.info.name);
      if (other == nullptr || other->info.shape != ref.info.shape) {
        refuse_extraction(tuned_, ref.info.name,
                          other == nullptr ? "no such tensor" : io::shape_text(other->info.shape),
                          io::shape_text(ref.info.shape) + " as in the base");
      }
      left_ = ref.info.bytes() + other->info.bytes();
      extract(ref, *other);
      progress_.advance(left_);
    }
    base_.expect_unchanged();
    tuned_.expect_unchanged();
    for (auto& [path, module] : modules_) {
      out_.adapter.modules.push_back(std::move(module));
    }
    out_.adapter.dialect = io::Dialect::dashi_adapter;
    return std::move(out_);
  }

private:
  std::vector<double> values(io::Checkpoint const& from, io::TensorRef const& ref) const {
    std::vector<std::byte> raw(static_cast<std::size_t>(ref.info.bytes()));
    std::vector<double> out(static_cast<std::size_t>(ref.info.elements()));
    from.read(ref, 0, raw);
    widen_to_double(ref.info.dtype, raw.data(), out);
    return out;
  }

  bool same_bytes(io::TensorRef const& a, io::TensorRef const& b) const {
    std::vector<std::byte> one(static_cast<std::size_t>(a.info.bytes()));
    std::vector<std::byte> two(static_cast<std::size_t>(b.info.bytes()));
    base_.read(a, 0, one);
    tuned_.read(b, 0, two);
    return a.info.dtype == b.info.dtype && one == two;
  }

  void extract(io::TensorRef const& ref, io::TensorRef const& other) {
    std::string const& name = ref.info.name;
    bool const numbers = io::is_convertible(ref.info.dtype) && io::is_convertible(other.info.dtype);
    if (!numbers) {
      if (!same_bytes(ref, other)) {
        refuse_extraction(tuned_, name,
                          "other values of dtype " + std::string(io::name(other.info.dtype)),
                          "the base's, since adapters change floating numbers only");
      }
      ++out_.equal;
      return;
    }
    std::vector<double> change = values(tuned_, other);
    {
      std::vector<double> const before = values(base_, ref);
      for (std::size_t i = 0; i < change.size(); ++i) {
        change[i] -= before[i];
        if (!std::isfinite(change[i])) {
          throw FormatError(
              {.code = "nonfinite",
               .file = tuned_.path().string(),
               .place = "tensor " + io::in_quotes(name) + " element " + std::to_string(i),
               .found = "a difference that is not finite",
               .expected = "finite numbers in both checkpoints",
               .advice = {}});
        }
      }
    }
    double const norm = detail::norm_of(change);
    if (norm == 0) {
      ++out_.equal;
      return;
    }
    ExtractedTensor& report = out_.tensors.emplace_back();
    report.tensor = name;
    report.norm = norm;
    if (name.ends_with(".bias") && ref.info.shape.size() == 1) {
      io::AdapterModule& module = module_of(name.substr(0, name.size() - 5));
      module.bias = tensor_of(options_.dtype, ref.info.shape, change);
      module.bias_is_difference = true;
      finish(report, "dense", module.bias.values(), change);
      return;
    }
    io::AdapterModule& module =
        module_of(name.ends_with(".weight") ? name.substr(0, name.size() - 7) : name);
    shape(module, ref.info.shape, change, report);
  }

  io::AdapterModule& module_of(std::string const& path) {
    io::AdapterModule& module = modules_[path];
    module.path = path;
    module.scale_reason = "extracted";
    return module;
  }

  using Shape = std::vector<std::uint64_t>;

  void shape(io::AdapterModule& module, Shape const& shape, std::vector<double>& change,
             ExtractedTensor& report) {
    std::size_t const rows = shape.empty() ? 1 : static_cast<std::size_t>(shape.front());
    std::size_t const cols = change.size() / rows;
    if (shape.size() >= 2 && rows > 1 && cols > 1) {
      bool const product = options_.kind == ExtractKind::kronecker;
      if (product && kronecker(module, shape, change, report)) {
        return;
      }
      if ((!product || options_.least_energy > 0) && low_rank(module, shape, change, report)) {
        return;
      }
    }
    module.form = io::DenseForm{tensor_of(options_.dtype, shape, change)};
    module.rank = 0;
    (void)keep(module, "dense", change.size(), change, report);
  }

  /// Tells what the module makes of the change; whether that is enough.
  bool keep(io::AdapterModule const& module, std::string form, std::size_t parameters,
            std::vector<double> const& change, ExtractedTensor& report) {
    std::vector<double> made(change.size());
    AdapterDelta const delta(module);
    delta.add(0, delta.rows(), made);
    finish(report, std::move(form), made, change);
    report.parameters = parameters;
    return report.energy() >= options_.least_energy;
  }

  bool low_rank(io::AdapterModule& module, Shape const& shape, std::vector<double>& change,
                ExtractedTensor& report) {
    auto const rows = static_cast<std::size_t>(shape.front());
    std::size_t const cols = change.size() / rows;
    bool const limited = options_.kind == ExtractKind::low_rank && options_.rank > 0;
    std::size_t rank = limited ? options_.rank : rows;
    if (options_.least_energy > 0) {
      rank = std::min(rank, rank_that_keeps(ctx_, change, rows, cols, options_.least_energy));
    }
    if (rank * (rows + cols) >= change.size()) {
      return false;
    }
    LowRankFactors const found =
        nearest_low_rank(ctx_, change, rows, cols, rank, options_.seed, options_.least_energy > 0);
    module.form = low_rank_form(options_.dtype, shape, found);
    module.rank = found.rank;
    return keep(module, "rank " + std::to_string(found.rank), found.rank * (rows + cols), change,
                report);
  }

  std::optional<KroneckerSplit> split_of(Shape const& shape, std::vector<double> const& change) {
    auto const rows = static_cast<std::size_t>(shape[0]);
    auto const channels = static_cast<std::size_t>(shape[1]);
    if (options_.search) {
      return best_kronecker_split(change, rows, channels, options_.least_energy, options_.threads,
                                  progress_, std::exchange(left_, 0));
    }
    std::size_t const p1 = divisor_below(rows, options_.factor);
    std::size_t const q1 = divisor_below(channels, options_.factor);
    return KroneckerSplit{p1, q1, rows / p1, change.size() / (rows * q1)};
  }

  bool kronecker(io::AdapterModule& module, Shape const& shape, std::vector<double> const& change,
                 ExtractedTensor& report) {
    auto const chosen = split_of(shape, change);
    if (!chosen) {
      return false;
    }
    KroneckerSplit const& split = *chosen;
    KroneckerFactors found = nearest_kronecker(change, split);
    io::KroneckerForm form;
    form.first.full = tensor_of(options_.dtype, {split.p1, split.q1}, found.first);
    std::size_t parameters = split.p1 * split.q1;
    module.rank = 0;
    if (options_.rank > 0 && 2 * options_.rank < std::min(split.p2, split.q2)) {
      LowRankFactors const second =
          nearest_low_rank(ctx_, found.second, split.p2, split.q2, options_.rank, options_.seed);
      form.second.a = tensor_of(options_.dtype, {split.p2, second.rank}, second.up);
      form.second.b = tensor_of(options_.dtype, {second.rank, split.q2}, second.down);
      module.rank = second.rank;
      parameters += second.rank * (split.p2 + split.q2);
    } else {
      Shape extents(shape);
      extents[0] = split.p2;
      extents[1] = shape[1] / split.q1;
      form.second.full = tensor_of(options_.dtype, extents, found.second);
      parameters += split.p2 * split.q2;
    }
    if (parameters >= change.size()) {
      return false;
    }
    module.form = std::move(form);
    return keep(module,
                "[" + std::to_string(split.p1) + ", " + std::to_string(split.q1) + "] (x) [" +
                    std::to_string(split.p2) + ", " + std::to_string(split.q2) + "]" +
                    (module.rank > 0 ? " of rank " + std::to_string(module.rank) : ""),
                parameters, change, report);
  }

  static void finish(ExtractedTensor& report, std::string form, std::vector<double> const& made,
                     std::vector<double> const& change) {
    std::vector<double> left(change.size());
    for (std::size_t i = 0; i < change.size(); ++i) {
      left[i] = change[i] - made[i];
    }
    report.form = std::move(form);
    report.error = norm_of(left) / report.norm;
    report.parameters = change.size();
  }

  Context<Exec, Provider>& ctx_;
  io::Checkpoint const& base_;
  io::Checkpoint const& tuned_;
  ExtractOptions const& options_;
  io::Progress& progress_;
  std::uint64_t left_ = 0;  ///< bytes of a tensor that progress has not been told of
  std::map<std::string, io::AdapterModule> modules_;
  Extraction out_;
};

}  // namespace detail

/// The adapter that makes `tuned` of `base`, as well as its form can: changes of matrices and of
/// convolutions as low-rank or Kronecker products, or dense where that is no larger or the product
/// keeps too little; of biases,
/// norms and other vectors as dense differences. Errors are those of the rounded factors. One
/// tensor is in memory at a time, as double, with the work space of its decomposition.
///
/// FormatError for checkpoints whose names or shapes disagree, for integers that differ, NaN and
/// infinity.
template <class Exec, class Provider>
Extraction extract_adapter(Context<Exec, Provider>& ctx, io::Checkpoint const& base,
                           io::Checkpoint const& tuned, ExtractOptions const& options,
                           io::Progress& progress = io::no_progress()) {
  return detail::Extractor(ctx, base, tuned, options, progress).run();
}

}  // namespace dashi::checkpoints

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/adapter_values.hpp>
#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/extract_kronecker.hpp>
#include <dashi/checkpoints/extract_low_rank.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// The form that extracted changes of weights get.
enum class ExtractKind : unsigned char { low_rank, kronecker };

struct ExtractOptions {
  ExtractKind kind = ExtractKind::low_rank;
  /// Of low-rank changes; of Kronecker products that of the second factor, 0 to keep it full.
  std::size_t rank = 0;
  std::size_t factor = 8;  ///< rows and columns of the first factor at most; 0: balanced
  io::Dtype dtype = io::Dtype::f32;
  std::uint64_t seed = 1;
};

/// What became of a tensor that the two checkpoints have otherwise.
struct ExtractedTensor {
  std::string tensor;
  std::string form;  ///< "rank 8", "[4, 8] (x) [16, 12]", "dense"
  std::uint64_t parameters = 0;
  double norm = 0;   ///< of the change
  double error = 0;  ///< of what the adapter makes of it, over that norm

  /// Share of the change's squares that is kept.
  double energy() const noexcept { return 1 - error * error; }
};

struct Extraction {
  io::AdapterFile adapter;
  std::vector<ExtractedTensor> tensors;  ///< by name
  std::size_t equal = 0;                 ///< tensors that do not differ

  double error() const {
    double lost = 0;
    double all = 0;
    for (ExtractedTensor const& tensor : tensors) {
      lost = std::hypot(lost, tensor.error * tensor.norm);
      all = std::hypot(all, tensor.norm);
    }
    return all == 0 ? 0 : lost / all;
  }
};

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
            ExtractOptions const& options)
      : ctx_(ctx), base_(base), tuned_(tuned), options_(options) {}

  Extraction run(io::Progress& progress) {
    FloatingEnvironment const environment;
    if (base_.tensors().size() != tuned_.tensors().size()) {
      throw FormatError({.code = "not-the-same-model",
                         .file = tuned_.path().string(),
                         .place = {},
                         .found = std::to_string(tuned_.tensors().size()) + " tensors",
                         .expected = std::to_string(base_.tensors().size()) + ", as the base has",
                         .advice = "give two checkpoints of one model"});
    }
    progress.start(base_.bytes() + tuned_.bytes());
    for (io::TensorRef const& ref : base_.tensors()) {
      io::TensorRef const* const other = tuned_.find(ref.info.name);
      if (other == nullptr || other->info.shape != ref.info.shape) {
        refuse_extraction(tuned_, ref.info.name,
                          other == nullptr ? "no such tensor" : io::shape_text(other->info.shape),
                          io::shape_text(ref.info.shape) + " as in the base");
      }
      extract(ref, *other);
      progress.advance(ref.info.bytes() + other->info.bytes());
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

  void shape(io::AdapterModule& module, std::vector<std::uint64_t> const& shape,
             std::vector<double>& change, ExtractedTensor& report) {
    std::size_t const rows = shape.empty() ? 1 : static_cast<std::size_t>(shape.front());
    std::size_t const cols = change.size() / rows;
    bool const matrix = shape.size() >= 2 && rows > 1 && cols > 1;
    std::size_t parameters = change.size();
    if (matrix && options_.kind == ExtractKind::low_rank &&
        options_.rank * (rows + cols) < change.size()) {
      LowRankFactors const found =
          nearest_low_rank(ctx_, change, rows, cols, options_.rank, options_.seed);
      module.form = low_rank_form(options_.dtype, shape, found);
      module.rank = found.rank;
      parameters = found.rank * (rows + cols);
      report.form = "rank " + std::to_string(found.rank);
    } else if (matrix && options_.kind == ExtractKind::kronecker) {
      parameters = kronecker(module, shape, change, report);
    }
    if (report.form.empty() || parameters >= change.size()) {
      module.rank = 0;
      module.form = io::DenseForm{tensor_of(options_.dtype, shape, change)};
      report.form = "dense";
      parameters = change.size();
    }
    std::vector<double> made(change.size());
    AdapterDelta const delta(module);
    delta.add(0, delta.rows(), made);
    finish(report, report.form, made, change);
    report.parameters = parameters;
  }

  std::size_t kronecker(io::AdapterModule& module, std::vector<std::uint64_t> const& shape,
                        std::vector<double> const& change, ExtractedTensor& report) {
    auto const rows = static_cast<std::size_t>(shape[0]);
    auto const channels = static_cast<std::size_t>(shape[1]);
    std::size_t const taps = change.size() / (rows * channels);
    std::size_t const p1 = divisor_below(rows, options_.factor);
    std::size_t const q1 = divisor_below(channels, options_.factor);
    KroneckerSplit const split{p1, q1, rows / p1, channels / q1 * taps};
    KroneckerFactors found = nearest_kronecker(change, split);
    io::KroneckerForm form;
    form.first.full = tensor_of(options_.dtype, {p1, q1}, found.first);
    std::size_t parameters = p1 * q1;
    if (options_.rank > 0 && 2 * options_.rank < std::min(split.p2, split.q2)) {
      LowRankFactors const second =
          nearest_low_rank(ctx_, found.second, split.p2, split.q2, options_.rank, options_.seed);
      form.second.a = tensor_of(options_.dtype, {split.p2, second.rank}, second.up);
      form.second.b = tensor_of(options_.dtype, {second.rank, split.q2}, second.down);
      module.rank = second.rank;
      parameters += second.rank * (split.p2 + split.q2);
    } else {
      std::vector<std::uint64_t> extents(shape);
      extents[0] = split.p2;
      extents[1] = channels / q1;
      form.second.full = tensor_of(options_.dtype, extents, found.second);
      parameters += split.p2 * split.q2;
    }
    report.form = "[" + std::to_string(p1) + ", " + std::to_string(q1) + "] (x) [" +
                  std::to_string(split.p2) + ", " + std::to_string(split.q2) + "]" +
                  (module.rank > 0 ? " of rank " + std::to_string(module.rank) : "");
    module.form = std::move(form);
    return parameters;
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
  std::map<std::string, io::AdapterModule> modules_;
  Extraction out_;
};

}  // namespace detail

/// The adapter that makes `tuned` of `base`, as well as its form can: changes of matrices and of
/// convolutions as low-rank or Kronecker products, or dense where that is no larger; of biases,
/// norms and other vectors as dense differences. Errors are those of the rounded factors. One
/// tensor is in memory at a time, as double, with the work space of its decomposition.
///
/// FormatError for checkpoints whose names or shapes disagree, for integers that differ, NaN and
/// infinity.
template <class Exec, class Provider>
Extraction extract_adapter(Context<Exec, Provider>& ctx, io::Checkpoint const& base,
                           io::Checkpoint const& tuned, ExtractOptions const& options,
                           io::Progress& progress = io::no_progress()) {
  return detail::Extractor(ctx, base, tuned, options).run(progress);
}

}  // namespace dashi::checkpoints

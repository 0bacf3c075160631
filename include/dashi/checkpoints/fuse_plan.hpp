// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_target.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/decimal_weight.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// An adapter to fuse, and where its modules go in the base.
struct FuseAdapter {
  std::string name;  ///< for provenance
  io::AdapterFile const* file = nullptr;
  merging::DecimalWeight strength{};
  std::vector<io::AdapterTarget> targets;
  std::string digest;  ///< adapter_digest(), or empty

  double factor() const {
    return static_cast<double>(strength.digits) /
           static_cast<double>(
               merging::detail::powers_of_ten[static_cast<std::size_t>(strength.places)]);
  }
};

/// Rows of a module that change rows of a tensor.
struct FuseStep {
  std::size_t adapter = 0;  ///< index into FusePlan::adapters
  std::size_t module = 0;   ///< index into that file's modules
  bool bias = false;        ///< the tensor is the module's bias
  std::uint64_t module_row = 0;
  std::uint64_t tensor_row = 0;
  std::uint64_t rows = 0;
};

/// A tensor of the base and what changes it, in the order of the adapters.
struct PlannedFusion {
  io::TensorRef const* ref = nullptr;
  std::vector<FuseStep> steps;

  bool touched() const noexcept { return !steps.empty(); }
  std::uint64_t rows() const noexcept {
    return ref->info.shape.empty() ? 1 : ref->info.shape.front();
  }
  std::uint64_t cols() const noexcept { return rows() == 0 ? 0 : ref->info.elements() / rows(); }
};

/// What a fusion will do; made from headers.
struct FusePlan {
  io::Checkpoint const* base = nullptr;  ///< must outlive the plan, as must the adapters' files
  std::vector<FuseAdapter> adapters;
  std::vector<PlannedFusion> tensors;  ///< by name
  std::size_t touched = 0;             ///< tensors that change
  std::uint64_t touched_bytes = 0;

  PlannedFusion const& at(std::string const& name) const {
    auto const at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                     [](PlannedFusion const& t, std::string const& wanted) {
                                       return t.ref->info.name < wanted;
                                     });
    return *at;
  }
  io::AdapterModule const& module(FuseStep const& step) const {
    return adapters[step.adapter].file->modules[step.module];
  }
};

namespace detail {

[[noreturn]] inline void refuse_target(FusePlan const& plan, FuseAdapter const& adapter,
                                       io::AdapterTarget const& target, std::string code,
                                       std::string tensor, std::string found,
                                       std::string expected) {
  throw FormatError({.code = std::move(code),
                     .file = plan.base->path().string(),
                     .place = "tensor " + io::in_quotes(tensor),
                     .found = std::move(found),
                     .expected = std::move(expected) + " for module " +
                                 io::in_quotes(adapter.file->modules[target.module].path) +
                                 " of adapter " + io::in_quotes(adapter.name),
                     .advice = "the adapter is for another base"});
}

inline void plan_step(FusePlan& plan, FuseAdapter const& adapter, io::AdapterTarget const& target,
                      std::string const& name, FuseStep step) {
  io::TensorRef const* const ref = plan.base->find(name);
  if (ref == nullptr) {
    refuse_target(plan, adapter, target, "no-target", name, "no such tensor", "it");
  }
  auto& tensor = const_cast<PlannedFusion&>(std::as_const(plan).at(name));
  if (!io::is_convertible(ref->info.dtype)) {
    refuse_target(plan, adapter, target, "not-convertible", name,
                  "dtype " + std::string(io::name(ref->info.dtype)),
                  "one of " + io::convertible_names());
  }
  if (step.tensor_row > tensor.rows() || step.rows > tensor.rows() - step.tensor_row) {
    refuse_target(plan, adapter, target, "target-rows", name,
                  std::to_string(tensor.rows()) + " rows",
                  std::to_string(step.tensor_row + step.rows));
  }
  plan.touched += tensor.touched() ? 0U : 1U;
  plan.touched_bytes += tensor.touched() ? 0U : ref->info.bytes();
  tensor.steps.push_back(step);
}

}  // namespace detail

/// Which tensors of the base change, and by what. An adapter of strength 0 changes none.
/// FormatError for a target that the base lacks or that is no floating tensor, for a bias without a
/// place, and for a soup's ledger.
inline FusePlan plan_fusion(io::Checkpoint const& base, std::vector<FuseAdapter> adapters) {
  expect_no_ledger(base);
  FusePlan plan;
  plan.base = &base;
  plan.adapters = std::move(adapters);
  for (io::TensorRef const& ref : base.tensors()) {
    plan.tensors.push_back({&ref, {}});
  }
  for (std::size_t a = 0; a < plan.adapters.size(); ++a) {
    FuseAdapter const& adapter = plan.adapters[a];
    for (io::AdapterTarget const& target : adapter.targets) {
      if (adapter.strength.digits == 0) {
        break;
      }
      io::AdapterModule const& module = adapter.file->modules.at(target.module);
      FuseStep const step{.adapter = a,
                          .module = target.module,
                          .module_row = target.module_row,
                          .tensor_row = target.tensor_row,
                          .rows = target.rows};
      if (AdapterChange::changes_weight(module)) {
        detail::plan_step(plan, adapter, target, target.tensor, step);
      }
      if (target.bias.empty() && !module.bias.empty()) {
        detail::refuse_target(plan, adapter, target, "no-bias", target.tensor, "no bias beside it",
                              "one");
      }
      if (!target.bias.empty() && AdapterChange::changes_bias(module)) {
        FuseStep of_bias = step;
        of_bias.bias = true;
        detail::plan_step(plan, adapter, target, target.bias, of_bias);
      }
    }
  }
  return plan;
}

}  // namespace dashi::checkpoints

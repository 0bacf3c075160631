// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/kernels/kronecker_shape.hpp>

#include <algorithm>
#include <cstdio>
#include <string>

namespace dashi::kernels {

/// Rates that a plan is computed with. measure_machine_ratio (machine_ratio.hpp) fills it in.
struct MachineRatio {
  double product_flops = 2e11;     ///< FLOP/s of a product as thin as those with B
  double mix_flops = 5e10;         ///< FLOP/s of mixing by A
  double bytes_per_second = 2e10;  ///< of a pass that reads and writes
};

/// What a layer's adapter adds to the frozen layer, counted.
struct KroneckerCost {
  double product_flop = 0;  ///< products with B
  double mix_flop = 0;      ///< mixes by A, sums for dA
  double bytes = 0;         ///< of merging W

  double seconds(MachineRatio const& r) const {
    return product_flop / r.product_flops + mix_flop / r.mix_flops + bytes / r.bytes_per_second;
  }
  friend KroneckerCost operator+(KroneckerCost const& a, KroneckerCost const& b) {
    return {a.product_flop + b.product_flop, a.mix_flop + b.mix_flop, a.bytes + b.bytes};
  }
};

/// What a plan is made for.
struct KroneckerUse {
  Index rows = 1;              ///< T, rows of x in one call
  int storage_bytes = 4;       ///< of an element
  bool trains = true;          ///< gradients of x, A and B are wanted
  double calls_per_merge = 1;  ///< calls between two changes of W, A or B
  /// A merged weight in a 16-bit type loses changes below half a unit in W's last place
  /// (2^-9 |W| for bfloat16): only who accepts that sets it.
  bool merge_16_bit = false;
};

/// How one adapted layer is computed. Public members: a caller may force any of them.
struct KroneckerPlan {
  KroneckerShape shape;
  KroneckerUse use;
  MachineRatio ratio;
  KroneckerPath forward = KroneckerPath::b_first;
  KroneckerPath backward = KroneckerPath::b_first;
  KroneckerPath order = KroneckerPath::b_first;  ///< of dA and dB when backward is merged

  bool merges() const {
    return forward == KroneckerPath::materialised || backward == KroneckerPath::materialised;
  }
  /// Order in which dA and dB are taken, and so of what the adjoint wants of the forward step.
  KroneckerPath gradient_order() const { return factored(backward); }
  /// Whether forward leaves what backward wants again.
  bool saves() const { return use.trains && forward_leaves(gradient_order()); }

  KroneckerCost merge_cost() const {
    double const numbers = static_cast<double>(shape.out()) * static_cast<double>(shape.in());
    return {0, 0, 3 * use.storage_bytes * numbers / use.calls_per_merge};  // W, W', W' allocated
  }
  KroneckerCost forward_cost(KroneckerPath path) const {
    return path == KroneckerPath::materialised ? KroneckerCost{} : step(path);
  }
  /// Of dA and dB, and of dx where it is not W''s; `again`: what lies between is computed again.
  KroneckerCost backward_cost(KroneckerPath path, bool again) const {
    if (!use.trains) {
      return {};
    }
    KroneckerPath const by = factored(path);
    KroneckerCost const whole = step(by);
    KroneckerCost const product{whole.product_flop, 0, 0};
    KroneckerCost const mix{0, whole.mix_flop, 0};
    bool const b_first = by == KroneckerPath::b_first;
    // dB is a product, dA as much as a mix; half the way to dx serves one of them.
    KroneckerCost cost = whole + (b_first ? mix : product);
    if (path != KroneckerPath::materialised) {
      cost = cost + (b_first ? product : mix);
    }
    return again ? cost + (b_first ? product : mix) : cost;
  }
  /// Forward and backward as planned.
  KroneckerCost cost() const {
    KroneckerCost const both = forward_cost(forward) + backward_cost(backward, !saves());
    return merges() ? both + merge_cost() : both;
  }

  /// A few lines: the choice, and what each choice was counted to cost.
  std::string describe() const {
    char line[160];
    auto const add = [&](char const* name, KroneckerCost const& c) {
      std::snprintf(
          line, sizeof(line), "  %-22s %10.3f MFLOP B %10.3f MFLOP A %10.3f MB %9.1f us\n", name,
          c.product_flop * 1e-6, c.mix_flop * 1e-6, c.bytes * 1e-6, c.seconds(ratio) * 1e6);
      return std::string(line);
    };
    std::snprintf(line, sizeof(line),
                  "A [%lld, %lld] B [%lld, %lld] T %lld: forward %s, backward %s, order %s\n",
                  static_cast<long long>(shape.m1), static_cast<long long>(shape.n1),
                  static_cast<long long>(shape.m2), static_cast<long long>(shape.n2),
                  static_cast<long long>(use.rows), name_of(forward), name_of(backward),
                  name_of(order));
    std::string text = line;
    text += add("planned", cost());
    text += add("merge", merge_cost());
    for (KroneckerPath const path : {KroneckerPath::a_first, KroneckerPath::b_first}) {
      text += add((std::string("forward ") + name_of(path)).c_str(), forward_cost(path));
    }
    for (KroneckerPath const path :
         {KroneckerPath::materialised, KroneckerPath::a_first, KroneckerPath::b_first}) {
      text += add((std::string("backward ") + name_of(path)).c_str(),
                  backward_cost(path, !forward_leaves(factored(path))));
    }
    return text;
  }

private:
  KroneckerPath factored(KroneckerPath path) const {
    return path == KroneckerPath::materialised ? order : path;
  }
  bool forward_leaves(KroneckerPath between) const {
    return forward != KroneckerPath::materialised && forward == between;
  }
  KroneckerCost step(KroneckerPath by) const {
    double const rows = static_cast<double>(use.rows);
    return {2 * rows * shape.products(by), 2 * rows * shape.mixes(by), 0};
  }
};

/// The cheapest plan for a layer: the factored order of fewer multiply-adds, and merging or not for
/// forward and for backward together, since W' is made once for both.
inline KroneckerPlan plan_kronecker(KroneckerShape const& shape, KroneckerUse const& use,
                                    MachineRatio const& ratio) {
  KroneckerPlan plan{shape, use, ratio};
  plan.order = shape.cheaper_order();
  plan.forward = plan.backward = plan.order;
  if (use.storage_bytes < 4 && !use.merge_16_bit) {
    return plan;
  }
  KroneckerPlan best = plan;
  KroneckerPath const choices[] = {plan.order, KroneckerPath::materialised};
  for (KroneckerPath const forward : choices) {
    for (KroneckerPath const backward : choices) {
      plan.forward = forward;
      plan.backward = use.trains ? backward : plan.order;
      if (plan.cost().seconds(ratio) < best.cost().seconds(ratio)) {
        best = plan;
      }
    }
  }
  return best;
}

}  // namespace dashi::kernels

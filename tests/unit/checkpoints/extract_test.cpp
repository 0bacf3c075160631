// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/combine.hpp>
#include <dashi/checkpoints/extract.hpp>
#include <dashi/checkpoints/fuse.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>

#include <adapter_forms.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <merge_files.hpp>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using namespace dashi::test;
using Host = Kokkos::DefaultHostExecutionSpace;

double relative(Values const& a, Values const& b) {
  REQUIRE(a.size() == b.size());
  Values left(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    left[i] = a[i] - b[i];
  }
  return checkpoints::detail::norm_of(left) / checkpoints::detail::norm_of(b);
}

/// first (x) second.
Values kronecker(Values const& first, Values const& second,
                 checkpoints::KroneckerSplit const& split) {
  auto const [p1, q1, p2, q2] = split;
  Values out(p1 * p2 * q1 * q2);
  for (std::size_t i = 0; i < p1; ++i) {
    for (std::size_t k = 0; k < p2; ++k) {
      for (std::size_t j = 0; j < q1; ++j) {
        for (std::size_t l = 0; l < q2; ++l) {
          out[((i * p2 + k) * q1 + j) * q2 + l] = first[i * q1 + j] * second[k * q2 + l];
        }
      }
    }
  }
  return out;
}

TEST_CASE("an exact Kronecker product is found to rounding", "[extract]") {
  for (checkpoints::KroneckerSplit const split :
       {checkpoints::KroneckerSplit{3, 4, 5, 7}, {1, 1, 6, 8}, {8, 2, 1, 3}, {2, 9, 4, 1}}) {
    Values const first = random_values(split.p1 * split.q1, 1);
    Values const second = random_values(split.p2 * split.q2, 2);
    Values const matrix = kronecker(first, second, split);
    auto const found = checkpoints::nearest_kronecker(matrix, split);
    CHECK(found.steps <= 3);
    CHECK(relative(kronecker(found.first, found.second, split), matrix) < 1e-14);
  }
}

TEST_CASE("else the error is the tail of the singular values of the rearrangement", "[extract]") {
  Context<Host> ctx;
  checkpoints::KroneckerSplit const split{4, 6, 5, 3};
  // One product stands out, so that the power method converges well before its last step.
  Values matrix = kronecker(random_values(24, 3), random_values(15, 4), split);
  Values const noise = random_values(matrix.size(), 5);
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    matrix[i] += 0.2 * noise[i];
  }
  Values rearranged;
  for (std::size_t b = 0; b < 24; ++b) {
    for (std::size_t k = 0; k < 5; ++k) {
      for (std::size_t l = 0; l < 3; ++l) {
        rearranged.push_back(matrix[((b / 6) * 5 + k) * 18 + (b % 6) * 3 + l]);
      }
    }
  }
  Values singular(15);
  linalg::singular_values(ctx, matrix_over<double, Host>(rearranged.data(), 24, 15),
                          vector_over<double, Host>(singular.data(), 15));
  auto const found = checkpoints::nearest_kronecker(matrix, split);
  Values left = kronecker(found.first, found.second, split);
  double tail = 0;
  for (std::size_t k = 1; k < 15; ++k) {
    tail = std::hypot(tail, singular[k]);
  }
  for (std::size_t i = 0; i < left.size(); ++i) {
    left[i] -= matrix[i];
  }
  CHECK(std::abs(found.value / singular[0] - 1) < 1e-12);
  CHECK(std::abs(checkpoints::detail::norm_of(left) / tail - 1) < 1e-10);
}

TEST_CASE("divisors of a factor are the largest that fit", "[extract]") {
  CHECK(checkpoints::divisor_below(1152, 8) == 8);
  CHECK(checkpoints::divisor_below(37, 8) == 1);
  CHECK(checkpoints::divisor_below(12, 7) == 6);
  CHECK(checkpoints::divisor_below(1152, 0) == 32);
  CHECK(checkpoints::divisor_below(3456, 0) == 54);
  CHECK(checkpoints::divisor_below(8, 100) == 8);
}

struct Pair {
  merging::PrivateFolder folder{std::filesystem::temp_directory_path()};
  std::filesystem::path path(char const* name) const { return folder.path() / name; }

  /// A base, and the same with `change` added to w, a bias and a norm.
  Pair(Shape const& shape, Values const& change) {
    Values w = random_values(product(shape), 1);
    Values b = random_values(static_cast<std::size_t>(shape[0]), 2);
    Values n = random_values(7, 3);
    Values const same = random_values(5, 4);
    auto const write = [&](char const* name) {
      auto const f64 = io::Dtype::f64;
      write_member(
          path(name),
          {file_tensor("m.weight", f64, shape, w), file_tensor("m.bias", f64, {shape[0]}, b),
           file_tensor("norm.weight", f64, {7}, n), file_tensor("same.weight", f64, {5}, same)});
    };
    write("base");
    for (std::size_t i = 0; i < w.size(); ++i) {
      w[i] += change[i];
    }
    b[0] += 0.5;
    n[6] -= 0.25;
    write("tuned");
  }

  checkpoints::Extraction extract(checkpoints::ExtractOptions options) const {
    Context<Host> ctx;
    options.dtype = io::Dtype::f64;
    io::ProgressCounter progress;
    auto found = checkpoints::extract_adapter(ctx, io::Checkpoint(path("base")),
                                              io::Checkpoint(path("tuned")), options, progress);
    CHECK(progress.done() == progress.total());
    return found;
  }

  /// The base with the adapter must be the tuned checkpoint to `tolerance`.
  void check_fused(io::AdapterFile const& adapter, double tolerance) const {
    io::Checkpoint const base(path("base"));
    std::vector<io::AdapterTarget> targets;
    for (std::size_t m = 0; m < adapter.modules.size(); ++m) {
      std::string const name = adapter.modules[m].path + ".weight";
      bool const bias = base.find(adapter.modules[m].path + ".bias") != nullptr;
      targets.push_back({.module = m,
                         .tensor = name,
                         .bias = bias ? adapter.modules[m].path + ".bias" : "",
                         .rows = base.find(name)->info.shape[0]});
    }
    checkpoints::fuse(checkpoints::plan_fusion(base, {{"a", &adapter, {}, targets, ""}}),
                      path("fused"), {.file = {.force = true}});
    io::Checkpoint const fused(path("fused"));
    io::Checkpoint const tuned(path("tuned"));
    for (char const* const name : {"m.weight", "m.bias", "norm.weight", "same.weight"}) {
      INFO(name);
      CHECK(relative(read_values<double>(fused, name), read_values<double>(tuned, name)) <
            tolerance);
    }
  }
};

TEST_CASE("a low-rank change is extracted whole, vectors as differences", "[extract]") {
  for (Shape const& shape : {Shape{60, 80}, Shape{60, 20, 2, 2}}) {
    Values const change =
        checkpoints::detail::product_of(random_values(60 * 3, 5), random_values(3 * 80, 6), 3);
    Pair const pair(shape, change);
    auto const found = pair.extract({.rank = 3});
    REQUIRE(found.tensors.size() == 3);
    CHECK(found.equal == 1);
    CHECK(found.tensors[0].tensor == "m.bias");
    CHECK(found.tensors[1].form == "rank 3");
    CHECK(found.tensors[1].parameters == 3 * 140);
    CHECK(found.tensors[1].error < 1e-12);
    CHECK(found.tensors[2].form == "dense");
    CHECK(found.error() < 1e-12);
    pair.check_fused(found.adapter, 1e-12);
  }
}

TEST_CASE("a Kronecker change is extracted whole, its second factor of low rank too", "[extract]") {
  Values const second =
      checkpoints::detail::product_of(random_values(15 * 2, 5), random_values(2 * 20, 6), 2);
  Values const change = kronecker(random_values(16, 7), second, {4, 4, 15, 20});
  for (Shape const& shape : {Shape{60, 80}, Shape{60, 20, 2, 2}}) {
    Pair const pair(shape, change);
    for (std::size_t const rank : {0U, 2U}) {
      auto const found =
          pair.extract({.kind = checkpoints::ExtractKind::kronecker, .rank = rank, .factor = 4});
      CHECK(found.tensors[1].form ==
            (rank == 0 ? "[4, 4] (x) [15, 20]" : "[4, 4] (x) [15, 20] of rank 2"));
      CHECK(found.tensors[1].error < 1e-12);
      pair.check_fused(found.adapter, 1e-12);
    }
  }
}

TEST_CASE("the search finds the split of a Kronecker change, on any number of threads",
          "[extract]") {
  for (checkpoints::KroneckerSplit const split :
       {checkpoints::KroneckerSplit{4, 4, 15, 20}, {6, 10, 10, 8}, {30, 2, 2, 40}}) {
    Values change = kronecker(random_values(split.p1 * split.q1, 7),
                              random_values(split.p2 * split.q2, 8), split);
    Values const noise = random_values(change.size(), 9);
    for (std::size_t i = 0; i < change.size(); ++i) {
      change[i] += 0.01 * noise[i];
    }
    for (std::size_t const threads : {1U, 3U}) {
      io::ProgressCounter progress;
      auto const found =
          checkpoints::best_kronecker_split(change, 60, 80, 0.9, threads, progress, 38407);
      CHECK(progress.done() == 38407);
      REQUIRE(found.has_value());
      CHECK(std::array{found->p1, found->q1, found->p2, found->q2} ==
            std::array{split.p1, split.q1, split.p2, split.q2});
    }
  }
}

TEST_CASE("the search judges every split by what it keeps and by its numbers", "[extract]") {
  constexpr std::size_t rows = 12, channels = 6, taps = 4;
  Values const change = random_values(rows * channels * taps, 5);
  double const norm = checkpoints::detail::norm_of(change);
  auto const splits = checkpoints::kronecker_splits(rows, channels, taps);
  // Six divisors of 12 times four of 6; all but [1, 1] (x) whole have fewer numbers than 288.
  CHECK(splits.size() == 23);
  double most = 0;
  std::size_t fewest = change.size();
  for (auto const& split : splits) {
    CHECK(split.p1 * split.p2 == rows);
    CHECK(split.q1 * split.q2 == channels * taps);
    double const value = checkpoints::nearest_kronecker(change, split, 8).value;
    double const share = value * value / (norm * norm);
    auto const numbers = static_cast<double>(split.parameters());
    most = std::max(most, share / numbers);
    if (share >= 0.4) {
      fewest = std::min(fewest, split.parameters());
    }
  }
  auto const share_of = [&](checkpoints::KroneckerSplit const& split) {
    double const value = checkpoints::nearest_kronecker(change, split, 8).value;
    return value * value / (norm * norm);
  };
  auto const dense = checkpoints::best_kronecker_split(change, rows, channels, 0, 1);
  REQUIRE(dense.has_value());
  CHECK(share_of(*dense) / static_cast<double>(dense->parameters()) > most * (1 - 1e-12));
  auto const small = checkpoints::best_kronecker_split(change, rows, channels, 0.4, 1);
  REQUIRE(small.has_value());
  CHECK(small->parameters() == fewest);
  CHECK(share_of(*small) >= 0.4);
  CHECK_FALSE(checkpoints::best_kronecker_split(change, rows, channels, 0.999, 1).has_value());
  CHECK(checkpoints::kronecker_splits(7, 1, 1).empty());
  io::ProgressCounter progress;
  Values const none = random_values(7, 6);
  CHECK_FALSE(checkpoints::best_kronecker_split(none, 7, 1, 0, 1, progress, 56).has_value());
  CHECK(progress.done() == 56);
}

TEST_CASE("a change keeps the energy that was asked for, in the first form that does",
          "[extract]") {
  using checkpoints::ExtractKind;
  // Rank 3 and noise: no Kronecker product is near.
  Values change =
      checkpoints::detail::product_of(random_values(60 * 3, 5), random_values(3 * 80, 6), 3);
  Values const noise = random_values(change.size(), 9);
  for (std::size_t i = 0; i < change.size(); ++i) {
    change[i] += 1e-3 * noise[i];
  }
  Pair const pair({60, 80}, change);
  auto const form = [&](checkpoints::ExtractOptions const& options) {
    auto const found = pair.extract(options);
    CHECK(found.tensors[1].energy() >= options.least_energy);
    return found.tensors[1].form;
  };
  CHECK(form({.least_energy = 0.999}) == "rank 3");
  CHECK(form({.rank = 8, .least_energy = 0.999}) == "rank 3");
  CHECK(form({.rank = 2, .least_energy = 0.999}) == "dense");
  CHECK(form({.rank = 60, .least_energy = 0.999}) == "rank 3");
  CHECK(form({.rank = 2, .least_energy = 0.3}) == "rank 1");
  CHECK(form({.kind = ExtractKind::kronecker, .factor = 4, .least_energy = 0.999}) == "rank 3");
  CHECK(form({.kind = ExtractKind::kronecker, .search = true, .least_energy = 0.999}) == "rank 3");
  CHECK(form({.least_energy = 0.9999999999}) == "dense");
  CHECK(form({.kind = ExtractKind::kronecker, .factor = 4}) == "[4, 4] (x) [15, 20]");
}

TEST_CASE("a change without structure gets the smallest rank that keeps its energy", "[extract]") {
  // Where sampling would be used, which keeps a little less than the best product of a rank.
  Pair const pair({200, 200}, random_values(200 * 200, 5));
  Context<Host> ctx;
  std::vector<double> const change = random_values(200 * 200, 5);
  for (double const energy : {0.1, 0.2, 0.3, 0.4}) {
    auto const found = pair.extract({.least_energy = energy});
    std::size_t const rank = checkpoints::rank_that_keeps(ctx, change, 200, 200, energy);
    CHECK(found.tensors[1].form == "rank " + std::to_string(rank));
    CHECK(found.tensors[1].energy() >= energy);
    CHECK(pair.extract({.rank = rank - 1, .least_energy = energy}).tensors[1].form == "dense");
  }
}

TEST_CASE("a searched Kronecker change is extracted whole", "[extract]") {
  Values const change = kronecker(random_values(60, 7), random_values(80, 8), {6, 10, 10, 8});
  for (Shape const& shape : {Shape{60, 80}, Shape{60, 20, 2, 2}}) {
    Pair const pair(shape, change);
    auto const found = pair.extract(
        {.kind = checkpoints::ExtractKind::kronecker, .search = true, .least_energy = 0.99});
    CHECK(found.tensors[1].form == "[6, 10] (x) [10, 8]");
    CHECK(found.tensors[1].error < 1e-12);
    pair.check_fused(found.adapter, 1e-12);
  }
}

TEST_CASE("what does not fit is told, and is the best there is", "[extract]") {
  Context<Host> ctx;
  Values change = random_values(30 * 40, 8);
  Pair const pair({30, 40}, change);
  auto const found = pair.extract({.rank = 5});
  Values singular(30);
  linalg::singular_values(ctx, matrix_over<double, Host>(change.data(), 30, 40),
                          vector_over<double, Host>(singular.data(), 30));
  double tail = 0;
  for (std::size_t k = 5; k < 30; ++k) {
    tail = std::hypot(tail, singular[k]);
  }
  CHECK(std::abs(found.tensors[1].error * found.tensors[1].norm / tail - 1) < 1e-6);
  CHECK(found.tensors[1].energy() < 0.9);
  // A rank that is no saving is kept dense.
  CHECK(pair.extract({.rank = 25}).tensors[1].form == "dense");
}

TEST_CASE("checkpoints of two models are refused", "[extract]") {
  Pair const pair({4, 4}, Values(16, 1));
  write_member(pair.path("tuned"), {file_tensor("m.weight", io::Dtype::f64, {4, 4}, Values(16))});
  CHECK_THROWS_AS(pair.extract({.rank = 1}), FormatError);
  Values bad(16);
  bad[3] = NAN;
  Pair const infinite({4, 4}, bad);
  CHECK_THROWS_AS(infinite.extract({.rank = 1}), FormatError);
}

io::AdapterModule module_of(decltype(io::AdapterModule::form) form, double scale) {
  io::AdapterModule module;
  module.path = "m";
  module.form = std::move(form);
  module.scale = scale;
  return module;
}

io::LowRankForm lora(Shape const& down, Shape const& up, unsigned seed, bool embedding = false) {
  return {random_tensor(down, seed), random_tensor(up, seed + 1), {}, embedding};
}

io::KroneckerForm lokr(unsigned first, unsigned second) {
  io::KroneckerForm form;
  form.first.full = random_tensor({3, 5}, first);
  form.second.full = random_tensor({4, 2}, second);
  return form;
}

Values rows_of(io::AdapterModule const& module, double weight) {
  checkpoints::AdapterDelta const delta(module, weight);
  Values out(delta.rows() * delta.cols());
  delta.add(0, delta.rows(), out);
  return out;
}

TEST_CASE("a combination is the sum of the changes, without cross terms", "[combine]") {
  Context<Host> ctx;
  struct Case {
    char const* name;
    io::AdapterModule one, two;
    char const* form;
  };
  std::vector<Case> const cases{
      {"LoRA", module_of(lora({3, 10}, {12, 3}, 1), 2), module_of(lora({2, 10}, {12, 2}, 3), 0.5),
       "rank 5"},
      {"LoRA of a convolution", module_of(lora({3, 2, 2, 2}, {12, 3, 1, 1}, 1), 2),
       module_of(lora({2, 2, 2, 2}, {12, 2, 1, 1}, 3), 0.5), "rank 5"},
      {"LoRA of a table", module_of(lora({3, 12}, {10, 3}, 1, true), 2),
       module_of(lora({2, 12}, {10, 2}, 3, true), 0.5), "rank 5"},
      {"LoKr with one first factor", module_of(lokr(5, 6), 2), module_of(lokr(5, 7), 3),
       "Kronecker"},
      {"LoKr with one second factor", module_of(lokr(5, 6), 2), module_of(lokr(8, 6), 3),
       "Kronecker"},
      {"LoKr of two kinds", module_of(lokr(5, 6), 2), module_of(lokr(8, 7), 3), "dense"},
      {"LoRA and LoKr", module_of(lora({3, 10}, {12, 3}, 1), 2), module_of(lokr(8, 7), 3),
       "dense"}};
  for (Case const& c : cases) {
    INFO(c.name);
    io::AdapterFile one;
    io::AdapterFile two;
    one.modules = {c.one};
    two.modules = {c.two};
    auto const found =
        checkpoints::combine_adapters(ctx, {{&one, 0.75}, {&two, -1.5}}, {.dtype = io::Dtype::f64});
    REQUIRE(found.adapter.modules.size() == 1);
    CHECK(found.modules[0].form == c.form);
    CHECK(found.modules[0].terms == 2);
    CHECK(found.modules[0].error < 1e-14);
    Values expected = rows_of(c.one, 0.75);
    Values const second = rows_of(c.two, -1.5);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] += second[i];
    }
    CHECK(relative(rows_of(found.adapter.modules[0], 1), expected) < 1e-14);
  }
}

TEST_CASE("a combination of a given rank tells what it lost", "[combine]") {
  Context<Host> ctx;
  io::AdapterFile one;
  io::AdapterFile two;
  one.modules = {module_of(lora({3, 40}, {50, 3}, 1), 1)};
  two.modules = {module_of(lora({2, 40}, {50, 2}, 3), 1)};
  auto const combined = [&](std::size_t rank) {
    return checkpoints::combine_adapters(ctx, {{&one, 1}, {&two, 1}},
                                         {.rank = rank, .dtype = io::Dtype::f64})
        .modules[0];
  };
  CHECK(combined(5).error < 1e-12);
  CHECK(combined(5).form == "rank 5");
  double const lost = combined(3).error;
  CHECK(lost > 0.05);
  CHECK(lost < 0.9);
  CHECK(combined(4).error < lost);
}

TEST_CASE("modules of one adapter alone, and biases, are weighted too", "[combine]") {
  Context<Host> ctx;
  io::AdapterFile one;
  io::AdapterFile two;
  io::AdapterModule module = module_of(lora({3, 10}, {12, 3}, 1), 2);
  module.bias = random_tensor({12}, 9);
  module.bias_is_difference = true;
  one.modules = {module};
  two.modules = {module};
  two.modules[0].path = "other";
  auto const found =
      checkpoints::combine_adapters(ctx, {{&one, 0.5}, {&two, -2}}, {.dtype = io::Dtype::f64});
  REQUIRE(found.adapter.modules.size() == 2);
  CHECK(relative(rows_of(found.adapter.modules[0], 1), rows_of(module, 0.5)) < 1e-15);
  CHECK(relative(rows_of(found.adapter.modules[1], 1), rows_of(module, -2)) < 1e-15);
  Values bias = module.bias.values();
  for (double& value : bias) {
    value *= -2;
  }
  CHECK(found.adapter.modules[1].bias.values() == bias);
}

TEST_CASE("what is no sum is not combined", "[combine]") {
  Context<Host> ctx;
  io::AdapterFile good;
  good.modules = {module_of(lora({3, 10}, {12, 3}, 1), 1)};
  auto const refused = [&](io::AdapterModule const& module) {
    io::AdapterFile bad;
    bad.modules = {module};
    CHECK_THROWS_AS(checkpoints::combine_adapters(ctx, {{&good, 1}, {&bad, 1}}, {}), FormatError);
  };
  io::AdapterModule module = good.modules[0];
  module.dora = io::MagnitudeForm{random_tensor({12}, 1), false};
  refused(module);
  refused(module_of(io::ScaleForm{random_tensor({12}, 1)}, 1));
  module = good.modules[0];
  module.bias = random_tensor({12}, 1);
  refused(module);
  refused(module_of(lora({3, 11}, {12, 3}, 1), 1));
  io::AdapterFile other = good;
  other.dialect = io::Dialect::peft;
  CHECK_THROWS_AS(checkpoints::combine_adapters(ctx, {{&good, 1}, {&other, 1}}, {}), FormatError);
}

}  // namespace

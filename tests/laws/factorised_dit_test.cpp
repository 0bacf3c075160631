// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A factorised model's files and its nets say the same function: KIND, arXiv 2408.07337; FINE,
// arXiv 2409.19289.
#include <dashi/backbones/class_gated_dit.hpp>
#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/svd_load.hpp>
#include <dashi/core/initialise.hpp>

#include <catch2/catch_test_macros.hpp>

#include <dit_fixture.hpp>
#include <linear_fixture.hpp>
#include <svd_files.hpp>

namespace {

using namespace dashi;
using namespace dashi::test;
using Exec = Kokkos::DefaultExecutionSpace;
using P = precision::Float64;
using Factors = FactorisedDit<Exec, P>;
using Plain = BasicDiT<Exec, P>;

io::DitConfiguration const sizes = small_dit();
constexpr Index samples = 6;

template <class Net>
std::vector<double> run(DitFixture<Net>& dit, std::vector<double> const& labels) {
  auto const size = static_cast<std::size_t>(samples * dit.net.shape().image_size());
  dit.feed(noise(size, 1), {0, 17, 500, 999, 3, 250}, labels);
  return dit.evaluate();
}

std::vector<double> run_plain(std::filesystem::path const& path,
                              std::vector<double> const& labels) {
  io::Checkpoint const checkpoint(path);
  auto const model = checkpoints::read_dit_model(checkpoint);
  DitFixture<Plain> dit(checkpoints::dit_config(model.configuration, model.variant), samples);
  checkpoints::load_dit(checkpoint, model, dit.list);
  return run(dit, labels);
}

std::vector<double> run_factors(std::filesystem::path const& path,
                                std::vector<double> const& labels) {
  io::Checkpoint const checkpoint(path);
  auto const model = checkpoints::read_factorised(checkpoint);
  DitFixture<Factors> dit(checkpoints::dit_config(model.configuration, model.variant), samples,
                          factorised_options(model.layout));
  checkpoints::load_factorised(checkpoint, dit.list);
  return run(dit, labels);
}

/// Sampled with dense weights for some groups.
struct GatedDit {
  using Net = ClassGatedDit<Exec, P>;

  explicit GatedDit(std::filesystem::path const& path) : GatedDit(io::Checkpoint(path)) {}
  explicit GatedDit(io::Checkpoint const& checkpoint)
      : GatedDit(checkpoint, checkpoints::read_factorised(checkpoint)) {}
  GatedDit(io::Checkpoint const& checkpoint, checkpoints::FactorisedModel const& model)
      : net(ctx, checkpoints::dit_config(model.configuration, model.variant), model.layout) {
    ParameterList<P, Exec> list;
    net.parameters(list);
    checkpoints::load_factorised(checkpoint, list);
  }

  std::vector<double> run(std::vector<std::int64_t> const& classes) {
    auto images = noise(static_cast<std::size_t>(samples * net.shape().image_size()), 1);
    std::vector<double> const t{0, 17, 500, 999, 3, 250};
    Arena measuring;
    (void)net.evaluation(measuring, samples);
    std::vector<std::byte> bytes(measuring.peak() + Arena::alignment);
    auto const misaligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % Arena::alignment;
    Arena arena(bytes.data() + (Arena::alignment - misaligned) % Arena::alignment,
                measuring.peak());
    auto const evaluation = net.evaluation(arena, samples);
    ctx.reserve_scratch(net.scratch_bytes(ctx, samples));
    std::vector<double> out(static_cast<std::size_t>(samples * net.shape().out_size()), -7);
    typename Net::Input const input{
        matrix_over<double, Exec>(images.data(), samples, net.shape().image_size()),
        vector_over<double const, Exec>(t.data(), samples),
        {vector_over<std::int64_t const, Exec>(classes.data(), samples), {}, 0},
        {}};
    net.evaluate(ctx, input, matrix_over<double, Exec>(out.data(), samples, net.shape().out_size()),
                 evaluation);
    ctx.fence();
    return out;
  }

  Context<Exec> ctx;
  Net net;
};

double largest_of(std::vector<double> const& values) {
  double most = 0;
  for (double const value : values) {
    most = std::fmax(most, std::fabs(value));
  }
  return most;
}
double apart(std::vector<double> const& a, std::vector<double> const& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::fmax(most, std::fabs(a[i] - b[i]));
  }
  return most / largest_of(a);
}

checkpoints::FactoriseOptions in_double() {
  checkpoints::FactoriseOptions options;
  options.dtype = io::Dtype::f64;
  return options;
}

}  // namespace

TEST_CASE("a factorised net of one group for all classes is the net that was factorised", "[svd]") {
  SvdFiles files;
  std::vector<double> const labels{0, 1, 2, 3, 4, 2};
  for (auto const method : {SvdMethod::kind, SvdMethod::fine}) {
    auto options = in_double();
    options.method = method;
    options.groups = 1;
    // FINE keeps all of a model of one block.
    auto c = sizes;
    c.depth = method == SvdMethod::fine ? 1 : c.depth;
    options.sweeps = 2;
    files.factorise(drawn_dit(c, 11), c, options);
    auto const dense = run_plain(files.path("dense.safetensors"), labels);
    CHECK(largest_of(dense) > 0.1);
    CHECK(apart(dense, run_factors(files.path("factorised.safetensors"), labels)) < 1e-11);
  }
}

TEST_CASE("a recombined model is the gated one for its classes", "[svd]") {
  SvdFiles files;
  auto options = in_double();
  options.groups = 3;
  options.group_of_class = {0, 1, 2, 1, 0};
  files.factorise(drawn_dit(sizes, 12), sizes, options);
  // Classes 1 and 3 have the same tailors: old and new labels, in that order.
  std::vector<double> const old_labels{1, 3, 3, 1, 1, 3};
  std::vector<double> const new_labels{0, 1, 1, 0, 0, 1};
  auto const gated = run_factors(files.path("factorised.safetensors"), old_labels);
  checkpoints::RecombineOptions chosen;
  chosen.classes = {1, 3};
  for (bool const dense : {false, true}) {
    chosen.dense = dense;
    files.recombine(chosen);
    auto const path = files.path("recombined.safetensors");
    CHECK(apart(gated, dense ? run_plain(path, new_labels) : run_factors(path, new_labels)) <
          1e-11);
  }
  // Classes with tailors of their own keep them in factors, and so do samples of no class.
  std::vector<double> const mixed_old{4, 2, 5, 0, 2, 5};
  std::vector<double> const mixed_new{0, 1, 3, 2, 1, 3};
  auto const mixed = run_factors(files.path("factorised.safetensors"), mixed_old);
  chosen.classes = {4, 2, 0};
  chosen.dense = false;
  files.recombine(chosen);
  CHECK(apart(mixed, run_factors(files.path("recombined.safetensors"), mixed_new)) < 1e-11);
  // United they are those of the dense model, which is another function.
  chosen.unite = true;
  files.recombine(chosen, "factorised.safetensors", "united.safetensors");
  chosen.dense = true;
  files.recombine(chosen);
  std::vector<double> const classes{0, 1, 2, 0, 1, 2};
  auto const united = run_factors(files.path("united.safetensors"), classes);
  CHECK(apart(united, run_plain(files.path("recombined.safetensors"), classes)) < 1e-11);
  CHECK(apart(united, run_factors(files.path("factorised.safetensors"), {4, 2, 0, 4, 2, 0})) >
        1e-3);
}

TEST_CASE("dense weights of tailor groups sample as the factors do", "[svd]") {
  SvdFiles files;
  for (auto const method : {SvdMethod::kind, SvdMethod::fine}) {
    auto options = in_double();
    options.method = method;
    options.sweeps = 1;
    files.factorise(drawn_dit(sizes, 13), sizes, options);
    std::vector<double> const labels{0, 5, 4, 1, 5, 3};
    auto const expected = run_factors(files.path("factorised.safetensors"), labels);
    GatedDit dit(files.path("factorised.safetensors"));
    std::vector<std::int64_t> const classes(labels.begin(), labels.end());
    std::vector<std::int64_t> const first{0, 1};  // of one group
    // Nothing dense; some groups; all.
    for (auto const& [asked, how, groups] :
         {std::tuple(std::span(classes), Materialise::never, 0),
          std::tuple(std::span(first), Materialise::always, 1),
          std::tuple(std::span(classes), Materialise::always, method == SvdMethod::kind ? 3 : 1)}) {
      dit.net.choose(asked, 10, false, how);
      dit.net.prepare(dit.ctx, asked, false);
      CHECK(dit.net.dense_groups() == static_cast<std::size_t>(groups));
      CHECK(apart(expected, dit.run(classes)) < 1e-11);
    }
  }
}

TEST_CASE("weights of tailor groups take turns where memory is short", "[svd]") {
  SvdFiles files;
  auto options = in_double();
  options.groups = 3;
  options.group_of_class = {0, 1, 2, 1, 0};
  files.factorise(drawn_dit(sizes, 15), sizes, options);
  GatedDit dit(files.path("factorised.safetensors"));
  std::vector<std::int64_t> const all{0, 1, 2, 5};
  std::size_t const two = 2 * dit.net.group_bytes();
  for (auto const how : {Materialise::always, Materialise::when_it_pays}) {
    dit.net.choose(all, 1000, false, how);
    REQUIRE(dit.net.chosen_groups() == 4);
    for (std::vector<double> const& labels :
         {std::vector<double>{0, 0, 4, 4, 0, 4}, std::vector<double>{1, 3, 3, 1, 1, 3},
          std::vector<double>{2, 2, 5, 5, 2, 5}, std::vector<double>{0, 1, 2, 3, 4, 5}}) {
      std::vector<std::int64_t> const classes(labels.begin(), labels.end());
      dit.net.prepare(dit.ctx, classes, false, two);
      bool const beyond = labels[1] == 1 && how == Materialise::always;
      CHECK(dit.net.dense_groups() <= (beyond ? 4 : 2));
      CHECK(apart(run_factors(files.path("factorised.safetensors"), labels), dit.run(classes)) <
            1e-11);
    }
    CHECK(dit.net.dense_groups() == (how == Materialise::always ? 4 : 2));
    dit.net.choose(all, 1, false, Materialise::never);
    CHECK(dit.net.dense_groups() == 0);
  }
}

TEST_CASE("weights are made dense when that saves work", "[svd]") {
  // DiT-S, r = D: 2 D^2 against D^2 a token and map of that shape; making costs D^3 for a full set.
  FactorisedLayout layout{.groups = 2};
  layout.ranks.fill({192, 192});
  auto const pays = [&](double rows, Index group) {
    return materialising_pays(layout, 384, 4 * 384, rows, group);
  };
  // Square maps: 384 rows save what 192 + 96 components cost; the MLP's save less, 4/5 to 1/4 of
  // it.
  double const work = 12.0 * 384 * 384 * 288;
  double const saving = 18.0 * 384 * 384 - 12.0 * 384 * 384;
  CHECK_FALSE(pays(work / saving - 1, 0));
  CHECK(pays(work / saving + 1, 0));
  CHECK(pays(work / saving * 2 / 3 + 1, no_tailor_group));
  CHECK_FALSE(pays(work / saving * 2 / 3 - 1, no_tailor_group));
  // Few components are cheaper than any dense product.
  layout.ranks.fill({32, 32});
  CHECK_FALSE(pays(1e12, 0));
}

TEST_CASE("a factorised net is saved as it is loaded", "[svd]") {
  SvdFiles files;
  for (auto const method : {SvdMethod::kind, SvdMethod::fine}) {
    checkpoints::FactoriseOptions options;
    options.method = method;
    options.sweeps = 1;
    files.factorise(drawn_dit(sizes, 14), sizes, options);
    io::Checkpoint const checkpoint(files.path("factorised.safetensors"));
    auto const model = checkpoints::read_factorised(checkpoint);
    DitFixture<Factors> dit(checkpoints::dit_config(model.configuration, model.variant), 1,
                            factorised_options(model.layout));
    checkpoints::load_factorised(checkpoint, dit.list);
    checkpoints::save_factorised(files.path("saved.safetensors"), model, dit.list,
                                 checkpoint.metadata(), SvdFiles::forced());
    CHECK(file_bytes(files.path("saved.safetensors")) ==
          file_bytes(files.path("factorised.safetensors")));
    // Numbers of the net, counted, are those of the formula and the dense rest.
    Index factors = 0;
    for (auto const& entry : dit.list) {
      factors += entry.kind == ParameterKind::adapter || entry.kind == ParameterKind::shared
                     ? entry.parameter.size()
                     : 0;
    }
    CHECK(factors == model.layout.count(sizes.depth, sizes.width, sizes.mlp_width));
  }
}

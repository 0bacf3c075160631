// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/shared_svd.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <svd_files.hpp>

namespace {

using namespace dashi;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using checkpoints::FactoriseOptions;

io::DitConfiguration const sizes = small_dit();

FactoriseOptions fine(Index sweeps = 10) { return {.method = SvdMethod::fine, .sweeps = sweeps}; }

std::uint64_t elements(io::Checkpoint const& checkpoint, bool factors) {
  std::uint64_t total = 0;
  for (io::TensorRef const& ref : checkpoint.tensors()) {
    std::string const& name = ref.info.name;
    bool const factor = name.ends_with(".u") || name.ends_with(".v") || name.ends_with(".sigma");
    total += factor == factors ? ref.info.elements() : 0;
  }
  return total;
}

/// Weights of all blocks with vectors in common and sigma of their own.
std::vector<FileTensor> sharing_dit(io::DitConfiguration const& c, unsigned seed) {
  auto tensors = drawn_dit(c, seed);
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  for (FactorisedSite const& site : factorised_sites) {
    LinearShape const shape = site.shape(c.width, c.mlp_width);
    constexpr Index rank = 3;
    std::vector<double> u(static_cast<std::size_t>(rank * shape.out));
    std::vector<double> v(static_cast<std::size_t>(rank * shape.in));
    std::generate(u.begin(), u.end(), [&] { return normal(random); });
    std::generate(v.begin(), v.end(), [&] { return normal(random); });
    for (Index b = 0; b < c.depth; ++b) {
      std::vector<float> w(static_cast<std::size_t>(shape.out * shape.in));
      for (Index r = 0; r < rank; ++r) {
        double const sigma = std::exp(normal(random));
        for (Index i = 0; i < shape.out; ++i) {
          for (Index j = 0; j < shape.in; ++j) {
            w[static_cast<std::size_t>(i * shape.in + j)] +=
                static_cast<float>(sigma * u[static_cast<std::size_t>(r * shape.out + i)] *
                                   v[static_cast<std::size_t>(r * shape.in + j)]);
          }
        }
      }
      auto& tensor =
          find_tensor(tensors, "blocks." + std::to_string(b) + "." + std::string(site.weight));
      auto const bytes = std::as_bytes(std::span(w));
      auto const first = std::max<Index>(0, site.third) * static_cast<Index>(bytes.size());
      std::copy(bytes.begin(), bytes.end(), tensor.bytes.begin() + first);
    }
  }
  return tensors;
}

/// The original model and the dense one that its factors give.
void check_dense_again(SvdFiles& files, double tolerance) {
  checkpoints::RecombineOptions options;
  options.dense = true;
  files.recombine(options);
  io::Checkpoint const before(files.path("dense.safetensors"));
  io::Checkpoint const after(files.path("recombined.safetensors"));
  REQUIRE(before.tensors().size() == after.tensors().size());
  double moved = 0;
  for (io::TensorRef const& ref : before.tensors()) {
    INFO(ref.info.name);
    REQUIRE(after.find(ref.info.name) != nullptr);
    CHECK(after.find(ref.info.name)->info.shape == ref.info.shape);
    double const difference = largest_difference(before, after, ref.info.name);
    CHECK(difference <= (checkpoints::is_factorised(ref.info.name) ? tolerance : 0.0));
    moved = std::max(moved, difference);
  }
  CHECK(moved > 0);  // the weights have been through a decomposition
  CHECK(checkpoints::read_dit_model(after).configuration ==
        checkpoints::read_dit_model(before).configuration);
}

}  // namespace

TEST_CASE("a DiT in KIND's factors is the same DiT again", "[svd]") {
  SvdFiles files;
  auto const result = files.factorise(drawn_dit(sizes, 1), sizes, {});
  check_dense_again(files, 1e-6);
  io::Checkpoint const checkpoint(files.path("factorised.safetensors"));
  auto const model = checkpoints::read_factorised(checkpoint);
  CHECK(model.configuration == sizes);
  CHECK(io::dialect(checkpoint).dialect == io::Dialect::dit_factorised);
  for (FactorisedLayout::Ranks const& ranks : model.layout.ranks) {  // half of 12, as of 20 x 12
    CHECK(ranks == FactorisedLayout::Ranks{6, 6});
  }
  CHECK(model.layout.group_of_class == std::vector<Index>{0, 0, 0, 1, 1});
  // 6 maps in each block, with singular values that only fall.
  REQUIRE(result.energies.size() == 18);
  for (checkpoints::FactorEnergy const& energy : result.energies) {
    INFO(energy.map);
    CHECK(std::fabs(energy.kept - 1) < 1e-12);
    CHECK(energy.learngene > 0.5);
    CHECK(energy.learngene < 0.999);
    auto sigma = read_values<float>(checkpoint, energy.map + ".learngene.sigma");
    auto const rest = read_values<float>(checkpoint, energy.map + ".tailors.sigma");
    sigma.insert(sigma.end(), rest.begin(), rest.end());
    CHECK(std::is_sorted(sigma.rbegin(), sigma.rend()));
  }
}

TEST_CASE("factors of a DiT in diffusers names are those of the original", "[svd]") {
  SvdFiles files;
  auto const tensors = drawn_dit(sizes, 2);
  files.factorise(tensors, sizes, {}, "original.safetensors");
  (void)write_member(files.path("dense.safetensors"), diffusers_dit(sizes, tensors), "1",
                     dit_metadata_of(sizes));
  io::Checkpoint const checkpoint(files.path("dense.safetensors"));
  io::DitModel const model = checkpoints::read_dit_model(checkpoint);
  REQUIRE(model.dialect == io::Dialect::dit_diffusers);
  Context<Kokkos::DefaultHostExecutionSpace> ctx;
  checkpoints::factorise(ctx, checkpoints::plan_factorise(checkpoint, model, {}),
                         checkpoint.metadata(), files.path("factorised.safetensors"),
                         SvdFiles::forced());
  CHECK(file_bytes(files.path("original.safetensors")) ==
        file_bytes(files.path("factorised.safetensors")));
}

TEST_CASE("sizes of the learngene and the tailors can be chosen", "[svd]") {
  SvdFiles files;
  FactoriseOptions options;
  options.learngene = 3;
  options.tailors = 6;
  options.groups = 3;
  options.group_of_class = {2, 0, 0, 1, 2};
  auto const result = files.factorise(drawn_dit(sizes, 3), sizes, options);
  io::Checkpoint const checkpoint(files.path("factorised.safetensors"));
  auto const model = checkpoints::read_factorised(checkpoint);
  CHECK(model.layout.ranks[4] == FactorisedLayout::Ranks{3, 6});
  CHECK(model.layout.groups == 3);
  CHECK(model.layout.group_of_class == options.group_of_class);
  CHECK(result.energies.front().kept < 1);
  CHECK(result.energies.front().kept > result.energies.front().learngene);
  // By formula and by counting.
  Index by_adapter = 0;
  for (FactorisedSite const& site : factorised_sites) {
    by_adapter += sizes.depth * GatedSvd{.learngene = 3, .tailors = 6, .groups = 3}.count(
                                    site.shape(sizes.width, sizes.mlp_width));
  }
  CHECK(model.layout.count(sizes.depth, sizes.width, sizes.mlp_width) == by_adapter);
  CHECK(static_cast<Index>(elements(checkpoint, true)) == by_adapter);
  std::uint64_t dense = io::dit_parameters(sizes);
  for (FactorisedSite const& site : factorised_sites) {
    LinearShape const shape = site.shape(sizes.width, sizes.mlp_width);
    dense -= static_cast<std::uint64_t>(sizes.depth * shape.out * shape.in);
  }
  CHECK(elements(checkpoint, false) == dense);
  for (auto const& [change, sentence] :
       std::vector<std::pair<std::function<void(FactoriseOptions&)>, char const*>>{
           {[](auto& o) { o.tailors = 7; }, "7 tailors, expected a multiple of the 3 groups"},
           {[](auto& o) { o.learngene = 7; }, "a learngene of 7 and 6 tailors, expected 1 to 12"},
           {[](auto& o) {
              o.group_of_class = {0, 1};
            },
            "groups of 2 classes"},
           {[](auto& o) { o.group_of_class[1] = 3; }, "a class in tailor group 3"},
           {[](auto& o) { o.groups = 0; }, "0 groups of tailors"},
           {[](auto& o) { o.dtype = io::Dtype::i64; }, "factors of I64"}}) {
    FactoriseOptions wrong = options;
    change(wrong);
    CHECK_THROWS_MATCHES(files.factorise(drawn_dit(sizes, 3), sizes, wrong, "wrong.safetensors"),
                         UsageError, MessageMatches(ContainsSubstring(sentence)));
    CHECK_FALSE(std::filesystem::exists(files.path("wrong.safetensors")));
  }
}

TEST_CASE("FINE finds vectors that blocks share", "[svd]") {
  SvdFiles files;
  auto c = sizes;
  c.depth = 6;
  auto options = fine(300);
  options.rank = 3;
  auto const result = files.factorise(sharing_dit(c, 4), c, options);
  for (checkpoints::FactorEnergy const& energy : result.energies) {
    INFO(energy.map);
    CHECK(energy.kept > 1 - 1e-9);
  }
  check_dense_again(files, 1e-3);
  io::Checkpoint const checkpoint(files.path("factorised.safetensors"));
  auto const model = checkpoints::read_factorised(checkpoint);
  Index expected = 0;
  for (FactorisedSite const& site : factorised_sites) {
    LinearShape const shape = site.shape(c.width, c.mlp_width);
    SharedSvd const adapter{.rank = 3};
    expected += adapter.shared_count(shape) + c.depth * adapter.count(shape);
  }
  CHECK(model.layout.count(c.depth, c.width, c.mlp_width) == expected);
  CHECK(static_cast<Index>(elements(checkpoint, true)) == expected);
}

TEST_CASE("sweeps of FINE's fit never raise its error", "[svd]") {
  SvdFiles files;
  (void)write_member(files.path("dense.safetensors"), drawn_dit(sizes, 5), "1",
                     dit_metadata_of(sizes));
  io::Checkpoint const checkpoint(files.path("dense.safetensors"));
  io::DitModel const model = checkpoints::read_dit_model(checkpoint);
  checkpoints::FactoriseSource const source(checkpoint, model);
  Context<Kokkos::DefaultHostExecutionSpace> ctx;
  for (std::size_t const site : {std::size_t{0}, std::size_t{4}, std::size_t{5}}) {
    LinearShape const shape = factorised_sites[site].shape(sizes.width, sizes.mlp_width);
    checkpoints::SharedSvdFit fit(ctx, shape, sizes.depth, 12, [&](Index l, std::span<double> w) {
      source.read_weight(site, l, w);
    });
    std::vector<double> errors;
    fit.run(8, [&] { errors.push_back(fit.error()); });
    REQUIRE(errors.size() == 9);
    for (std::size_t i = 1; i < errors.size(); ++i) {
      CHECK(errors[i] <= errors[i - 1] * (1 + 1e-12));
    }
    CHECK(errors.back() < 0.9 * errors.front());
    // The error is that of the factors.
    double error = 0;
    std::vector<double> w(static_cast<std::size_t>(shape.out * shape.in));
    for (Index l = 0; l < sizes.depth; ++l) {
      source.read_weight(site, l, w);
      for (Index i = 0; i < shape.out; ++i) {
        for (Index j = 0; j < shape.in; ++j) {
          double left = w[static_cast<std::size_t>(i * shape.in + j)];
          for (std::size_t r = 0; r < 12; ++r) {
            left -= fit.sigma(l)[r] *
                    fit.u()[r * static_cast<std::size_t>(shape.out) + static_cast<std::size_t>(i)] *
                    fit.v()[r * static_cast<std::size_t>(shape.in) + static_cast<std::size_t>(j)];
          }
          error += left * left;
        }
      }
    }
    CHECK(std::fabs(error - fit.error()) < 1e-9 * error);
  }
}

TEST_CASE("a recombination keeps the tailors and labels of its classes", "[svd]") {
  SvdFiles files;
  FactoriseOptions options;
  options.groups = 3;
  options.group_of_class = {0, 1, 2, 1, 0};
  files.factorise(drawn_dit(sizes, 6), sizes, options);
  checkpoints::RecombineOptions chosen;
  chosen.classes = {4, 2};
  files.recombine(chosen);
  io::Checkpoint const from(files.path("factorised.safetensors"));
  io::Checkpoint const to(files.path("recombined.safetensors"));
  auto const model = checkpoints::read_factorised(to);
  CHECK(model.layout.groups == 2);
  CHECK(model.layout.group_of_class == std::vector<Index>{0, 1});
  CHECK(model.layout.ranks[0] == FactorisedLayout::Ranks{6, 4});
  CHECK(model.configuration.classes == 2);
  auto const rows = [&](std::vector<float> const& all, std::ptrdiff_t width,
                        std::vector<std::ptrdiff_t> const& which) {
    std::vector<float> out;
    for (std::ptrdiff_t const row : which) {
      out.insert(out.end(), all.begin() + row * width, all.begin() + (row + 1) * width);
    }
    return out;
  };
  std::string const table = "y_embedder.embedding_table.weight";
  CHECK(read_values<float>(to, table) == rows(read_values<float>(from, table), 12, {4, 2, 5}));
  std::string const tailors = "blocks.1.mlp.fc2.tailors.";
  CHECK(read_values<float>(to, tailors + "v") ==
        rows(read_values<float>(from, tailors + "v"), 20, {0, 1, 4, 5}));
  CHECK(read_values<float>(to, tailors + "sigma") ==
        rows(read_values<float>(from, tailors + "sigma"), 1, {0, 1, 4, 5}));
  for (char const* const name : {"blocks.2.attn.qkv.key.learngene.u", "blocks.0.attn.qkv.bias"}) {
    CHECK(read_values<float>(to, name) == read_values<float>(from, name));
  }
  // For all classes, and with their labels.
  chosen.unite = true;
  chosen.keep_labels = true;
  files.recombine(chosen);
  io::Checkpoint const united(files.path("recombined.safetensors"));
  auto const all = checkpoints::read_factorised(united);
  CHECK(all.layout.groups == 1);
  CHECK(all.layout.group_of_class == std::vector<Index>(5, 0));
  CHECK(all.layout.ranks[0] == FactorisedLayout::Ranks{6, 4});
  CHECK(read_values<float>(united, table) == read_values<float>(from, table));
  for (auto const& [classes, keep, sentence] :
       std::vector<std::tuple<std::vector<Index>, bool, char const*>>{
           {{4, 5}, false, "class 5, expected 0 to 4"},
           {{1, 1}, false, "class 1 twice"},
           {{4, 2}, true, "class 1 with its label and without its tailors"}}) {
    checkpoints::RecombineOptions wrong;
    wrong.classes = classes;
    wrong.keep_labels = keep;
    CHECK_THROWS_MATCHES(files.recombine(wrong, "factorised.safetensors", "wrong.safetensors"),
                         UsageError, MessageMatches(ContainsSubstring(sentence)));
  }
}

TEST_CASE("a transfer keeps the learngene and draws the rest", "[svd]") {
  SvdFiles files;
  files.factorise(drawn_dit(sizes, 7), sizes, {});
  checkpoints::TransferOptions options;
  options.classes = checkpoints::ClassGroups{3, 3, {2, 0, 1}};
  options.seed = 9;
  files.transfer(options);
  std::string const once = file_bytes(files.path("transferred.safetensors"));
  files.transfer(options);
  CHECK(file_bytes(files.path("transferred.safetensors")) == once);
  io::Checkpoint const from(files.path("factorised.safetensors"));
  io::Checkpoint const to(files.path("transferred.safetensors"));
  auto const model = checkpoints::read_factorised(to);
  CHECK(model.configuration.classes == 3);
  CHECK(model.layout.groups == 3);
  CHECK(model.layout.group_of_class == std::vector<Index>{2, 0, 1});
  for (io::TensorRef const& ref : to.tensors()) {
    INFO(ref.info.name);
    bool const drawn = ref.info.name.find(".tailors.") != std::string::npos ||
                       ref.info.name == "y_embedder.embedding_table.weight";
    bool const equal =
        read_values<float>(to, ref.info.name) == read_values<float>(from, ref.info.name);
    CHECK(equal != drawn);
  }
  auto const table = read_values<float>(to, "y_embedder.embedding_table.weight");
  auto const before = read_values<float>(from, "y_embedder.embedding_table.weight");
  REQUIRE(table.size() == 48);
  CHECK(std::equal(table.end() - 12, table.end(), before.end() - 12));
  // New tailors are as large as those that went.
  auto const sigma = read_values<float>(to, "blocks.0.attn.proj.tailors.sigma");
  double sum = 0;
  for (float const value : read_values<float>(from, "blocks.0.attn.proj.tailors.sigma")) {
    sum += static_cast<double>(value) * static_cast<double>(value) / 6;
  }
  for (float const value : sigma) {
    CHECK(std::fabs(static_cast<double>(value) - std::sqrt(sum)) < 1e-6);
  }
  options.seed = 10;
  files.transfer(options);
  CHECK(file_bytes(files.path("transferred.safetensors")) != once);
  options.tailors = 5;
  CHECK_THROWS_MATCHES(files.transfer(options), UsageError,
                       MessageMatches(ContainsSubstring("5 tailors, expected a multiple")));
  checkpoints::TransferOptions deeper;
  deeper.depth = 4;
  CHECK_THROWS_MATCHES(files.transfer(deeper), UsageError,
                       MessageMatches(ContainsSubstring("no new classes")));
}

TEST_CASE("FINE's vectors serve another depth", "[svd]") {
  SvdFiles files;
  files.factorise(sharing_dit(sizes, 8), sizes, fine());
  checkpoints::TransferOptions options;
  options.depth = 6;
  files.transfer(options);
  io::Checkpoint const from(files.path("factorised.safetensors"));
  io::Checkpoint const to(files.path("transferred.safetensors"));
  auto const model = checkpoints::read_factorised(to);
  CHECK(model.configuration.depth == 6);
  CHECK(read_values<float>(to, "shared.blocks.mlp.fc1.u") ==
        read_values<float>(from, "shared.blocks.mlp.fc1.u"));
  // Block k of 6 is at height (k + 1/2) / 2 - 1/2 of 3.
  auto const at = [&](io::Checkpoint const& file, int block) {
    return read_values<float>(file, "blocks." + std::to_string(block) + ".attn.proj.sigma");
  };
  CHECK(at(to, 0) == at(from, 0));
  CHECK(at(to, 5) == at(from, 2));
  for (std::size_t j = 0; j < 12; ++j) {
    CHECK(std::fabs(at(to, 2)[j] - (0.25F * at(from, 0)[j] + 0.75F * at(from, 1)[j])) < 1e-5F);
  }
  CHECK(read_values<float>(to, "blocks.3.attn.qkv.bias") ==
        read_values<float>(from, "blocks.1.attn.qkv.bias"));
  options.random_sigma = true;
  files.transfer(options);
  io::Checkpoint const drawn(files.path("transferred.safetensors"));
  CHECK(at(drawn, 0) != at(from, 0));
  CHECK(at(drawn, 0) != at(drawn, 1));
}

TEST_CASE("each wrong size of a factorised file has its sentence", "[svd]") {
  SvdFiles files;
  files.factorise(drawn_dit(sizes, 9), sizes, {});
  files.factorise(drawn_dit(sizes, 9), sizes, fine(1), "fine.safetensors");
  using Tensors = std::vector<FileTensor>;
  using Metadata = std::map<std::string, std::string>;
  struct Wrong {
    std::function<void(Tensors&, Metadata&)> change;
    char const* sentence;
    char const* file = "factorised.safetensors";
  };
  auto const resized = [](char const* name, std::vector<std::uint64_t> shape) {
    return [=](Tensors& tensors, Metadata&) {
      FileTensor& tensor = find_tensor(tensors, name);
      tensor.shape = shape;
      tensor.bytes.resize(4 * element_count(shape));
    };
  };
  auto const without = [](char const* name) {
    return [=](Tensors& tensors, Metadata&) {
      std::erase_if(tensors, [&](FileTensor const& tensor) { return tensor.name == name; });
    };
  };
  auto const said = [](char const* key, char const* value) {
    return [=](Tensors&, Metadata& metadata) { metadata[key] = value; };
  };
  std::vector<Wrong> const cases{
      {said("dashi.format", "factorised-dit 2"), "'factorised-dit 2', expected 'factorised-dit 1'"},
      {[](Tensors&, Metadata& m) { m.erase("dashi.format"); }, "'dashi.format': no such key"},
      {said("dashi.factorisation", "svd"), "'svd', expected 'kind' or 'fine'"},
      {said("dashi.tailor_groups", "0"), "'0', expected a number of groups, 1 or more"},
      {said("dashi.tailor_groups", "4"), "6 tailors, expected a multiple of the 4 groups"},
      {said("dashi.class_groups", "0 0 1 2 1"), "class 3 in tailor group 2"},
      {said("dashi.class_groups", "0 0 1 1"), "4 classes, expected 5, as the label table has"},
      {said("dashi.class_groups", "0,1"), "expected numbers of groups with a space between them"},
      {[](Tensors&, Metadata& m) { m.erase("dashi.heads"); }, "'dashi.heads': no such key"},
      {resized("blocks.1.attn.proj.tailors.u", {6, 11}), "expected vectors of 12, the outputs"},
      {resized("blocks.1.mlp.fc2.learngene.v", {6, 12}), "expected vectors of 20, the inputs"},
      {resized("blocks.0.mlp.fc1.learngene.v", {5, 12}), "expected 6 components, as"},
      {resized("blocks.0.mlp.fc1.learngene.sigma", {7}), "expected 6 singular values, as"},
      {resized("blocks.0.mlp.fc1.learngene.u", {120}), "shape [120], expected 2 extents"},
      {[&](Tensors& t, Metadata& m) {
         for (char const* const part : {"u", "v", "sigma"}) {
           bool const one = part[0] == 's';
           resized(("blocks.2.mlp.fc2.tailors." + std::string(part)).c_str(),
                   one ? std::vector<std::uint64_t>{4}
                       : std::vector<std::uint64_t>{4, part[0] == 'u' ? 12U : 20U})(t, m);
         }
       },
       "map 'blocks.2.mlp.fc2': 4 tailors, expected 6, as in block 0"},
      {without("blocks.1.attn.qkv.key.learngene.sigma"),
       "no such tensor, expected u, v and sigma, or none of the three"},
      {without("blocks.1.mlp.fc1.bias"), "'blocks.1.mlp.fc1.bias': no such tensor"},
      {resized("blocks.1.attn.proj.bias", {13}), "shape [13], expected [12], as the other"},
      {[](Tensors& t, Metadata&) {
         t.push_back(file_tensor("extra", io::Dtype::f32, {1}, std::vector<float>{1}));
       },
       "1 tensors with no place in it: extra"},
      {without("shared.blocks.attn.proj.v"), "expected u, v and sigma", "fine.safetensors"},
      {resized("blocks.2.attn.qkv.value.sigma", {11}), "expected 12 singular values",
       "fine.safetensors"}};
  for (Wrong const& wrong : cases) {
    INFO(wrong.sentence);
    io::Checkpoint const good(files.path(wrong.file));
    Tensors tensors;
    for (io::TensorRef const& ref : good.tensors()) {
      tensors.push_back(file_tensor(ref.info.name, ref.info.dtype, ref.info.shape,
                                    read_values<float>(good, ref.info.name)));
    }
    Metadata metadata = good.metadata();
    wrong.change(tensors, metadata);
    (void)write_member(files.path("wrong.safetensors"), tensors, "1", metadata);
    io::Checkpoint const checkpoint(files.path("wrong.safetensors"));
    CHECK_THROWS_MATCHES(checkpoints::read_factorised(checkpoint), FormatError,
                         MessageMatches(ContainsSubstring(wrong.sentence)));
  }
}

TEST_CASE("counts of KIND and FINE on DiT", "[svd]") {
  // r = D on L/2 and B/2: U and V of qkv, o, in, out and adaLN have 23 D^2 numbers, sigma 5 D a
  // block (FINE names these five); here q, k and v are apart and adaLN is dense.
  for (auto const& [width, depth, vectors, values] :
       {std::tuple<Index, Index, Index, Index>{768, 12, 13565952, 46080},
        std::tuple<Index, Index, Index, Index>{1024, 24, 24117248, 122880}}) {
    SharedSvd const adapter;
    Index shared = 0;
    Index own = 0;
    for (LinearShape const shape :
         {LinearShape{3 * width, width}, LinearShape{width, width}, LinearShape{4 * width, width},
          LinearShape{width, 4 * width}, LinearShape{6 * width, width}}) {
      shared += adapter.shared_count(shape);
      own += depth * adapter.count(shape);
    }
    CHECK(shared == vectors);
    CHECK(shared == 23 * width * width);
    CHECK(own == values);
    FactorisedLayout layout{.method = SvdMethod::fine};
    layout.ranks.fill({width, 0});
    CHECK(layout.count(depth, width, 4 * width) == 18 * width * width + 6 * width * depth);
  }
  // KIND on DiT-L/2 at 256: separate q, k and v cost 18 D a component, token and block; a fused qkv
  // 16 D. The saving of 35.4 GMAC that the paper names means 370 components, or 416 when fused.
  constexpr Index width = 1024;
  constexpr double tokens = 256 * 24;
  FactorisedLayout one;
  one.ranks.fill({1, 0});
  double const separate = static_cast<double>(one.macs(width, 4 * width)) * tokens / 1e9;
  double const fused = separate - 2.0 * width * tokens / 1e9;
  CHECK(std::fabs(separate - 0.113246) < 5e-7);
  CHECK(std::fabs(fused - 0.100663) < 5e-7);
  double const dense = 12.0 * width * width * tokens / 1e9;
  auto const saving = [&](double cost, int rank) { return dense - cost * rank; };
  for (int rank = 1; rank <= 1024; ++rank) {
    CHECK((std::fabs(saving(separate, rank) - 35.4) <= 0.05) == (rank == 370));
    CHECK((std::fabs(saving(fused, rank) - 35.4) <= 0.05) == (rank == 416));
  }
  // Half of the tailors of KIND's defaults: three quarters of all components.
  FactorisedLayout half{.groups = 2};
  half.ranks.fill({512, 512});
  CHECK(half.macs(width, 4 * width, true) * 4 == half.macs(width, 4 * width) * 3);
}

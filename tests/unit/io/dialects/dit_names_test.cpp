// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/dialects/dit_names.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace dashi;
using io::Dialect;
using io::DitNames;
using io::DitStorage;

namespace {

using Names = std::vector<std::string>;

io::DitName const& entry_of(DitNames const& names, std::string const& original) {
  auto const* const place = names.find_original(original);
  REQUIRE(place != nullptr);
  return names.entries()[place->entry];
}

}  // namespace

TEST_CASE("a DiT has as many tensors in each dialect as its papers' code") {
  for (auto const& [depth, original, diffusers] :
       {std::tuple(std::int64_t{12}, 132U, 234U), std::tuple(std::int64_t{24}, 252U, 462U),
        std::tuple(std::int64_t{28}, 292U, 538U), std::tuple(std::int64_t{0}, 12U, 6U)}) {
    DitNames const names(depth);
    Names const here = names.names(Dialect::dit_original);
    Names const there = names.names(Dialect::dit_diffusers);
    CHECK(here.size() == original);
    CHECK(there.size() == diffusers);
    CHECK(std::set<std::string>(here.begin(), here.end()).size() == original);
    CHECK(std::set<std::string>(there.begin(), there.end()).size() == diffusers);
  }
}

TEST_CASE("every kind of tensor has its other name") {
  DitNames const names(2);
  struct Row {
    std::string original;
    DitStorage how;
    Names diffusers;
  };
  std::string const embedder = ".norm1.emb.timestep_embedder.linear_";
  std::vector<Row> const rows{
      {"pos_embed", DitStorage::absent, {}},
      {"x_embedder.proj.weight", DitStorage::same, {"pos_embed.proj.weight"}},
      {"t_embedder.mlp.0.bias",
       DitStorage::every_block,
       {"transformer_blocks.0" + embedder + "1.bias",
        "transformer_blocks.1" + embedder + "1.bias"}},
      {"t_embedder.mlp.2.weight",
       DitStorage::every_block,
       {"transformer_blocks.0" + embedder + "2.weight",
        "transformer_blocks.1" + embedder + "2.weight"}},
      {"y_embedder.embedding_table.weight",
       DitStorage::every_block,
       {"transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight",
        "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"}},
      {"blocks.1.adaLN_modulation.1.weight",
       DitStorage::same,
       {"transformer_blocks.1.norm1.linear.weight"}},
      {"blocks.1.attn.qkv.bias",
       DitStorage::row_thirds,
       {"transformer_blocks.1.attn1.to_q.bias", "transformer_blocks.1.attn1.to_k.bias",
        "transformer_blocks.1.attn1.to_v.bias"}},
      {"blocks.0.attn.proj.weight",
       DitStorage::same,
       {"transformer_blocks.0.attn1.to_out.0.weight"}},
      {"blocks.0.mlp.fc1.bias", DitStorage::same, {"transformer_blocks.0.ff.net.0.proj.bias"}},
      {"blocks.0.mlp.fc2.weight", DitStorage::same, {"transformer_blocks.0.ff.net.2.weight"}},
      {"final_layer.adaLN_modulation.1.bias", DitStorage::same, {"proj_out_1.bias"}},
      {"final_layer.linear.weight", DitStorage::same, {"proj_out_2.weight"}}};
  for (Row const& row : rows) {
    INFO(row.original);
    io::DitName const& entry = entry_of(names, row.original);
    CHECK(entry.how == row.how);
    CHECK(entry.diffusers == row.diffusers);
    for (std::size_t part = 0; part < row.diffusers.size(); ++part) {
      auto const* const place = names.find_diffusers(row.diffusers[part]);
      REQUIRE(place != nullptr);
      CHECK(names.entries()[place->entry].original == row.original);
      CHECK(place->part == part);
    }
  }
  CHECK(names.find_original("blocks.2.attn.qkv.weight") == nullptr);
  CHECK(names.find_diffusers("pos_embed.pos_embed") == nullptr);
  CHECK(names.find_diffusers("x_embedder.proj.weight") == nullptr);
  CHECK_THROWS_AS(DitNames(-1), PreconditionError);
}

TEST_CASE("lists of names are translated both ways, and what is unknown is said") {
  DitNames const names(3);
  Names const original = names.names(Dialect::dit_original);
  Names const diffusers = names.names(Dialect::dit_diffusers);
  auto const there = io::translate_names(names, Dialect::dit_original, original);
  CHECK(there.unknown.empty());
  CHECK(there.names == diffusers);
  auto back = io::translate_names(names, Dialect::dit_diffusers, there.names);
  CHECK(back.unknown.empty());
  back.names.insert(back.names.begin(), "pos_embed");
  CHECK(back.names == original);
  auto const odd = io::translate_names(names, Dialect::dit_original,
                                       {"blocks.0.attn.proj.bias", "head.weight", "blocks.3.x"});
  CHECK(odd.names == Names{"transformer_blocks.0.attn1.to_out.0.bias"});
  CHECK(odd.unknown == Names{"head.weight", "blocks.3.x"});
}

TEST_CASE("names are compared with those of a model") {
  DitNames const names(1);
  Names list = names.names(Dialect::dit_diffusers);
  CHECK(io::compare_names(names, Dialect::dit_diffusers, list).empty());
  std::reverse(list.begin(), list.end());
  list.erase(std::find(list.begin(), list.end(), "proj_out_1.bias"));
  list.push_back("ema.decay");
  auto const difference = io::compare_names(names, Dialect::dit_diffusers, list);
  CHECK(difference.unknown == Names{"ema.decay"});
  CHECK(difference.missing == Names{"proj_out_1.bias"});
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/convert_dit.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/io/commit_with_text.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <dit_files.hpp>
#include <shared_data.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using io::Dialect;
using test::FileTensor;
using Metadata = std::map<std::string, std::string>;

struct DitFiles {
  merging::PrivateFolder folder{std::filesystem::temp_directory_path()};

  std::filesystem::path at(std::string const& name) const {
    return folder.path() / (name + ".safetensors");
  }
  io::Checkpoint write(std::string const& name, std::vector<FileTensor> const& tensors,
                       Metadata const& metadata = {}) const {
    test::write_member(at(name), tensors, "1", metadata);
    return io::Checkpoint(at(name));
  }
  /// Converts and opens the result.
  io::Checkpoint convert(io::Checkpoint const& in, Dialect to, std::string const& name,
                         io::CheckpointOutput const& output = {}, int workers = 1) const {
    checkpoints::StreamOptions const stream{.workers = workers};
    auto const plan = checkpoints::plan_dit_conversion(in, to);
    checkpoints::check_dit_conversion(plan, false, stream);
    auto const provenance = checkpoints::dit_provenance(plan, true, stream);
    return io::Checkpoint(
        checkpoints::convert_dit(plan, provenance.metadata, at(name), output, stream).path);
  }
};

void check_same_tensors(io::Checkpoint const& found, std::vector<FileTensor> expected) {
  REQUIRE(found.tensors().size() == expected.size());
  for (FileTensor const& tensor : expected) {
    INFO(tensor.name);
    auto const* const ref = found.find(tensor.name);
    REQUIRE(ref != nullptr);
    CHECK(ref->info.dtype == tensor.dtype);
    CHECK(ref->info.shape == tensor.shape);
    CHECK((test::read_values<std::byte>(found, tensor.name) == tensor.bytes));
  }
}

/// The diagnosis of what `call` throws.
template <class Call>
Diagnosis failure(Call const& call) {
  try {
    call();
  } catch (FormatError const& error) {
    return error.diagnosis();
  }
  return {};
}

TEST_CASE("original names become diffusers names, byte for byte", "[checkpoints]") {
  for (auto const dtype : {io::Dtype::f32, io::Dtype::bf16, io::Dtype::f64, io::Dtype::f8_e5m2}) {
    DitFiles const files;
    auto const c = test::small_dit();
    auto const tensors = test::original_dit(c, dtype, 7);
    auto const in = files.write("in", tensors);
    auto const out = files.convert(in, Dialect::dit_diffusers, "out");
    check_same_tensors(out, test::diffusers_dit(c, tensors));
    check_same_tensors(files.convert(out, Dialect::dit_original, "back"), tensors);
  }
}

TEST_CASE("a model in diffusers names becomes one in original names", "[checkpoints]") {
  DitFiles const files;
  auto const c = test::small_dit();
  auto const tensors = test::original_dit(c, io::Dtype::f16, 8);
  auto const in = files.write("in", test::diffusers_dit(c, tensors),
                              {{"dashi.input_height", "8"}, {"dashi.input_width", "8"}});
  auto const out = files.convert(in, Dialect::dit_original, "out");
  check_same_tensors(out, tensors);
  // The function stays what it was: the habits of diffusers are written down.
  CHECK(io::read_dit(out).variant == io::DitVariant::diffusers());
  CHECK(out.metadata().at("dashi.time_divisor") == "127");
}

TEST_CASE("there and back is the same file", "[checkpoints]") {
  DitFiles const files;
  auto const tensors = test::original_dit(test::small_dit(), io::Dtype::bf16, 9);
  for (Metadata const& metadata :
       {Metadata{}, Metadata{{"format", "pt"}},
        Metadata{{"dashi.heads", "3"}, {"dashi.version", "0.0.1"}, {"dashi.time_divisor", "127"}},
        Metadata{{"dashi.convert", R"({"dtype":"BF16","input":"a","rules":[]})"}}}) {
    auto const in = files.write("in", tensors, metadata);
    auto const there =
        files.convert(in, Dialect::dit_diffusers, "there", {.file = {.force = true}});
    CHECK(io::read_dit(there).variant == io::read_dit(in).variant);
    files.convert(there, Dialect::dit_original, "back", {.file = {.force = true}});
    CHECK((test::file_bytes(files.at("back")) == test::file_bytes(files.at("in"))));
  }
}

TEST_CASE("there and back is the same set of shards", "[checkpoints]") {
  DitFiles const files;
  auto const in = files.write("in", test::original_dit(test::small_dit(), io::Dtype::f32, 10),
                              {{"format", "pt"}});
  io::CheckpointOutput const shards{.file = {}, .largest_shard = 20'000};
  io::Checkpoint const set(checkpoints::reshard(in, files.at("set"), shards).path);
  REQUIRE(set.files().size() > 2);
  auto const there = files.convert(set, Dialect::dit_diffusers, "there", shards, 3);
  REQUIRE(there.files().size() > 2);
  auto const back = files.convert(there, Dialect::dit_original, "back", shards, 2);
  REQUIRE(back.files().size() == set.files().size());
  for (std::size_t f = 0; f < set.files().size(); ++f) {
    CHECK((test::file_bytes(back.files()[f].file().path()) ==
           test::file_bytes(set.files()[f].file().path())));
  }
}

TEST_CASE("threads do not change a byte of a renamed file", "[checkpoints]") {
  DitFiles const files;
  auto const in = files.write("in", test::original_dit(test::small_dit(), io::Dtype::f32, 11));
  files.convert(in, Dialect::dit_diffusers, "one", {}, 1);
  files.convert(in, Dialect::dit_diffusers, "four", {}, 4);
  CHECK((test::file_bytes(files.at("one")) == test::file_bytes(files.at("four"))));
}

TEST_CASE("a changed file does not come back under the old metadata", "[checkpoints]") {
  DitFiles const files;
  auto const c = test::small_dit();
  auto tensors = test::original_dit(c, io::Dtype::f32, 12);
  auto const in = files.write("in", tensors, {{"dashi.merge", "who made it"}});
  auto const there = files.convert(in, Dialect::dit_diffusers, "there");
  test::find_tensor(tensors, "blocks.1.mlp.fc1.weight").bytes[5] ^= std::byte{1};
  auto const changed = files.write("changed", test::diffusers_dit(c, tensors), there.metadata());
  auto const plan = checkpoints::plan_dit_conversion(changed, Dialect::dit_original);
  auto const provenance = checkpoints::dit_provenance(plan, true);
  CHECK_FALSE(provenance.restored);
  CHECK(provenance.metadata.at("dashi.convert").find(provenance.digest) != std::string::npos);
  CHECK(checkpoints::dit_provenance(checkpoints::plan_dit_conversion(there, Dialect::dit_original),
                                    true)
            .restored);
}

TEST_CASE("the table of positions keeps its own dtype", "[checkpoints]") {
  DitFiles const files;
  auto const c = test::small_dit();
  auto tensors = test::original_dit(c, io::Dtype::bf16, 13);
  auto wide = test::original_dit(c, io::Dtype::f32, 13);
  test::find_tensor(tensors, "pos_embed") = test::find_tensor(wide, "pos_embed");
  auto const in = files.write("in", tensors);
  auto const there = files.convert(in, Dialect::dit_diffusers, "there");
  check_same_tensors(files.convert(there, Dialect::dit_original, "back"), tensors);
}

TEST_CASE("a table of positions that differs is not lost silently", "[checkpoints]") {
  DitFiles const files;
  auto tensors = test::original_dit(test::small_dit(), io::Dtype::f32, 14);
  auto& bytes = test::find_tensor(tensors, "pos_embed").bytes;
  bytes[4 * 30] ^= std::byte{1};
  bytes[4 * 77 + 3] ^= std::byte{0x80};  // the sign
  auto const in = files.write("in", tensors);
  auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_diffusers);
  auto const diagnosis = failure([&] { checkpoints::check_dit_conversion(plan, false); });
  CHECK(diagnosis.code == "positions-differ");
  CHECK(diagnosis.place == "tensor 'pos_embed' element 30");
  CHECK(diagnosis.found.starts_with("2 of 192 entries that differ, by up to "));
  auto const difference = checkpoints::check_dit_conversion(plan, true);
  CHECK(difference.count == 2);
  CHECK(difference.first == 30);
  double const entry = (*plan.positions)(77 / 12, 77 % 12);
  CHECK(std::abs(difference.largest - 2 * std::abs(entry)) < 1e-6);
}

TEST_CASE("a table of positions that is not finite or no float is refused", "[checkpoints]") {
  DitFiles const files;
  auto tensors = test::original_dit(test::small_dit(), io::Dtype::f16, 15);
  FileTensor& table = test::find_tensor(tensors, "pos_embed");
  table.bytes[0] = std::byte{0};
  table.bytes[1] = std::byte{0x7c};
  auto const check = [&](std::string const& name) {
    auto const in = files.write(name, tensors);
    auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_diffusers);
    return failure([&] { checkpoints::check_dit_conversion(plan, false); });
  };
  CHECK(check("infinite").found == "1 of 192 entries that differ, by up to inf");
  table.dtype = io::Dtype::i16;
  CHECK(check("integers").found == "dtype I16");
}

TEST_CASE("embedders that differ have no original names", "[checkpoints]") {
  DitFiles const files;
  auto const c = test::small_dit();
  auto const equal = test::diffusers_dit(c, test::original_dit(c, io::Dtype::f32, 16));
  io::DitNames const names(c.depth);
  CHECK_FALSE(checkpoints::compare_embedders(files.write("equal", equal), names));
  std::string const last = ".norm1.emb.class_embedder.embedding_table.weight";
  for (std::size_t const block : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    auto tensors = equal;
    std::string const tensor = "transformer_blocks." + std::to_string(block) + last;
    test::find_tensor(tensors, tensor).bytes.back() ^= std::byte{1};
    auto const in = files.write("b" + std::to_string(block), tensors,
                                {{"dashi.input_height", "8"}, {"dashi.input_width", "8"}});
    for (int const workers : {1, 3}) {
      auto const difference = checkpoints::compare_embedders(in, names, {.workers = workers});
      REQUIRE(difference);
      CHECK(difference->block == (block == 2 ? 2U : 1U));
      CHECK(difference->tensor ==
            "transformer_blocks." + std::to_string(block == 2 ? 2 : 1) + last);
    }
    auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_original);
    auto const diagnosis = failure([&] { checkpoints::check_dit_conversion(plan, false); });
    CHECK(diagnosis.code == "embedders-differ");
    CHECK(diagnosis.advice == "run it as it is, with embedders per_block");
  }
  auto other_type = equal;
  test::find_tensor(other_type, "transformer_blocks.2" + last).dtype = io::Dtype::i32;
  CHECK(checkpoints::compare_embedders(files.write("type", other_type), names)->block == 2);
}

TEST_CASE("query, key and value of two dtypes do not become one tensor", "[checkpoints]") {
  DitFiles const files;
  auto const c = test::small_dit();
  auto tensors = test::diffusers_dit(c, test::original_dit(c, io::Dtype::f32, 17));
  test::find_tensor(tensors, "transformer_blocks.1.attn1.to_k.weight").dtype = io::Dtype::i32;
  auto const in = files.write("in", tensors);
  auto const diagnosis = failure([&] {
    checkpoints::plan_dit_conversion(in, Dialect::dit_original,
                                     {.heads = 0, .input_height = 8, .input_width = 8});
  });
  CHECK(diagnosis.code == "cannot-rename");
  CHECK(diagnosis.place == "tensor 'transformer_blocks.1.attn1.to_k.weight'");
}

TEST_CASE("a DiT keeps names that it has", "[checkpoints]") {
  DitFiles const files;
  auto const in = files.write("in", test::original_dit(test::small_dit(), io::Dtype::f32, 18));
  CHECK(failure([&] { checkpoints::plan_dit_conversion(in, Dialect::dit_original); }).code ==
        "named-so-already");
}

TEST_CASE("a folder gets the config.json that diffusers reads", "[checkpoints]") {
  DitFiles const files;
  auto c = test::small_dit();
  c.mlp_width = 4 * c.width;
  auto const in =
      files.write("in", test::original_dit(c, io::Dtype::f32, 19), {{"dashi.heads", "3"}});
  auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_diffusers);
  auto const folder = files.folder.path() / "model" / "";
  auto const result = checkpoints::convert_dit(plan, {}, folder, {});
  CHECK(result.path == folder / "diffusion_pytorch_model.safetensors");
  CHECK(result.config == folder / "config.json");
  auto const model = io::read_dit(io::Checkpoint(folder.parent_path()));
  CHECK(model.configuration == c);
  CHECK(model.variant.norm_epsilon == 1e-6);
  std::string const before = test::file_bytes(result.path);
  CHECK_THROWS_AS(checkpoints::convert_dit(plan, {}, folder, {}), IoError);
  std::filesystem::remove(result.path);  // the config.json alone is in the way too
  CHECK_THROWS_AS(checkpoints::convert_dit(plan, {}, folder, {}), IoError);
  CHECK(test::names_in(folder) == std::vector<std::string>{"config.json"});
  checkpoints::convert_dit(plan, {}, folder, {.file = {.force = true}});
  CHECK((test::file_bytes(result.path) == before));
  CHECK(test::names_in(folder).size() == 2);
}

TEST_CASE("no folder stays of a conversion that fails", "[checkpoints]") {
  DitFiles const files;
  auto c = test::small_dit();
  auto const in = files.write("in", test::original_dit(c, io::Dtype::f32, 20));
  auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_diffusers);
  auto const folder = files.folder.path() / "model" / "";
  CHECK(failure([&] { checkpoints::convert_dit(plan, {}, folder, {}); }).code ==
        "not-for-diffusers");
  c.mlp_width = 4 * c.width;
  auto const good =
      files.write("good", test::original_dit(c, io::Dtype::f32, 20), {{"dashi.heads", "3"}});
  auto const possible = checkpoints::plan_dit_conversion(good, Dialect::dit_diffusers);
  std::filesystem::resize_file(files.at("good"), 5000);
  CHECK_THROWS_AS(checkpoints::convert_dit(possible, {}, folder, {}), IoError);
  CHECK_FALSE(std::filesystem::exists(folder));
}

TEST_CASE("config.json comes and goes with the weights", "[checkpoints]") {
  DitFiles const files;
  auto const config = files.folder.path() / "config.json";
  std::ofstream(config) << "old";
  std::string const text = "new";
  auto const bytes = std::as_bytes(std::span(text));
  auto const commit = [&](bool taken) {
    io::CheckpointWriter writer(files.at("weights"), {{"w", io::Dtype::u8, {1}}}, {}, {});
    writer.write(0, 0, bytes.first(1));
    io::OutputFile file(config, {.force = true}, text.size());
    file.write_at(0, bytes);
    if (taken) {  // by somebody else, at the last moment
      std::ofstream(files.at("weights")) << "x";
    }
    io::commit_with_text(writer, file, bytes);
  };
  CHECK_THROWS_AS(commit(true), IoError);
  CHECK(test::file_bytes(config) == "old");
  std::filesystem::remove(files.at("weights"));
  commit(false);
  CHECK(test::file_bytes(config) == "new");
  CHECK(test::names_in(files.folder.path()).size() == 2);
}

TEST_CASE("an input is never replaced by its other names", "[checkpoints]") {
  DitFiles const files;
  auto const in = files.write("in", test::original_dit(test::small_dit(), io::Dtype::f32, 21));
  auto const plan = checkpoints::plan_dit_conversion(in, Dialect::dit_diffusers);
  CHECK_THROWS_AS(checkpoints::convert_dit(plan, {}, files.at("in"), {.file = {.force = true}}),
                  IoError);
}

TEST_CASE("the record is canonical JSON, and others are left alone", "[checkpoints]") {
  DitFiles const files;
  auto const tensors = test::original_dit(test::small_dit(), io::Dtype::f32, 22);
  auto const in = files.write("in", tensors, {{"dashi.version", "0.0.1"}});
  auto const model = io::read_dit(in);
  auto const metadata =
      checkpoints::renamed_metadata(in, model, Dialect::dit_diffusers, "d1", "F32");
  CHECK(metadata.at("dashi.convert") ==
        R"({"added":["dashi.class_dropout","dashi.convert","dashi.embedders",)"
        R"("dashi.guidance_channels","dashi.input_height","dashi.input_width",)"
        R"("dashi.norm_epsilon","dashi.time_divisor","dashi.variance"],)"
        R"("before":{"dashi.version":"0.0.1"},"digest":"d1","input":"in.safetensors",)"
        R"("names":"diffusers","positions":"F32"})");
  auto const record = checkpoints::dit_record(files.write("there", tensors, metadata));
  REQUIRE(record);
  CHECK(record->undo(metadata) == in.metadata());
  for (char const* text : {"", "{", "[]", R"({"names":1})", R"({"dtype":"F16","rules":[]})",
                           R"({"names":"dit","before":{"a":1}})", R"({"digest":"x"})"}) {
    INFO(text);
    CHECK_FALSE(checkpoints::dit_record(files.write("other", tensors, {{"dashi.convert", text}})));
  }
}

TEST_CASE("the reference's conversion is reproduced, and undone", "[checkpoints]") {
  DitFiles const files;
  io::Checkpoint const original(test::shared_data("golden/dit_original_b/weights.safetensors"));
  io::Checkpoint const converted(
      test::shared_data("golden/dit_diffusers_converted_from_original_b/weights.safetensors"));
  auto const there = files.convert(original, Dialect::dit_diffusers, "there");
  CHECK(io::checkpoint_digest(there) == io::checkpoint_digest(converted));
  auto const plan = checkpoints::plan_dit_conversion(
      converted, Dialect::dit_original, {.heads = 2, .input_height = 16, .input_width = 16});
  checkpoints::check_dit_conversion(plan, false);
  CHECK(checkpoints::detail::digest_of_result(plan, {}, io::no_progress()) ==
        io::checkpoint_digest(original));
}

TEST_CASE("models trained in diffusers are refused under original names", "[checkpoints]") {
  for (char const* file :
       {"golden/dit_diffusers_b_untied/weights.safetensors",
        "data/dit_shards/base.fp16.safetensors", "data/dit_shards/union.fp16.safetensors"}) {
    INFO(file);
    io::Checkpoint const in(test::shared_data(file));
    auto const plan = checkpoints::plan_dit_conversion(
        in, Dialect::dit_original, {.heads = 0, .input_height = 24, .input_width = 24});
    auto const diagnosis = failure([&] { checkpoints::check_dit_conversion(plan, false); });
    CHECK(diagnosis.code == "embedders-differ");
    CHECK(diagnosis.found.ends_with("the copies differ from block 1 on"));
  }
}

}  // namespace

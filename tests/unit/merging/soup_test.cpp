// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "support/merge_files.hpp"

#include <dashi/core/exit_status.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/merging/soup.hpp>

#include <sys/file.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace {

using dashi::Soup;
using dashi::merging::KeyMap;
using dashi::merging::LedgerMode;
using dashi::merging::parse_weight;
using dashi::test::file_bytes;
using dashi::test::file_tensor;
using dashi::test::FileTensor;
namespace fs = std::filesystem;
namespace io = dashi::io;

using Keys = std::map<std::string, std::string, std::less<>>;

struct Folder : dashi::merging::PrivateFolder {
  Folder() : PrivateFolder(fs::temp_directory_path()) {}
  fs::path at(std::string const& name) const { return path() / name; }
  std::string text(std::string const& name) const { return at(name).string(); }

  fs::path write(std::string const& name, std::vector<FileTensor> const& tensors,
                 std::map<std::string, std::string> metadata = {}) const {
    dashi::test::write_member(at(name), tensors, "1", std::move(metadata));
    return at(name);
  }
  fs::path floats(std::string const& name, std::vector<float> const& values,
                  std::map<std::string, std::string> metadata = {}) const {
    return write(name, {file_tensor("x", io::Dtype::f32, {values.size()}, values)},
                 std::move(metadata));
  }
  std::vector<float> published(Soup const& soup,
                               dashi::merging::MergeOptions const& options = {}) const {
    soup.publish(at("out"), options, {.force = true});
    return dashi::test::read_values<float>(io::Checkpoint(at("out")), "x");
  }
};

/// Exit status and code of what `body` throws; "" when nothing.
template <class Body>
std::string outcome(Body&& body) {
  try {
    body();
  } catch (dashi::Error const& error) {
    return std::to_string(static_cast<int>(dashi::exit_status(error))) + " " +
           error.diagnosis().code;
  }
  return "";
}

}  // namespace

TEST_CASE("a soup in memory", "[merging][soup]") {
  Folder const f;
  f.floats("a", {1, 2}, {{"format", "pt"}, {"a", "1"}});
  f.floats("b", {3, 6}, {{"format", "pt"}});
  Soup soup(dashi::merging::Uniform{});
  soup.add(f.at("a")).add(f.at("b"), "3").publish(f.at("out"));
  io::Checkpoint const out(f.at("out"));
  CHECK(dashi::test::read_values<float>(out, "x") == std::vector<float>{2.5, 5});
  CHECK(out.metadata().at("format") == "pt");
  CHECK_FALSE(out.metadata().contains("a"));
  CHECK(soup.remove(f.text("b")).members().size() == 1);
  CHECK(f.published(soup) == std::vector<float>{1, 2});
  CHECK(io::Checkpoint(f.at("out")).metadata().at("a") == "1");
}

TEST_CASE("refusals leave a soup as it was", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.floats("a", {1, 2});
  f.floats("b", {3, 6});
  f.floats("copy_of_a", {1, 2});
  f.floats("longer", {1, 2, 3});
  f.floats("nan", {1, std::nanf(""), HUGE_VALF});
  f.write("other", {file_tensor("y", io::Dtype::f32, {2}, std::vector<float>{1, 2})});
  f.write("integer", {file_tensor("x", io::Dtype::i32, {2}, std::vector<std::int32_t>{1, 2})});
  f.write("double", {file_tensor("x", io::Dtype::f64, {2}, std::vector<double>{1, 2})});
  std::ofstream(f.at("text")) << "hello";
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("a"), {}, {}}});
  std::string const ledger = file_bytes(f.at("s"));
  CHECK(outcome([&] { Soup::create(f.at("s"), mode); }) == "73 cannot-create");
  CHECK(outcome([&] { soup.add(f.at("copy_of_a")); }) == "65 duplicate-member");
  CHECK(outcome([&] { soup.add(f.at("longer")); }) == "65 shape-mismatch");
  CHECK(outcome([&] { soup.add(f.at("other")); }) == "65 missing-tensor");
  CHECK(outcome([&] { soup.add(f.at("integer")); }) == "65 dtype-mismatch");
  CHECK(outcome([&] { soup.add(f.at("absent")); }) == "66 no-such-file");
  CHECK(outcome([&] { soup.add(f.at("b"), "1e3"); }) == "2 bad-weight");
  CHECK(outcome([&] { soup.add(f.at("text")); }).starts_with("65 "));
  CHECK(outcome([&] { soup.add(f.at("a"), {}, KeyMap(Keys{{"y", "x"}})); }) == "65 missing-tensor");
  CHECK(outcome([&] { soup.remove(f.text("b")); }) == "65 no-such-member");
  CHECK(outcome([&] { soup.remove(f.text("absent")); }) == "66 no-such-file");
  CHECK(outcome([&] { soup.remove("0123456789"); }) == "65 no-such-member");
  CHECK(outcome([&] {
          soup.apply({.removals = {f.text("a"), f.text("a")}, .additions = {}});
        }) == "2 removed-twice");
  CHECK(outcome([&] { soup.publish(f.at("a"), {}, {.force = true}); }) == "73 cannot-create");
  CHECK(outcome([&] { soup.publish(f.at("s"), {}, {.force = true}); }) == "73 cannot-create");
  CHECK(outcome([&] { soup.publish(f.at("out"), {.dtype = io::Dtype::i32}); }) == "2 bad-dtype");
  CHECK(outcome([&] { Soup::open(f.at("a")); }) == "65 not-a-ledger");
  if (mode == LedgerMode::accumulate) {
    CHECK(outcome([&] { soup.add(f.at("double")); }) == "2 f64-member");
    CHECK(outcome([&] { soup.add(f.at("b"), "1099511627775"); }) == "2 weights-too-large");
  }
  CHECK(file_bytes(f.at("s")) == ledger);
  CHECK(manifest_text(soup.manifest()) == manifest_text(Soup::open(f.at("s")).manifest()));

  Soup lenient = Soup::open(f.at("s"), {.allow_duplicate = true});
  lenient.add(f.at("copy_of_a"), "3");
  CHECK(lenient.members().size() == 2);
  CHECK(f.published(lenient) == std::vector<float>{1, 2});
  f.floats("nan3", {1, 2, 3});
  Soup three = Soup::create(f.at("s3"), mode, {{f.at("nan3"), {}, {}}});
  try {
    three.add(f.at("nan"));
    FAIL("a NaN was accepted");
  } catch (dashi::FormatError const& error) {
    CHECK(error.diagnosis().place == "tensor 'x' element 1");
    CHECK(error.diagnosis().found.starts_with("1 NaN and 1 infinite"));
  }
  CHECK(outcome([&] { three.add(f.at("nan"), "0"); }) == "65 nonfinite");
}

TEST_CASE("an empty soup and a total weight of zero", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.floats("a", {1, 2});
  f.floats("b", {3, 6});
  Soup soup = Soup::create(f.at("s"), mode);
  std::string const empty = file_bytes(f.at("s"));
  CHECK(outcome([&] { soup.publish(f.at("out")); }) == "2 no-members");
  soup.add(f.at("a"), "1").add(f.at("b"), "-1");
  CHECK(outcome([&] { soup.publish(f.at("out")); }) == "2 bad-weights");
  CHECK_FALSE(fs::exists(f.at("out")));
  soup.replace(f.text("b"), f.at("b"), parse_weight("1"));
  CHECK(f.published(soup) == std::vector<float>{2, 4});
  soup.apply({.removals = {f.text("a"), f.text("b")}, .additions = {}});
  CHECK(file_bytes(f.at("s")) == empty);
}

TEST_CASE("what a member is called", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  fs::create_directories(f.at("sub"));
  fs::create_directories(f.at("soups"));
  f.floats("sub/a", {1, 2});
  f.floats("b", {3, 6});
  Soup soup =
      Soup::create(f.at("soups/s"), mode, {{f.at("sub/a"), {}, {}}, {f.at("soups/../b"), {}, {}}});
  std::vector<std::string> names;
  std::string digest_of_a;
  for (auto const& member : soup.members()) {
    names.push_back(member.name);
    digest_of_a = member.name == "../sub/a" ? member.digest : digest_of_a;
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"../b", "../sub/a"});
  CHECK(f.published(soup) == std::vector<float>{2, 4});

  SECTION("by another file with its content") {
    fs::rename(f.at("sub/a"), f.at("moved"));
    soup.remove(f.text("moved"));
  }
  SECTION("by the beginning of its digest") { soup.remove(digest_of_a.substr(0, 8)); }
  SECTION("by its recorded name") { soup.remove("../sub/a"); }
  SECTION("without its file") {
    fs::remove(f.at("sub/a"));
    if (mode == LedgerMode::accumulate) {
      CHECK(outcome([&] { soup.remove(digest_of_a.substr(0, 8)); }) == "66 no-such-file");
      f.floats("sub/a", {1, 2});
    } else {
      CHECK(outcome([&] { soup.publish(f.at("out"), {}, {.force = true}); }) == "66 no-such-file");
    }
    soup.remove(digest_of_a.substr(0, 8));
  }
  SECTION("with another content under its name") {
    std::string const ledger = file_bytes(f.at("soups/s"));
    f.floats("sub/a", {1, 2.5});
    CHECK(outcome([&] { soup.remove(f.text("sub/a")); }) == "65 digest-mismatch");
    f.floats("sub/a", {1, -0.0F});
    CHECK(outcome([&] { soup.remove(f.text("sub/a")); }) == "65 digest-mismatch");
    CHECK(file_bytes(f.at("soups/s")) == ledger);
    if (mode == LedgerMode::recompute) {
      CHECK(outcome([&] { soup.publish(f.at("out"), {}, {.force = true}); }) ==
            "65 digest-mismatch");
      CHECK(outcome([&] { soup.verify(); }) == "65 digest-mismatch");
    }
    f.floats("sub/a", {1, 2});
    soup.remove(f.text("sub/a"));
  }
  CHECK(soup.members().size() == 1);
  CHECK(f.published(soup) == std::vector<float>{3, 6});
}

TEST_CASE("key maps, copied tensors and metadata follow the members", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  std::vector<std::int64_t> const step{5};
  std::vector<std::int64_t> const later{6};
  f.write("a",
          {file_tensor("x", io::Dtype::f32, {2}, std::vector<float>{1, 2}),
           file_tensor("n", io::Dtype::i64, {1}, step)},
          {{"format", "pt"},
           {"dashi.recipe", "old"},
           {"dashi.train", "{}"},
           {"dashi.heads", "4"},
           {"dashi.input_height", "32"}});
  f.write("b",
          {file_tensor("y", io::Dtype::f32, {2}, std::vector<float>{3, 6}),
           file_tensor("n", io::Dtype::i64, {1}, step)},
          {{"format", "pt"},
           {"dashi.train", "{}"},
           {"dashi.heads", "4"},
           {"dashi.input_height", "64"}});
  f.write("c", {file_tensor("x", io::Dtype::f32, {2}, std::vector<float>{3, 6}),
                file_tensor("n", io::Dtype::i64, {1}, later)});
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("a"), {}, {}}});
  soup.add(f.at("b"), {}, KeyMap(Keys{{"y", "x"}, {"n", "n"}}));
  CHECK(f.published(soup) == std::vector<float>{2, 4});
  io::Checkpoint const out(f.at("out"));
  CHECK(dashi::test::read_values<std::int64_t>(out, "n") == step);
  CHECK(out.metadata().at("format") == "pt");
  CHECK(out.metadata().at("dashi.recipe") != "old");
  CHECK(out.metadata().at("dashi.heads") == "4");  // what no shape tells of a model
  CHECK_FALSE(out.metadata().contains("dashi.input_height"));
  CHECK_FALSE(out.metadata().contains("dashi.train"));  // where a model comes from
  for (auto const& member : soup.members()) {
    CHECK(member.keys.empty() == (member.name == "a"));
  }
  if (mode == LedgerMode::accumulate) {
    CHECK(outcome([&] { soup.add(f.at("c")); }) == "65 copied-tensor-differs");
  } else {
    soup.add(f.at("c"));
    CHECK(outcome([&] { soup.publish(f.at("out"), {}, {.force = true}); }) ==
          "65 copied-tensor-differs");
    soup.remove(f.text("c"));
  }
  soup.remove(f.text("b"));
  soup.replace(f.text("a"), f.at("c"));  // no member stays: the newcomer decides
  f.published(soup);
  CHECK(dashi::test::read_values<std::int64_t>(io::Checkpoint(f.at("out")), "n") == later);
  CHECK_FALSE(io::Checkpoint(f.at("out")).metadata().contains("format"));
}

TEST_CASE("alpha scalars of shape [] and [1] are alike in both modes", "[merging][soup]") {
  Folder const folder;
  auto const member = [&](std::string const& name, std::vector<std::uint64_t> const& shape,
                          float value, char const* tensor = "m.alpha") {
    return folder.write(name, {file_tensor(tensor, io::Dtype::f32, shape, std::vector{value}),
                               file_tensor("x", io::Dtype::f32, {2}, std::vector{value, 2.0F})});
  };
  fs::path const scalar = member("scalar", {}, 1);
  fs::path const vector = member("vector", {1}, 4);
  fs::path const other = member("other", {1}, 16);
  auto const shape = [&](Soup const& soup) {
    soup.publish(folder.at("out"), {}, {.force = true});
    return io::Checkpoint(folder.at("out")).find("m.alpha")->info.shape;
  };
  using Shape = std::vector<std::uint64_t>;
  auto made = [&](std::string const& name, LedgerMode mode, std::vector<fs::path> const& files) {
    std::vector<Soup::Addition> additions;
    for (fs::path const& file : files) {
      additions.push_back({.file = file});
    }
    return Soup::create(folder.at(name), mode, additions);
  };
  std::vector<std::string> published;
  for (LedgerMode const mode : {LedgerMode::recompute, LedgerMode::accumulate}) {
    Soup soup = made("soup", mode, {scalar, vector, other});
    CHECK(shape(soup) == Shape{});
    CHECK(folder.published(soup) == std::vector<float>{7, 2});
    published.push_back(file_bytes(folder.at("out")));
    CHECK(soup.verify(folder.at("out")).equal());
    // What leaves takes its shape with it, in the ledger as well.
    soup.remove(scalar.string());
    CHECK(shape(soup) == Shape{1});
    made("never", mode, {other, vector});
    CHECK(file_bytes(folder.at("soup")) == file_bytes(folder.at("never")));
    soup.add(scalar);
    soup.remove(vector.string()).remove(other.string());
    CHECK(shape(soup) == Shape{});
    made("alone", mode, {scalar});
    CHECK(file_bytes(folder.at("soup")) == file_bytes(folder.at("alone")));
    CHECK(outcome([&] { soup.add(member("long", {1, 1}, 2)); }) == "65 shape-mismatch");
    CHECK(outcome([&] { soup.add(member("name", {}, 2, "m.beta")); }) == "65 missing-tensor");
    fs::remove(folder.at("soup"));
    fs::remove(folder.at("never"));
    fs::remove(folder.at("alone"));
  }
  CHECK(published[0] == published[1]);
}

TEST_CASE("members of different dtypes need to be told what comes out", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.write("half", {file_tensor("x", io::Dtype::f16, {1}, std::vector<std::uint16_t>{0x3c00})});
  f.floats("single", {1e6F});
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("half"), {}, {}}, {f.at("single"), {}, {}}});
  CHECK(outcome([&] { soup.publish(f.at("out")); }) == "65 dtype-mismatch");
  CHECK(outcome([&] {
          soup.publish(f.at("out"), {.dtype = io::Dtype::f32, .strict_dtype = true});
        }) == "65 dtype-mismatch");
  CHECK(f.published(soup, {.dtype = io::Dtype::f32}) == std::vector<float>{500000.5F});
  CHECK(outcome([&] { soup.publish(f.at("o2"), {.dtype = io::Dtype::f16}); }) == "65 overflow");
  soup.publish(f.at("o2"),
               {.dtype = io::Dtype::f16, .overflow = dashi::merging::OverflowPolicy::saturate});
  CHECK(dashi::test::read_values<std::uint16_t>(io::Checkpoint(f.at("o2")), "x") ==
        std::vector<std::uint16_t>{0x7bff});
  soup.remove(f.text("single"));
  soup.publish(f.at("o3"));
  CHECK(io::Checkpoint(f.at("o3")).find("x")->info.dtype == io::Dtype::f16);
}

TEST_CASE("verify compares with what publish would write", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.floats("a", {1, 2, 3});
  f.floats("b", {3, 6, 9});
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("a"), {}, {}}, {f.at("b"), {}, {}}});
  CHECK(soup.verify().equal());
  soup.publish(f.at("out"));
  CHECK(soup.verify(f.at("out")).equal());
  std::string const good = file_bytes(f.at("out"));
  {
    std::fstream file(f.at("out"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-8, std::ios::end);  // element 1
    file.put('\1');
  }
  auto const found = soup.verify(f.at("out"));
  REQUIRE_FALSE(found.equal());
  CHECK(found.difference->place == "tensor 'x' element 1");
  CHECK(found.difference->found == "bits 0x40800001");
  CHECK(found.difference->expected == "bits 0x40800000");
  std::ofstream(f.at("out"), std::ios::binary) << good;
  CHECK(soup.verify(f.at("out")).equal());
  CHECK_FALSE(soup.verify(f.at("out"), {.dtype = io::Dtype::f16}).equal());
  CHECK_FALSE(soup.verify(f.at("a")).equal());
  soup.remove(f.text("a"));
  CHECK_FALSE(soup.verify(f.at("out")).equal());
}

TEST_CASE("shards and one file are the same member", "[merging][soup]") {
  Folder const f;
  std::vector<float> const x = dashi::test::random_floats(1000, 1);
  std::vector<float> const y = dashi::test::random_floats(1000, 2);
  for (char const* where : {"one", "many"}) {
    fs::create_directories(f.at(where));
    fs::create_directories(f.at(std::string(where) + "/m"));
    std::vector<io::TensorSpec> const specs{{"x", io::Dtype::f32, {1000}},
                                            {"y", io::Dtype::f32, {10, 100}}};
    io::CheckpointOutput output;
    if (std::string(where) == "many") {
      output.largest_shard = 4500;
    }
    io::CheckpointWriter writer(f.at(std::string(where) + "/m/model.safetensors"), specs, {},
                                output);
    writer.write(0, 0, std::as_bytes(std::span(x)));
    writer.write(1, 0, std::as_bytes(std::span(y)));
    writer.commit();
    Soup::create(f.at(std::string(where) + "/s"), LedgerMode::accumulate,
                 {{f.at(std::string(where) + "/m"), parse_weight("0.7"), {}}});
  }
  CHECK(io::Checkpoint(f.at("many/m")).is_sharded());
  CHECK_FALSE(io::Checkpoint(f.at("one/m")).is_sharded());
  CHECK(file_bytes(f.at("one/s")) == file_bytes(f.at("many/s")));
}

TEST_CASE("a damaged or forged ledger is refused", "[merging][soup]") {
  Folder const f;
  f.floats("a", {1, 1e30F, -0.0F, 1e-40F});
  f.floats("b", {2, 1e30F, -0.0F, -1e-40F});
  Soup::create(f.at("s"), LedgerMode::accumulate, {{f.at("a"), {}, {}}, {f.at("b"), {}, {}}});
  std::string const good = file_bytes(f.at("s"));
  std::uint64_t begin = 0;
  std::memcpy(&begin, good.data(), 8);
  begin += 8;
  REQUIRE(good.size() == begin + 4 * 16 + 48 + 16);  // sums, one spilled sum, one count of -0
  auto const verdict = [&](std::string const& bytes) {
    std::ofstream(f.at("s"), std::ios::binary) << bytes;
    return outcome([&] { Soup::open(f.at("s")).verify(); });
  };
  CHECK(verdict(good) == "");
  for (std::size_t bit = 0; bit < 8 * static_cast<std::size_t>(begin);
       bit += 7) {  // every byte, all bits in turn
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    std::string const found = verdict(bad);
    INFO("header bit " << bit);
    CHECK(found.starts_with("65 "));
  }
  for (std::size_t word = static_cast<std::size_t>(begin) + 64; word < good.size(); word += 8) {
    std::string bad = good;
    bool const value = word >= begin + 72 && word < begin + 112;  // any large sum may be right
    std::memset(bad.data() + word, 0x7f, 8);
    INFO("word " << (word - begin) / 8);
    CHECK((value || verdict(bad) == "65 bad-ledger"));
  }
  auto const with_zeros = [&](std::uint64_t element, std::uint64_t count) {
    std::string bytes = good;
    std::memcpy(bytes.data() + begin + 112, &element, 8);
    std::memcpy(bytes.data() + begin + 120, &count, 8);
    return bytes;
  };
  CHECK(with_zeros(2, 2) == good);
  CHECK(verdict(with_zeros(0, 2)) == "65 bad-ledger");  // the sum there is 3
  CHECK(verdict(with_zeros(1, 2)) == "65 bad-ledger");  // it is spilled there
  CHECK(outcome([&] { Soup::open(f.at("s")).publish(f.at("out")); }) == "65 bad-ledger");
  CHECK(verdict(with_zeros(2, 3)) == "65 bad-ledger");
  std::string fits = good;
  std::memset(fits.data() + begin + 72, 0, 40);  // a spilled sum of 0
  CHECK(verdict(fits) == "65 bad-ledger");
  std::string both = good;
  both[static_cast<std::size_t>(begin) + 32 + 8] = 1;  // the window holds something, too
  CHECK(verdict(both) == "65 bad-ledger");
  std::string beyond = good;
  beyond[static_cast<std::size_t>(begin) + 7] = 0x50;  // 2^47 or more in the window
  CHECK(verdict(beyond) == "65 bad-ledger");
}

TEST_CASE("two processes do not change one soup at a time", "[merging][soup]") {
  Folder const f;
  f.floats("a", {1, 2});
  Soup soup = Soup::create(f.at("s"), LedgerMode::recompute);
  io::InputFile const other(f.at("s"));
  REQUIRE(::flock(other.descriptor(), LOCK_EX) == 0);
  CHECK(outcome([&] { soup.add(f.at("a")); }) == "73 ledger-busy");
  CHECK(outcome([&] { Soup::create(f.at("s"), LedgerMode::recompute, {}, {.force = true}); }) ==
        "73 ledger-busy");
  REQUIRE(::flock(other.descriptor(), LOCK_UN) == 0);
  Soup::create(f.at("s"), LedgerMode::recompute, {}, {.force = true});
  Soup second = Soup::open(f.at("s"));
  soup.add(f.at("a"));
  CHECK(outcome([&] { second.add(f.at("a")); }) ==
        "65 duplicate-member");  // it sees the other's change
}

TEST_CASE("plans say what would be read and written", "[merging][soup]") {
  Folder const f;
  f.floats("a", {1, 2, 3, 4});
  f.floats("b", {3, 6, 9, 12});
  Soup sums = Soup::create(f.at("s"), LedgerMode::accumulate, {{f.at("a"), {}, {}}});
  dashi::merging::SoupPlan const plan =
      sums.plan({.removals = {f.text("a")}, .additions = {{f.at("b"), parse_weight("2"), {}}}});
  CHECK(plan.leaving == std::vector<std::string>{"a"});
  CHECK(plan.entering == std::vector<std::string>{"b"});
  CHECK(plan.bytes_to_read == 32);
  CHECK(plan.bytes_to_write == fs::file_size(f.at("s")));
  CHECK(sums.plan({.removals = {}, .additions = {{f.at("b"), {}, {}}}}).bytes_to_read ==
        16 + fs::file_size(f.at("s")));
  CHECK(outcome([&] { sums.plan({.removals = {"ffff"}, .additions = {}}); }) ==
        "65 no-such-member");
  Soup names = Soup::create(f.at("r"), LedgerMode::recompute, {{f.at("a"), {}, {}}});
  CHECK(names.plan({.removals = {}, .additions = {{f.at("b"), {}, {}}}}).bytes_to_read == 16);
  dashi::merging::SoupPlan const same =
      names.plan({.removals = {f.text("a")}, .additions = {{f.at("a"), parse_weight("2"), {}}}});
  CHECK(same.entering == std::vector<std::string>{"a"});
  CHECK(same.bytes_to_write == fs::file_size(f.at("r")));
  names.add(f.at("b"));
  f.floats("a", {1, 2});  // does not fit b, which stays
  CHECK(outcome([&] {
          names.plan({.removals = {f.text("a")}, .additions = {{f.at("a"), {}, {}}}});
        }) == "65 shape-mismatch");
  f.floats("c", {5, 6, 7, 8});
  fs::resize_file(f.at("a"), 0);  // the member that leaves need not be good
  CHECK(names.plan({.removals = {"a"}, .additions = {{f.at("c"), {}, {}}}}).entering.size() == 1);
}

TEST_CASE("a link to a ledger stands for that ledger", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  fs::create_directories(f.at("soups"));
  f.floats("a", {1, 2});
  f.floats("b", {3, 6});
  Soup::create(f.at("soups/s"), mode, {{f.at("a"), {}, {}}});
  fs::create_symlink("soups/s", f.at("link"));
  Soup soup = Soup::open(f.at("link"));
  soup.add(f.at("b"));
  CHECK(fs::is_symlink(f.at("link")));
  CHECK(Soup::open(f.at("soups/s")).members().size() == 2);
  CHECK(soup.members().front().name.starts_with("../"));
  CHECK(f.published(soup) == std::vector<float>{2, 4});
  fs::remove(f.at("soups/s"));
  CHECK(outcome([&] { Soup::open(f.at("link")); }).starts_with("66 "));
}

TEST_CASE("a ledger in a linked folder knows its members", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  fs::create_directories(f.at("deep/er/soups"));
  fs::create_directory_symlink("deep/er/soups", f.at("soups"));
  f.floats("a", {1, 2});
  f.floats("deep/er/a", {5, 5});  // what "../a" is beside the linked folder
  fs::create_symlink("a", f.at("latest"));
  Soup soup = Soup::create(f.at("soups/s"), mode, {{f.at("a"), {}, {}}});
  CHECK(soup.members().front().name == "../../../a");
  CHECK(f.published(soup) == std::vector<float>{1, 2});
  CHECK(soup.verify().equal());
  soup.add(f.at("soups/../a"));  // the system takes ".." after the link
  CHECK(f.published(soup) == std::vector<float>{3, 3.5});
  soup.remove(f.text("deep/er/soups/../a")).remove(f.text("a"));
  CHECK(soup.members().empty());
  soup.add(f.at("latest"));
  CHECK(soup.members().front().name == "../../../latest");
}

TEST_CASE("a member without weight has no terms that are -0", "[merging][soup]") {
  Folder const f;
  f.floats("a", {-0.0F});
  f.floats("b", {7});
  Soup::create(f.at("s"), LedgerMode::accumulate,
               {{f.at("a"), {}, {}}, {f.at("b"), parse_weight("0"), {}}});
  std::string bytes = file_bytes(f.at("s"));
  CHECK(Soup::open(f.at("s")).verify().equal());
  REQUIRE(bytes[bytes.size() - 8] == 1);
  bytes[bytes.size() - 8] = 2;
  std::ofstream(f.at("s"), std::ios::binary) << bytes;
  CHECK(outcome([&] { Soup::open(f.at("s")).verify(); }) == "65 bad-ledger");
}

TEST_CASE("a member added twice from one file leaves once at a time", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.floats("a", {1, 2});
  f.floats("b", {3, 6});
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("a"), {}, {}}, {f.at("b"), {}, {}}},
                           {.allow_duplicate = true});
  std::string const once = file_bytes(f.at("s"));
  soup.add(f.at("a"));
  CHECK(soup.members().size() == 3);
  soup.remove(f.text("a"));
  CHECK(file_bytes(f.at("s")) == once);
  soup.add(f.at("a"), "2");
  CHECK(outcome([&] { soup.remove(f.text("a")); }) == "65 no-such-member");  // which one?
}

TEST_CASE("a small memory budget makes the same ledger with fewer threads", "[merging][soup]") {
  Folder const f;
  f.floats("a", {1, 1e30F, -0.0F, 1e-40F});
  f.floats("b", {2, 1e30F, -0.0F, -1e-40F});
  std::vector<Soup::Addition> const members{{f.at("a"), {}, {}}, {f.at("b"), {}, {}}};
  auto const peak = [&](std::uint64_t budget) {
    return Soup::plan_creation(f.at("p"), LedgerMode::accumulate, members,
                               {.workers = 8, .memory_budget = budget})
        .peak_memory;
  };
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  CHECK(peak(1024 * mib) == 8 * 2 * mib + 16 * mib);
  CHECK(peak(8 * mib) == 4 * 2 * mib + mib);
  CHECK(peak(0) == 2 * mib);
  CHECK(dashi::merging::ledger_workers(3, 1024 * mib) == 3);
  Soup::create(f.at("s"), LedgerMode::accumulate, members);
  Soup const small =
      Soup::create(f.at("t"), LedgerMode::accumulate, members, {.workers = 8, .memory_budget = 1});
  CHECK(file_bytes(f.at("s")) == file_bytes(f.at("t")));
  small.publish(f.at("out"), {.memory_budget = 1});
  CHECK(small.verify(f.at("out"), {.memory_budget = 1}).equal());
}

TEST_CASE("a ledger that was replaced meanwhile is not overwritten", "[merging][soup]") {
  auto const mode = GENERATE(LedgerMode::recompute, LedgerMode::accumulate);
  Folder const f;
  f.floats("a", {1, 2});
  f.floats("b", {3, 6});
  Soup soup = Soup::create(f.at("s"), mode, {{f.at("a"), {}, {}}});
  Soup::create(f.at("other"), mode, {{f.at("b"), {}, {}}});
  std::string const other = file_bytes(f.at("other"));
  struct Replacer final : io::Progress {
    fs::path from, to;
    void start(std::uint64_t) noexcept override {
      std::error_code ignored;
      fs::rename(from, to, ignored);
    }
    void advance(std::uint64_t) noexcept override {}
  } replacer;
  replacer.from = f.at("other");
  replacer.to = f.at("s");
  CHECK(outcome([&] {
          soup.apply({.removals = {}, .additions = {{f.at("b"), {}, {}}}}, replacer);
        }).starts_with("73 ledger-replaced"));
  CHECK(file_bytes(f.at("s")) == other);
}

TEST_CASE("lists longer than memory go through a file without a name", "[merging][ledger]") {
  Folder const f;
  dashi::merging::SparseSpool spool(f.at("out"), 2, 100);
  std::vector<std::byte> a, b;
  for (int i = 0; i < 50; ++i) {
    std::vector<std::byte> const part(static_cast<std::size_t>(1 + i % 7),
                                      static_cast<std::byte>(i));
    spool.append(static_cast<std::size_t>(i % 2), part);
    auto& list = i % 2 == 0 ? a : b;
    list.insert(list.end(), part.begin(), part.end());
  }
  CHECK(spool.bytes(0) == a.size());
  io::OutputFile out(f.at("out"), {}, 1);
  out.grow(a.size() + b.size());
  spool.write_to(out, 0, 0);
  spool.write_to(out, 1, a.size());
  out.commit();
  std::string const found = file_bytes(f.at("out"));
  a.insert(a.end(), b.begin(), b.end());
  CHECK(found == std::string(reinterpret_cast<char const*>(a.data()), a.size()));
}

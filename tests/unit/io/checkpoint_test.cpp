// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include "reader_fixture.hpp"

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

using namespace dashi;
using namespace dashi::reader_test;
namespace fs = std::filesystem;

namespace {

constexpr char const* index_name = "model.safetensors.index.json";
constexpr char const* first = "model-00001-of-00002.safetensors";
constexpr char const* second = "model-00002-of-00002.safetensors";

using Map = std::vector<std::pair<std::string, std::string>>;  // a vector, so that keys may repeat

std::string index_text(Map const& map, std::string const& metadata) {
  std::string text = "{\"metadata\":" + metadata + ",\"weight_map\":{";
  for (std::size_t i = 0; i < map.size(); ++i) {
    text += (i > 0 ? "," : "") + ("\"" + map[i].first + "\":\"" + map[i].second + "\"");
  }
  return text + "}}";
}

/// Two shards: a (4 bytes) and c (2) in the first, b (3) in the second.
struct Sharded {
  Sharded() {
    scratch.write(first,
                  safetensors_bytes(R"({"__metadata__":{"format":"pt","part":"1"},)" +
                                        byte_entry("c", 0, 2) + "," + byte_entry("a", 2, 6) + "}",
                                    6));
    scratch.write(second,
                  safetensors_bytes(R"({"__metadata__":{"format":"pt","part":"2","more":"x"},)" +
                                        byte_entry("b", 0, 3) + "}",
                                    3));
    index({{"a", first}, {"b", second}, {"c", first}});
  }
  void index(Map const& map, std::string const& metadata = R"({"total_size":9})") const {
    scratch.write(index_name, index_text(map, metadata));
  }
  Failure failing(io::ReadOptions const& options = {}) const {
    auto const failure = failure_of([&] { io::Checkpoint const c(scratch / index_name, options); });
    REQUIRE(failure);
    INFO(failure->message);
    CHECK(failure->status == 65);
    CHECK(contains(failure->diagnosis.file, scratch.path().string()));
    return *failure;
  }
  ScratchDirectory scratch;
};

}  // namespace

TEST_CASE("a single file and shards look alike") {
  Sharded const s;
  io::Checkpoint const sharded(s.scratch / index_name);
  CHECK(sharded.is_sharded());
  CHECK(sharded.files().size() == 2);
  CHECK(sharded.bytes() == 9);
  CHECK(sharded.warnings().empty());
  CHECK(sharded.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(sharded.tensors().size() == 3);
  CHECK(sharded.tensors()[0].info.name == "a");
  CHECK(sharded.tensors()[1].info.name == "b");
  CHECK(sharded.tensors()[2].info.name == "c");
  CHECK(sharded.find("d") == nullptr);
  std::array<std::byte, 2> out{};
  sharded.read(*sharded.find("a"), 1, out);
  CHECK(out == std::array{std::byte{3}, std::byte{4}});
  sharded.read(*sharded.find("b"), 1, out);
  CHECK(out == std::array{std::byte{1}, std::byte{2}});
  sharded.expect_unchanged();

  io::Checkpoint const single(s.scratch / first);
  CHECK_FALSE(single.is_sharded());
  CHECK(single.metadata().size() == 2);
  CHECK(single.bytes() == 6);
}

TEST_CASE("a directory stands for the one checkpoint in it") {
  Sharded const s;
  CHECK(io::Checkpoint(s.scratch.path()).bytes() == 9);
  fs::remove(s.scratch / index_name);
  SECTION("two files without an index") {
    auto const failure = failure_of([&] { io::Checkpoint const c(s.scratch.path()); });
    REQUIRE(failure);
    CHECK(failure->status == 66);
    CHECK(contains(failure->message, "2 safetensors files: model-00001"));
  }
  SECTION("one file") {
    fs::remove(s.scratch / second);
    CHECK(io::Checkpoint(s.scratch.path()).bytes() == 6);
  }
  SECTION("none") {
    fs::remove(s.scratch / first);
    fs::remove(s.scratch / second);
    auto const failure = failure_of([&] { io::Checkpoint const c(s.scratch.path()); });
    REQUIRE(failure);
    CHECK(failure->status == 66);
    CHECK(contains(failure->message, "a directory without a checkpoint"));
  }
  SECTION("two indices") {
    s.index({{"a", first}});
    s.scratch.write("other.safetensors.index.json", "{}");
    auto const failure = failure_of([&] { io::Checkpoint const c(s.scratch.path()); });
    REQUIRE(failure);
    CHECK(failure->status == 66);
    CHECK(contains(failure->message, "2 indices"));
  }
}

TEST_CASE("an index name without a directory is looked up here") {
  Sharded const s;
  fs::path const before = fs::current_path();
  fs::current_path(s.scratch.path());
  CHECK(io::Checkpoint(index_name).bytes() == 9);
  fs::current_path(before);
}

TEST_CASE("shard names that reach outside are rejected before anything is opened") {
  Sharded const s;
  for (auto const& [name, fault] : Map{{"../" + std::string(first), "'..'"},
                                       {"..", "'..'"},
                                       {".", "'.'"},
                                       {"/etc/passwd", "absolute"},
                                       {"\\\\\\\\host\\\\share", "absolute"},
                                       {"sub/x.safetensors", "separator"},
                                       {"./x.safetensors", "separator"},
                                       {"sub\\\\x.safetensors", "separator"},
                                       {"..\\\\x.safetensors", "'..'"},
                                       {"C:x.safetensors", "drive letter"},
                                       {"c:\\\\x.safetensors", "drive letter"},
                                       {"x\\u0000.safetensors", "NUL"},
                                       {"x\\n.safetensors", "control character"},
                                       {"~/x.safetensors", "separator"},
                                       {"~root", "'~'"},
                                       {"https://host/x.safetensors", "URL"},
                                       {"file:x.safetensors", "':'"},
                                       {"x.safetensors:stream", "':'"},
                                       {"", "empty"}}) {
    INFO(name);
    s.index({{"a", first}, {"b", name}, {"c", first}});
    Failure const f = s.failing();
    CHECK(f.code == "unsafe-shard-name");
    CHECK(contains(f.diagnosis.found, fault));
    CHECK(contains(f.diagnosis.place, "tensor 'b', byte "));
  }
}

TEST_CASE("symbolic links of shards") {
  Sharded const s;
  ScratchDirectory const elsewhere;
  SECTION("inside the directory are followed") {
    fs::rename(s.scratch / second, s.scratch / "blob");
    fs::create_symlink("blob", s.scratch / second);
    CHECK(io::Checkpoint(s.scratch / index_name).bytes() == 9);
  }
  SECTION("outside only on request, as for the Hugging Face cache") {
    fs::rename(s.scratch / second, elsewhere / "blob");
    fs::create_symlink(elsewhere / "blob", s.scratch / second);
    Failure const f = s.failing();
    CHECK(f.code == "link-leads-outside");
    CHECK(contains(f.message, "Hugging Face cache"));
    CHECK(io::Checkpoint(s.scratch / index_name, {.allow_links = true}).bytes() == 9);
  }
  SECTION("through a link to a directory inside that leads outside") {
    fs::rename(s.scratch / second, elsewhere / "blob");
    fs::create_directory_symlink(elsewhere.path(), s.scratch / "sub");
    fs::create_symlink("sub/blob", s.scratch / second);
    CHECK(s.failing().code == "link-leads-outside");
  }
  SECTION("to a directory whose name begins alike") {
    fs::path const twin = s.scratch.path().string() + "-twin";
    fs::create_directory(twin);
    fs::rename(s.scratch / second, twin / "blob");
    fs::create_symlink(twin / "blob", s.scratch / second);
    CHECK(s.failing().code == "link-leads-outside");
    fs::remove_all(twin);
  }
  SECTION("to nothing") {
    fs::remove(s.scratch / second);
    fs::create_symlink("none", s.scratch / second);
    CHECK(s.failing().code == "link-leads-outside");
  }
  SECTION("of the index and its directory are the user's choice") {
    fs::create_directory_symlink(s.scratch.path(), elsewhere / "model");
    CHECK(io::Checkpoint(elsewhere / "model" / index_name).bytes() == 9);
    CHECK(io::Checkpoint(elsewhere / "model").bytes() == 9);
  }
}

TEST_CASE("a shard that is no regular file ends with 66") {
  Sharded const s;
  fs::remove(s.scratch / second);
  fs::create_directory(s.scratch / second);
  auto const failure = failure_of([&] { io::Checkpoint const c(s.scratch / index_name); });
  REQUIRE(failure);
  CHECK(failure->status == 66);
  CHECK(contains(failure->message, "a directory"));
}

TEST_CASE("disagreements of index and shards list their tensors") {
  Sharded const s;
  SECTION("the same tensor in two shards") {
    s.scratch.write(
        second,
        safetensors_bytes("{" + byte_entry("b", 0, 3) + "," + byte_entry("a", 3, 4) + "}", 4));
    Failure const f = s.failing();
    CHECK(f.code == "tensor-in-two-shards");
    CHECK(contains(f.message, "tensors in two shards (1): 'a' ('" + std::string(first) + "', '" +
                                  second + "')"));
  }
  SECTION("a tensor in another shard than listed") {
    s.index({{"a", first}, {"b", second}, {"c", second}});
    Failure const f = s.failing();
    CHECK(f.code == "tensor-in-wrong-shard");
    CHECK(contains(f.message, "'c' (in '" + std::string(first) + "', listed in '" + second + "')"));
  }
  SECTION("a listed shard that is missing") {
    fs::remove(s.scratch / first);
    fs::remove(s.scratch / second);
    Failure const f = s.failing();
    CHECK(f.code == "shard-missing");
    CHECK(contains(f.message, "2 shards not in the directory: '" + std::string(first) + "', '" +
                                  second + "'"));
  }
  SECTION("a shard that is present but not listed") {
    s.scratch.write("model-00003-of-00003.safetensors", "not even opened");
    s.scratch.write("unrelated.safetensors", "of another model");
    Failure const f = s.failing();
    CHECK(f.code == "shard-not-listed");
    CHECK(contains(f.message, "model-00003-of-00003"));
    CHECK_FALSE(contains(f.message, "unrelated"));
    fs::remove(s.scratch / "model-00003-of-00003.safetensors");
    CHECK(io::Checkpoint(s.scratch / index_name).bytes() == 9);
    auto const whole = failure_of([&] { io::Checkpoint const c(s.scratch.path()); });
    REQUIRE(whole);
    CHECK(whole->code == "shard-not-listed");
    CHECK(contains(whole->message, "unrelated"));
  }
  SECTION("a listed tensor that no shard holds") {
    s.index({{"a", first}, {"b", second}, {"c", first}, {"d", first}});
    Failure const f = s.failing();
    CHECK(f.code == "tensor-missing");
    CHECK(contains(f.message, "'d' (listed in '" + std::string(first) + "')"));
  }
  SECTION("a tensor that the index does not list") {
    s.index({{"a", first}, {"b", second}});
    Failure const f = s.failing();
    CHECK(f.code == "tensor-not-in-index");
    CHECK(contains(f.message, "'c' ('" + std::string(first) + "')"));
  }
  SECTION("a tensor twice in the index, even with the same shard, even escaped") {
    s.index({{"a", first},
             {"b", second},
             {"c", first},
             {"\\u0061", first},
             {"b", first},
             {"b", second}});
    Failure const f = s.failing();
    CHECK(f.code == "duplicate-key");
    CHECK(contains(f.message, "2 tensors more than once: 'a', 'b'"));
  }
  SECTION("more than twenty") {
    Map map{{"a", first}, {"b", second}, {"c", first}};
    for (int i = 0; i < 27; ++i) {
      map.emplace_back("x" + std::to_string(100 + i), first);
    }
    s.index(map);
    Failure const f = s.failing();
    CHECK(contains(f.message, "listed tensors in no shard (27): 'x100'"));
    CHECK(contains(f.message, "and 7 more"));
    CHECK(contains(f.message, "'x119'"));
    CHECK_FALSE(contains(f.message, "'x120'"));
  }
}

TEST_CASE("the declared total size must be the sum, or warns") {
  Sharded const s;
  Map const map{{"a", first}, {"b", second}, {"c", first}};
  s.index(map, R"({"total_size":10})");
  Failure const f = s.failing();
  CHECK(f.code == "wrong-total-size");
  CHECK(contains(f.message, "total_size 10, expected 9"));
  io::Checkpoint const lenient(s.scratch / index_name, {.lenient = true});
  REQUIRE(lenient.warnings().size() == 1);
  CHECK(contains(lenient.warnings()[0], "total_size 10"));
  s.index(map, "{}");
  CHECK(io::Checkpoint(s.scratch / index_name).warnings().size() == 1);
  s.index(map, R"({"total_size":9,"total_parameters":1e9,"by":{"tool":["x",null]}})");
  CHECK(io::Checkpoint(s.scratch / index_name).warnings().empty());
}

TEST_CASE("malformed indices are rejected") {
  Sharded const s;
  auto const code = [&](std::string const& text) {
    s.scratch.write(index_name, text);
    return s.failing().code;
  };
  std::string const map = R"("weight_map":{"b":")" + std::string(second) + R"("})";
  CHECK(code("[]") == "wrong-type");
  CHECK(code("{}") == "missing-field");
  CHECK(code(R"({"metadata":{"total_size":3}})") == "missing-field");
  CHECK(code(R"({"weight_map":{}})") == "empty-index");
  CHECK(code("{" + map + "," + map + "}") == "duplicate-key");
  CHECK(code(R"({"metadata":{"total_size":3,"total_size":3},)" + map + "}") == "duplicate-key");
  CHECK(code(R"({"metadata":{"x":{"y":1,"y":1}},)" + map + "}") == "duplicate-key");
  CHECK(code(R"({"metadata":{"total_size":-3},)" + map + "}") == "negative-number");
  CHECK(code(R"({"metadata":{"total_size":"3"},)" + map + "}") == "wrong-type");
  CHECK(code(R"({"metadata":null,)" + map + "}") == "wrong-type");
  CHECK(code(R"({"weight_map":{"b":1}})") == "wrong-type");
  CHECK(code(R"({"weight_map":null})") == "wrong-type");
  CHECK(code("{" + map + R"(,"extra":1})") == "unknown-field");
  CHECK(code("{" + map + "}x") == "trailing-text");
  CHECK(code("{" + map) == "not-json");
  CHECK(code(R"({"metadata":{"x":[[[1]]]},)" + map + "}") == "too-deep");
  CHECK(code("\xef\xbb\xbf{" + map + "}") == "byte-order-mark");
  CHECK(code(std::string("{\"") + "\xc0\xaf" + "\":1}") == "invalid-utf8");
}

TEST_CASE("an index above the size limit is refused unread") {
  Sharded const s;
  fs::resize_file(s.scratch / index_name, 100'000'001);
  CHECK(s.failing().code == "index-too-large");
}

TEST_CASE("an index that changes while its shards are read ends with 74") {
  Sharded const s;
  io::Checkpoint const c(s.scratch / index_name);
  fs::resize_file(s.scratch / index_name, 10);
  auto const failure = failure_of([&] { c.expect_unchanged(); });
  REQUIRE(failure);
  CHECK(failure->status == 74);
}

TEST_CASE("shard stems") {
  CHECK(io::shard_stem("model-00001-of-00002.safetensors") == "model");
  CHECK(io::shard_stem("m.fp16-1-of-2.safetensors") == "m.fp16");
  for (char const* const other : {"model.safetensors", "-1-of-2.safetensors", "a-1-of-.safetensors",
                                  "a1-of-2.safetensors", "a-1-of-2.bin", ".safetensors", ""}) {
    CHECK(io::shard_stem(other).empty());
  }
}

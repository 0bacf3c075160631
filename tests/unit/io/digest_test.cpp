// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Expected values are those of Python's hashlib; the comment of each says how to get it again.
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/digest.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::bytes_of;
using dashi::reader_test::ScratchDirectory;

TEST_CASE("SHA-256 gives the standard's values") {
  // FIPS 180-4 examples
  CHECK(hex(sha256(bytes_of(""))) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256(bytes_of("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  hash.update("a");
  hash.update(bytes_of("bc"));
  CHECK(hash.finish() == sha256(bytes_of("abc")));
  CHECK(hash.finish() == sha256(bytes_of("")));  // starts over
}

TEST_CASE("XXH3 gives the values that xxh128sum prints") {
  CHECK(hex(digest_of<Xxh3>(bytes_of(""))) == "99aa06d3014798d86001c324468d497f");
  CHECK(hex(digest_of<Xxh3>(bytes_of("a"))) == "a96faf705af16834e6c632b61e964e1f");
  CHECK(hex(digest_of<Xxh3>(bytes_of("abc"))) == "06b05ab6733a618578af5f94892f3950");
  Xxh3 hash;
  std::vector<std::byte> text;
  for (int i = 0; i < 5000; ++i) {  // longer than its buffer and its stripes
    std::string const digits = std::to_string(i);
    auto const part = bytes_of(digits);
    hash.update(part);
    text.insert(text.end(), part.begin(), part.end());
  }
  CHECK(hash.finish() == digest_of<Xxh3>(text));
  CHECK(hash.finish() == digest_of<Xxh3>({}));  // starts over
}

namespace {

std::vector<TensorDigest> two_tensors() {
  return {{"b", Dtype::f32, {2, 3}, sha256(bytes_of("second"))},
          {"a\xc3\xa9", Dtype::bf16, {}, sha256(bytes_of("first"))}};
}

}  // namespace

TEST_CASE("the digest of a member is that of its documented byte string") {
  // u = lambda n: n.to_bytes(8, "little"); t = lambda s: u(len(s)) + s; h = lambda b:
  // sha256(b).digest() sha256(b"dashi tensors 1\n" + u(0)).hexdigest()
  CHECK(member_digest({}) == "5c187e508c3c43ee53b30b3c131a446138bda469759d3eee1e16d0103af4f625");
  // sha256(b"dashi tensors 1\n" + u(2) + t("aé".encode()) + t(b"BF16") + u(0) + h(b"first") +
  //        t(b"b") + t(b"F32") + u(2) + u(2) + u(3) + h(b"second")).hexdigest()
  CHECK(member_digest(two_tensors()) ==
        "596745cab47cce39dc4ba9c2729a49b6371f70e32cbfea0444a77286a454994e");
}

TEST_CASE("the digest of a member by XXH3 is that of the same string") {
  std::string text = "dashi tensors 1\n";
  auto const number = [&](char value) { text += std::string{value, 0, 0, 0, 0, 0, 0, 0}; };
  number(1);
  number(1);
  text += "b";
  number(3);
  text += "F32";
  number(2);
  number(2);
  number(3);
  Xxh3::Digest const second = digest_of<Xxh3>(bytes_of("second"));
  text.append(reinterpret_cast<char const*>(second.data()), second.size());
  CHECK(member_digest<Xxh3>({{"b", Dtype::f32, {2, 3}, second}}) ==
        "xxh3-128:" + hex(digest_of<Xxh3>(bytes_of(text))));
  CHECK(placeholder_digest(DigestKind::xxh3) == "xxh3-128:" + std::string(32, '0'));
  CHECK(placeholder_digest(DigestKind::sha256) == std::string(64, '0'));
}

TEST_CASE("the digest of a member depends on content and not on order") {
  auto const digest = member_digest(two_tensors());
  auto changed = two_tensors();
  std::swap(changed[0], changed[1]);
  CHECK(member_digest(changed) == digest);
  changed = two_tensors();
  changed[0].shape = {3, 2};
  CHECK(member_digest(changed) != digest);
  changed = two_tensors();
  changed[0].dtype = Dtype::i32;
  CHECK(member_digest(changed) != digest);
  changed = two_tensors();
  changed[0].name = "c";
  CHECK(member_digest(changed) != digest);
  changed = two_tensors();
  changed[1].digest[31] ^= std::byte{1};
  CHECK(member_digest(changed) != digest);
}

TEST_CASE("a checkpoint has one digest in any sharding, with any metadata and number of threads") {
  ScratchDirectory const folder;
  std::vector<TensorSpec> const specs{
      {"large", Dtype::u8, {3'000'001}}, {"none", Dtype::f32, {0, 4}}, {"scalar", Dtype::f64, {}}};
  std::vector<std::vector<std::byte>> data;
  std::vector<TensorDigest> expected;
  for (TensorSpec const& spec : specs) {
    data.emplace_back(tensor_bytes(spec));
    for (std::size_t i = 0; i < data.back().size(); ++i) {
      data.back()[i] = static_cast<std::byte>(i * i >> 3 & 0xffU);
    }
    expected.push_back({spec.name, spec.dtype, spec.shape, sha256(data.back())});
  }
  auto const write = [&](std::string const& name, std::optional<std::uint64_t> largest,
                         std::map<std::string, std::string> const& metadata) {
    CheckpointWriter writer(folder / name, specs, metadata, {.file = {}, .largest_shard = largest});
    for (std::size_t t = 0; t < specs.size(); ++t) {
      writer.write(t, 0, data[t]);
    }
    writer.commit();
    return Checkpoint(writer.path());
  };
  Checkpoint const single = write("single.safetensors", {}, {{"format", "pt"}});
  Checkpoint const sharded = write("sharded.safetensors", 1'000'000, {});
  REQUIRE(sharded.files().size() == 2);
  auto const digest = member_digest(expected);
  for (std::size_t const threads : {0U, 1U, 2U, 7U}) {
    ProgressCounter progress;
    CHECK(checkpoint_digest(single, threads, progress) == digest);
    CHECK(progress.total() == single.bytes());
    CHECK(progress.done() == single.bytes());
    CHECK(checkpoint_digest(sharded, threads) == digest);
  }
  ContentDigests const both = checkpoint_digests(sharded, 2);
  CHECK(both.sha256 == digest);
  CHECK(both.xxh3 == checkpoint_digest<Xxh3>(single, 1));
  CHECK(both.xxh3.starts_with("xxh3-128:"));
  auto const digests = tensor_digests(single, 2);
  REQUIRE(digests.size() == 3);
  CHECK(digests[0].name == "large");
  CHECK(digests[0].digest == sha256(data[0]));
}

TEST_CASE("a digest of a file that shrinks ends with the reader's error") {
  ScratchDirectory const folder;
  SafetensorsWriter writer(
      folder / "m.safetensors",
      SafetensorsLayout({{"a", Dtype::u8, {4'000'000}}, {"b", Dtype::u8, {4'000'000}}}));
  std::vector<std::byte> const zeros(4'000'000);
  writer.write(0, 0, zeros);
  writer.write(1, 0, zeros);
  writer.commit();
  Checkpoint const checkpoint(folder / "m.safetensors");
  std::filesystem::resize_file(folder / "m.safetensors", 5'000'000);
  auto const failure = dashi::reader_test::failure_of([&] { checkpoint_digest(checkpoint, 2); });
  REQUIRE(failure);
  CHECK(failure->status == 74);
}

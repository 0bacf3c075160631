// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ordered_digest.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

using namespace dashi::merging;
namespace io = dashi::io;

namespace {

std::vector<std::byte> noise(std::size_t count, unsigned seed) {
  std::vector<std::byte> out(count);
  for (std::byte& b : out) {
    seed = seed * 1664525U + 1013904223U;
    b = static_cast<std::byte>(seed >> 24);
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("parts hashed by many workers give the digest of the whole", "", io::Sha256,
                   io::Xxh3) {
  using Tensor = io::TensorDigestOf<TestType>;
  int const workers = GENERATE(1, 2, 8);
  std::size_t const piece = GENERATE(std::size_t{64}, std::size_t{1000}, std::size_t{100000});
  std::vector<std::vector<std::byte>> const members{noise(40000, 1), noise(40000, 2),
                                                    noise(40000, 3)};
  Tensor const tensor{"a", io::Dtype::u8, {40000}, {}};
  Tensor const empty{"b", io::Dtype::f32, {0}, {}};
  OrderedDigest<TestType> digest;
  for (std::size_t m = 0; m < members.size(); ++m) {
    REQUIRE(digest.add_member({empty, tensor}) == m);
  }
  std::uint64_t const chunks = (40000 + piece - 1) / piece;
  run_chunks(chunks, workers, [&](int, std::uint64_t chunk) {
    std::size_t const offset = static_cast<std::size_t>(chunk) * piece;
    if (chunk % 5 == 0) {  // let later chunks come first
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    for (std::size_t m = 0; m < members.size(); ++m) {
      auto const bytes = std::span(members[m]).subspan(offset, std::min(piece, 40000 - offset));
      digest.update(chunk, m, 1, offset, 40000, bytes);
    }
  });
  for (std::size_t m = 0; m < members.size(); ++m) {
    Tensor whole = tensor;
    whole.digest = io::digest_of<TestType>(members[m]);
    Tensor nothing = empty;
    nothing.digest = io::digest_of<TestType>({});
    CHECK(digest.member_digest(m) == io::member_digest<TestType>({whole, nothing}));
  }
}

TEST_CASE("a chunk that fails frees those that wait for it") {
  OrderedDigest<io::Sha256> digest;
  digest.add_member({{"a", io::Dtype::u8, {1000}, {}}});
  std::vector<std::byte> const bytes(10);
  std::string message;
  try {
    run_chunks(100, 8, [&](int, std::uint64_t chunk) {
      try {
        if (chunk == 5) {
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
          throw std::runtime_error("chunk 5");
        }
        digest.update(chunk, 0, 0, chunk * 10, 1000, bytes);
      } catch (...) {
        digest.abandon_after(chunk);
        throw;
      }
    });
  } catch (std::exception const& error) {
    message = error.what();
  }
  CHECK(message == "chunk 5");
  CHECK_THROWS_AS(digest.member_digest(0), dashi::PreconditionError);
}

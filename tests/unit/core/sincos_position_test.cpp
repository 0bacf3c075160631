// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/sincos_position.hpp>
#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <shared_data.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

using namespace dashi;

TEST_CASE("positions are sines and cosines, the column first") {
  std::int64_t const height = 3;
  std::int64_t const width = 5;
  std::int64_t const dim = 8;
  auto const table = position_embedding(height, width, dim);
  REQUIRE(table.size() == 3U * 5U * 8U);
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      auto const x = static_cast<double>(column);
      auto const y = static_cast<double>(row);
      double const expected[] = {std::sin(x), std::sin(x / 100), std::cos(x), std::cos(x / 100),
                                 std::sin(y), std::sin(y / 100), std::cos(y), std::cos(y / 100)};
      for (std::int64_t k = 0; k < dim; ++k) {
        auto const at = static_cast<std::size_t>((row * width + column) * dim + k);
        CHECK(std::abs(table[at] - expected[k]) < 1e-15);
        CHECK(table[at] == SincosPosition(height, width, dim)(row * width + column, k));
      }
    }
  }
}

TEST_CASE("positions refuse what has no table") {
  CHECK_THROWS_AS(SincosPosition(4, 4, 6), PreconditionError);
  CHECK_THROWS_AS(SincosPosition(4, 4, 0), PreconditionError);
  CHECK_THROWS_AS(SincosPosition(0, 4, 8), PreconditionError);
  CHECK_THROWS_AS(SincosPosition(4, -1, 8), PreconditionError);
}

TEST_CASE("positions have the bits of the reference's tables") {
  struct Row {
    std::string file, tensor;
    std::int64_t side, dim;
  };
  std::vector<Row> const rows{{"dit_original_a/weights.safetensors", "pos_embed", 4, 48},
                              {"dit_original_b/weights.safetensors", "pos_embed", 4, 32},
                              {"dit_original_c_nosigma/weights.safetensors", "pos_embed", 6, 24},
                              {"dit_diffusers_a/io.safetensors", "pos_embed_table", 4, 24},
                              {"dit_diffusers_b_untied/io.safetensors", "pos_embed_table", 2, 24}};
  for (Row const& row : rows) {
    INFO(row.file);
    io::SafetensorsFile const file(test::shared_data("golden/" + row.file));
    auto const* const info = file.header().find(row.tensor);
    REQUIRE(info != nullptr);
    std::vector<float> stored(info->elements());
    file.read(*info, 0, std::as_writable_bytes(std::span(stored)));
    auto const table = position_embedding(row.side, row.side, row.dim);
    REQUIRE(table.size() == stored.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
      auto const value = static_cast<float>(table[i]);
      different += std::memcmp(&value, &stored[i], sizeof(float)) != 0 ? 1U : 0U;
    }
    CHECK(different == 0);
  }
}

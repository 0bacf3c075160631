// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/precision.hpp>

#include <catch2/catch_test_macros.hpp>

namespace {

using namespace dashi::precision;

static_assert(dashi::require_precision<Float64>() && dashi::require_precision<Float32>());
static_assert(dashi::require_precision<Bf16Mixed>() && dashi::require_precision<Fp16Mixed>());

struct Mine {  // what the concept asks for and nothing more
  using storage = dashi::Float8E4M3;
  using compute = dashi::BFloat16;
  using accumulate = float;
  using master = double;
};
static_assert(dashi::Precision<Mine>);

struct WithoutMaster {
  using storage = float;
  using compute = float;
  using accumulate = float;
};
struct OfIntegers {
  using storage = int;
  using compute = float;
  using accumulate = float;
  using master = float;
};
static_assert(!dashi::Precision<WithoutMaster>);
static_assert(!dashi::Precision<OfIntegers>);
static_assert(!dashi::Precision<float>);

}  // namespace

TEST_CASE("tolerance is the coarsest rounding of a policy", "[precision]") {
  CHECK(dashi::tolerance<Float64>() == 0x1p-53);
  CHECK(dashi::tolerance<Float32>() == 0x1p-24);
  CHECK(dashi::tolerance<Bf16Mixed>() == 0x1p-8);
  CHECK(dashi::tolerance<Fp16Mixed>() == 0x1p-11);
  CHECK(dashi::tolerance<Mine>() == 0x1p-4);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/merging/private_folder.hpp>

#include <catch2/catch_test_macros.hpp>
#include <merge_files.hpp>

#include <limits>
#include <string>
#include <vector>

namespace {

using namespace dashi;
using checkpoints::DtypeRule;
using test::file_tensor;

struct Files {
  merging::PrivateFolder folder{std::filesystem::temp_directory_path()};
  std::filesystem::path in = folder.path() / "in.safetensors";
  std::filesystem::path out = folder.path() / "out.safetensors";

  io::Checkpoint write(std::vector<float> const& values) const {
    test::write_member(in,
                       {file_tensor("w", io::Dtype::f32, {values.size()}, values),
                        file_tensor<std::int64_t>("ids", io::Dtype::i64, {1}, {7})},
                       "1", {{"format", "pt"}});
    return io::Checkpoint(in);
  }
};

TEST_CASE("conversion does not depend on threads", "[checkpoints]") {
  Files const files;
  io::Checkpoint const in = files.write(test::random_floats(300'000, 3));
  auto const plan = checkpoints::plan_conversion(in, {.dtype = io::Dtype::bf16});
  CHECK(plan.converted == 1);
  std::string first;
  for (int const workers : {1, 3}) {
    checkpoints::convert_dtype(plan, in.metadata(), files.out, {.file = {.force = true}},
                               {.stream = {.workers = workers}});
    std::string const bytes = test::file_bytes(files.out);
    CHECK((first.empty() || bytes == first));
    first = bytes;
  }
  io::Checkpoint const out(files.out);
  auto const before = test::read_values<float>(in, "w");
  auto const after = test::read_values<BFloat16>(out, "w");
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    wrong += after[i].bits != convert<BFloat16>(before[i]).bits ? 1U : 0U;
  }
  CHECK(wrong == 0);
  CHECK(test::read_values<std::int64_t>(out, "ids") == std::vector<std::int64_t>{7});
}

TEST_CASE("overflow names the first element and counts the whole tensor", "[checkpoints]") {
  Files const files;
  std::vector<float> values(200'000, 1);
  values[150'000] = values[70'000] = -1e9F;
  io::Checkpoint const in = files.write(values);
  auto const plan = checkpoints::plan_conversion(in, {.dtype = io::Dtype::f16});
  for (int const workers : {1, 3}) {
    try {
      checkpoints::convert_dtype(plan, {}, files.out, {}, {.stream = {.workers = workers}});
      FAIL("no exception");
    } catch (FormatError const& error) {
      CHECK(error.diagnosis().code == "overflow");
      CHECK(error.diagnosis().place == "tensor 'w' element 70000");
      CHECK(error.diagnosis().found.starts_with("2 beyond the largest F16"));
    }
    CHECK(test::names_in(files.folder.path()) == std::vector<std::string>{"in.safetensors"});
  }
  auto const result = checkpoints::convert_dtype(plan, {}, files.out, {},
                                                 {.overflow = merging::OverflowPolicy::saturate});
  CHECK(result.counts.overflowed == 2);
  CHECK(test::read_values<Float16>(io::Checkpoint(files.out), "w")[70'000].bits == 0xfbff);
}

TEST_CASE("only finite numbers saturate", "[checkpoints]") {
  Files const files;
  float const inf = std::numeric_limits<float>::infinity();
  io::Checkpoint const in = files.write({inf, 1e9F, -1e9F, 1});
  auto const plan = checkpoints::plan_conversion(in, {.dtype = io::Dtype::f8_e5m2});
  checkpoints::ConvertOptions options{.nonfinite = merging::NonfinitePolicy::propagate,
                                      .overflow = merging::OverflowPolicy::saturate};
  checkpoints::convert_dtype(plan, {}, files.out, {}, options);
  CHECK(test::read_values<std::uint8_t>(io::Checkpoint(files.out), "w") ==
        std::vector<std::uint8_t>{0x7c, 0x7b, 0xfb, 0x3c});
}

TEST_CASE("rules are tried in their order", "[checkpoints]") {
  Files const files;
  io::Checkpoint const in = files.write({1});
  auto const target = [&](std::vector<DtypeRule> rules) {
    auto const plan =
        checkpoints::plan_conversion(in, {.dtype = io::Dtype::f64, .rules = std::move(rules)});
    return plan.tensors[1].to;  // after "ids"
  };
  CHECK(target({}) == io::Dtype::f64);
  CHECK(target({DtypeRule("^x", io::Dtype::f16)}) == io::Dtype::f64);
  CHECK(target({DtypeRule("w", std::nullopt), DtypeRule("w", io::Dtype::f16)}) == io::Dtype::f32);
  CHECK_THROWS_AS(target({DtypeRule("ids", io::Dtype::f16)}), FormatError);
  CHECK_THROWS_AS(target({DtypeRule("w", io::Dtype::i8)}), UsageError);
  CHECK_THROWS_AS(DtypeRule("(", io::Dtype::f16), UsageError);
  CHECK_THROWS_AS(DtypeRule("\xff", io::Dtype::f16), UsageError);
}

TEST_CASE("the recipe is canonical JSON beside the metadata of the input", "[checkpoints]") {
  Files const files;
  io::Checkpoint const in = files.write({1});
  checkpoints::ConvertRequest request;
  request.rules.emplace_back("a\"b", io::Dtype::f16);
  auto const metadata = checkpoints::converted_metadata(in, request, "d1");
  CHECK(metadata.at("format") == "pt");
  CHECK(metadata.at("dashi.convert") ==
        R"({"digest":"d1","dtype":"same","input":"in.safetensors","rules":[["a\"b","F16"]]})");
}

TEST_CASE("an input is never replaced", "[checkpoints]") {
  Files const files;
  io::Checkpoint const in = files.write({1});
  std::string const before = test::file_bytes(files.in);
  auto const plan = checkpoints::plan_conversion(in, {.dtype = io::Dtype::f16});
  CHECK_THROWS_AS(checkpoints::convert_dtype(plan, {}, files.in, {.file = {.force = true}}),
                  IoError);
  CHECK(test::file_bytes(files.in) == before);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/training/batch_draw.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <training_fixture.hpp>

#include <cmath>
#include <set>
#include <vector>

using namespace dashi;
using namespace dashi::training;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr diffusion::BackboneShape shape{1, 2, 8, 8, 3};
using Draw = BatchDraw<Squares, Squares>;

std::vector<float> image(Draw const& draw, Index sample) {
  std::vector<float> chw(64);
  draw.read(sample, chw);
  return chw;
}

}  // namespace

TEST_CASE("labels are dropped as often as asked", "[batch_draw]") {
  Squares const data;
  TrainOptions options;
  BatchLayout const layout{1000, 0, 1000};
  for (double const rate : {0.0, 0.1, 1.0}) {
    options.label_dropout = rate;
    int dropped = 0;
    for (std::uint64_t step = 0; step < 10; ++step) {
      Draw const draw(options, layout, shape, step, data, nullptr);
      for (Index n = 0; n < layout.batch; ++n) {
        bool const null = draw.label(n) == shape.null_label();
        dropped += null ? 1 : 0;
        CHECK((null || draw.label(n) == data.label(draw.item(n))));
      }
    }
    CHECK(std::fabs(dropped - rate * 10000) <= 150);  // five standard deviations
    CHECK((rate == 0.1 || dropped == static_cast<int>(rate * 10000)));
  }
}

TEST_CASE("half of the images are mirrored where asked", "[batch_draw]") {
  Squares const data;
  TrainOptions options;
  options.flip = true;
  BatchLayout const layout{200, 0, 200};
  Draw const draw(options, layout, shape, 4, data, nullptr);
  options.flip = false;
  int flipped = 0;
  for (Index n = 0; n < layout.batch; ++n) {
    std::vector<float> stored(64);
    data.read(draw.item(n), stored);
    std::vector<float> mirrored(64);
    for (std::size_t k = 0; k < 64; ++k) {
      mirrored[k] = stored[k / 8 * 8 + 7 - k % 8];
    }
    CHECK(image(draw, n) == stored);
    options.flip = true;
    CHECK(image(draw, n) == (draw.flipped(n) ? mirrored : stored));
    flipped += draw.flipped(n) ? 1 : 0;
    options.flip = false;
  }
  CHECK(std::abs(flipped - 100) < 36);
}

TEST_CASE("a mixed batch is 26 targets and 6 sources on the null label", "[batch_draw]") {
  Squares const data;
  Squares bank;
  bank.count = 11;
  bank.brightness = 0.5F;
  TrainOptions options;
  options.label_dropout = 0;
  diffusion::ChainOfForgetting const policy;
  BatchLayout const layout{32, policy.source_samples(32), 32};
  CHECK(layout.targets() == 26);
  Draw const draw(options, layout, shape, 0, data, &bank);
  std::set<std::size_t> banked;
  for (Index n = 0; n < 32; ++n) {
    CHECK(draw.is_source(n) == (n >= 26));
    CHECK((draw.label(n) == shape.null_label()) == (n >= 26));
    std::vector<float> expected(64);
    (n < 26 ? data : bank).read(draw.item(n), expected);
    CHECK(image(draw, n) == expected);
    if (n >= 26) {
      banked.insert(draw.item(n));
    }
  }
  CHECK(banked.size() == 6);
  CHECK_THROWS_AS(Draw(options, layout, shape, 0, data, nullptr), PreconditionError);
}

TEST_CASE("chunks know their sources", "[batch_draw]") {
  BatchLayout const layout{32, 6, 8};
  CHECK(layout.chunks() == 4);
  CHECK(layout.sources_of(0) == 0);
  CHECK(layout.sources_of(2) == 0);
  CHECK(layout.sources_of(3) == 6);
  BatchLayout const small{12, 5, 4};
  CHECK(small.sources_of(1) == 1);
  CHECK(small.sources_of(2) == 4);
  CHECK_THROWS_AS((BatchLayout{10, 0, 4}.check()), PreconditionError);
  CHECK_THROWS_AS((BatchLayout{10, 10, 5}.check()), PreconditionError);
}

TEST_CASE("data that does not fit the network is refused", "[batch_draw]") {
  TrainOptions options;
  BatchLayout const layout{8, 0, 8};
  Squares wide;
  wide.channels = 3;
  CHECK_THROWS_AS(Draw(options, layout, shape, 0, wide, nullptr), FormatError);
  Squares more;
  more.classes = 5;
  CHECK_THROWS_WITH(checked_label(more, 4, 3), ContainsSubstring("image 4") &&
                                                   ContainsSubstring("class 4") &&
                                                   ContainsSubstring("0 to 2"));
}

TEST_CASE("options without a meaning are refused by name", "[batch_draw]") {
  auto const refused = [](auto const& change) {
    TrainOptions options;
    change(options);
    CHECK_THROWS_AS(options.check(), UsageError);
  };
  refused([](TrainOptions& o) { o.batch = 0; });
  refused([](TrainOptions& o) { o.accumulate = 3; });
  refused([](TrainOptions& o) { o.beta1 = 1; });
  refused([](TrainOptions& o) { o.average_decay = -0.1; });
  refused([](TrainOptions& o) { o.clip_norm = NAN; });
  refused([](TrainOptions& o) { o.label_dropout = 1.5; });
  refused([](TrainOptions& o) { o.epsilon = 0; });
  refused([](TrainOptions& o) { o.learning_rate.peak = 0; });
}

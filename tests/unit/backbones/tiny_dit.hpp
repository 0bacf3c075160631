// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <dit_fixture.hpp>
#include <linear_fixture.hpp>
#include <set>
#include <string>
#include <vector>

namespace dashi::test {

/// Every size different, a head of four, a table of few classes.
inline DitConfig tiny_config() {
  DitConfig config;
  config.depth = 2;
  config.width = 8;
  config.heads = 2;
  config.mlp_width = 12;
  config.patch = 2;
  config.channels = 3;
  config.height = 4;
  config.width_pixels = 6;
  config.classes = 3;
  config.frequency_size = 10;
  return config;
}

/// The tiny net with noise in every parameter, all of them trained, and a batch.
template <class Net>
class TinyDit : public DitFixture<Net> {
public:
  static constexpr Index samples = 3;

  explicit TinyDit(typename Net::Options const& options = {}, DitConfig config = tiny_config())
      : DitFixture<Net>(config, samples, options) {
    train_where(this->list, [](auto const&) { return true; });
    fill_with_noise(this->list, 0.5);
    x = noise(static_cast<std::size_t>(samples * this->net.shape().image_size()), 1);
    d_out = noise(static_cast<std::size_t>(samples * this->net.shape().out_size()), 2);
    this->feed(x, {0, 17, 999}, {1, 3, 0});
  }

  double loss() {
    auto const out = this->forward();
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      sum += out[i] * d_out[i];
    }
    return sum;
  }

  std::vector<double> all_gradients() {
    std::vector<double> all = this->backward(d_out);
    for (auto const& entry : this->list) {
      auto const gradient = this->download(entry.parameter.gradient());
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    return all;
  }

  /// About ten elements of each parameter's gradient and of the images' against differences.
  void check_gradients(double tolerance = 1e-8) {
    (void)this->forward();
    auto const d_x = this->backward(d_out);
    std::vector<std::vector<double>> gradients;
    for (auto const& entry : this->list) {
      gradients.push_back(this->download(entry.parameter.gradient()));
    }
    std::set<std::string> names;
    for (std::size_t k = 0; k < this->list.size(); ++k) {
      auto const& entry = this->list[k];
      INFO(entry.name);
      CHECK(names.insert(entry.name).second);
      if (!entry.parameter.trained()) {
        CHECK(entry.kind == ParameterKind::buffer);
        continue;
      }
      auto const values = this->value(entry.name);
      double largest = 0;
      for (std::size_t const i : some_of(values.size())) {
        auto changed = values;
        auto const at = [&](double value) {
          changed[i] = value;
          entry.parameter.write(std::span<double const>(changed));
          return loss();
        };
        double const expected = derivative(at, values[i]);
        entry.parameter.write(std::span<double const>(values));
        REQUIRE(std::fabs(expected - gradients[k][i]) <
                tolerance * std::fmax(1, std::fabs(expected)));
        largest = std::fmax(largest, std::fabs(expected));
      }
      CHECK(largest > 1e-6);
    }
    for (std::size_t const i : some_of(x.size())) {
      auto changed = x;
      auto const at = [&](double value) {
        changed[i] = value;
        this->feed(changed, {0, 17, 999}, {1, 3, 0});
        return loss();
      };
      double const expected = derivative(at, x[i]);
      REQUIRE(std::fabs(expected - d_x[i]) < tolerance * std::fmax(1, std::fabs(expected)));
    }
    this->feed(x, {0, 17, 999}, {1, 3, 0});
  }

  std::vector<double> x, d_out;

private:
  /// Central differences of fourth order.
  template <class F>
  static double derivative(F const& at, double x) {
    constexpr double h = 2e-4;
    return (8 * (at(x + h) - at(x - h)) - (at(x + 2 * h) - at(x - 2 * h))) / (12 * h);
  }

  static std::vector<std::size_t> some_of(std::size_t size) {
    std::vector<std::size_t> chosen;
    std::size_t const stride = std::max<std::size_t>(1, size / 10);
    for (std::size_t i = 0; i < size; i += stride) {
      chosen.push_back(i);
    }
    return chosen;
  }
};

}  // namespace dashi::test

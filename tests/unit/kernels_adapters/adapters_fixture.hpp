// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrices in double on the host, their copies in a space and a type, and how far apart two may be.
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/precision.hpp>
#include <dashi/core/provider.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace dashi::test {

struct HostMatrix {
  Index rows = 0, cols = 0;
  std::vector<double> values;

  HostMatrix() = default;
  HostMatrix(Index r, Index c)
      : rows(r), cols(c), values(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)) {}

  double& operator()(Index i, Index j) { return values[static_cast<std::size_t>(i * cols + j)]; }
  double operator()(Index i, Index j) const {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
};

/// Normal(0, 1), rounded to T, so that a copy in T is exact.
template <class T>
HostMatrix random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937_64 engine(seed * 7919U + 13U);
  std::normal_distribution<double> normal;
  HostMatrix m(rows, cols);
  for (double& value : m.values) {
    value = convert<double>(convert<T>(normal(engine)));
  }
  return m;
}

inline HostMatrix transposed(HostMatrix const& m) {
  HostMatrix t(m.cols, m.rows);
  for (Index i = 0; i < m.rows; ++i) {
    for (Index j = 0; j < m.cols; ++j) {
      t(j, i) = m(i, j);
    }
  }
  return t;
}

inline HostMatrix product(HostMatrix const& a, HostMatrix const& b) {
  HostMatrix c(a.rows, b.cols);
  for (Index i = 0; i < a.rows; ++i) {
    for (Index k = 0; k < a.cols; ++k) {
      for (Index j = 0; j < b.cols; ++j) {
        c(i, j) += a(i, k) * b(k, j);
      }
    }
  }
  return c;
}

/// a + scale b
inline HostMatrix sum(HostMatrix a, double scale, HostMatrix const& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    a.values[i] += scale * b.values[i];
  }
  return a;
}

inline double inner_product(HostMatrix const& a, HostMatrix const& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    total += a.values[i] * b.values[i];
  }
  return total;
}

/// A matrix of T where Exec reaches it, rows `gap` elements further apart than they are long. The
/// gaps hold NaN, and must still do so at the end.
template <class T, class Exec>
class SpaceMatrix {
public:
  SpaceMatrix(Index rows, Index cols, Index gap = 0)
      : rows_(rows),
        cols_(cols),
        buffer_("matrix", static_cast<std::size_t>(rows), static_cast<std::size_t>(cols + gap)) {
    set(HostMatrix(rows, cols));
  }
  SpaceMatrix(HostMatrix const& m, Index gap = 0) : SpaceMatrix(m.rows, m.cols, gap) { set(m); }

  auto view() const {
    return Kokkos::subview(buffer_, Kokkos::ALL,
                           Kokkos::pair<std::size_t, std::size_t>(0, std::size_t(cols_)));
  }

  void set(HostMatrix const& m) {
    auto const host = Kokkos::create_mirror_view(buffer_);
    for (std::size_t i = 0; i < host.extent(0); ++i) {
      for (std::size_t j = 0; j < host.extent(1); ++j) {
        host(i, j) = convert<T>(j < static_cast<std::size_t>(cols_)
                                    ? m(static_cast<Index>(i), static_cast<Index>(j))
                                    : std::numeric_limits<double>::quiet_NaN());
      }
    }
    Kokkos::deep_copy(buffer_, host);
  }

  HostMatrix get() const {
    Kokkos::fence();
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), buffer_);
    HostMatrix m(rows_, cols_);
    for (std::size_t i = 0; i < host.extent(0); ++i) {
      for (std::size_t j = 0; j < host.extent(1); ++j) {
        if (j < static_cast<std::size_t>(cols_)) {
          m(static_cast<Index>(i), static_cast<Index>(j)) = convert<double>(host(i, j));
        } else {
          REQUIRE(is_nan(host(i, j)));
        }
      }
    }
    return m;
  }

private:
  Index rows_, cols_;
  Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space> buffer_;
};

template <class T, class Exec>
Kokkos::View<T*, typename Exec::memory_space> space_vector(HostMatrix const& m) {
  Kokkos::View<T*, typename Exec::memory_space> vector("vector", m.values.size());
  auto const host = Kokkos::create_mirror_view(vector);
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    host(i) = convert<T>(m.values[i]);
  }
  Kokkos::deep_copy(vector, host);
  return vector;
}

template <class View>
HostMatrix host_vector(View const& vector) {
  Kokkos::fence();
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), vector);
  HostMatrix m(1, static_cast<Index>(vector.extent(0)));
  for (std::size_t i = 0; i < host.extent(0); ++i) {
    m.values[i] = convert<double>(host(i));
  }
  return m;
}

template <class T>
constexpr double unit() {
  return dashi::detail::unit_roundoff<T>();
}

/// Largest difference over the largest reference element (or 1).
inline double distance(HostMatrix const& got, HostMatrix const& expected) {
  REQUIRE(got.values.size() == expected.values.size());
  double largest = 1;
  double worst = 0;
  for (std::size_t i = 0; i < got.values.size(); ++i) {
    largest = std::max(largest, std::abs(expected.values[i]));
    double const apart = std::abs(got.values[i] - expected.values[i]);
    worst = apart <= worst ? worst : apart;  // a NaN stays
  }
  return worst / largest;
}

/// A few roundings of T, and of the accumulator one for each of the `terms` of a sum.
template <class T>
double bound(Index terms) {
  using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;
  return 8 * unit<T>() + 4 * unit<Acc>() * static_cast<double>(terms);
}

/// Bits of what a computation leaves, to compare runs.
inline bool same_bits(HostMatrix const& a, HostMatrix const& b) {
  return a.values.size() == b.values.size() &&
         std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(double)) == 0;
}

template <class Exec_, class Provider_>
struct Where {
  using Exec = Exec_;
  using Provider = Provider_;
  using Ctx = Context<Exec, Provider>;
};

using Default = Where<Kokkos::DefaultExecutionSpace, DefaultProvider>;
using Portable = Where<Kokkos::DefaultExecutionSpace, provider::Portable>;
using SerialPortable = Where<Kokkos::Serial, provider::Portable>;

}  // namespace dashi::test

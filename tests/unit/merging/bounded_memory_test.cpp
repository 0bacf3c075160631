// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/merge_files.hpp"

#include <dashi/merging/mean_stream.hpp>
#include <dashi/merging/merge.hpp>

#include <catch2/catch_test_macros.hpp>

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace dashi;
using namespace dashi::merging;
using namespace dashi::test;
using io::Dtype;

namespace {

/// Anonymous memory of this process in bytes.
std::uint64_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "RssAnon:") {
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

/// The most that `work` adds to it, sampled every half millisecond.
template <class Work>
std::uint64_t peak_of(Work&& work) {
  malloc_trim(0);  // give back what is free, else the work could use it unseen
  std::uint64_t const before = anonymous_memory();
  std::atomic<std::uint64_t> peak = before;
  std::atomic<bool> done = false;
  std::thread watch([&] {
    while (!done) {
      peak = std::max(peak.load(), anonymous_memory());
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  work();
  done = true;
  watch.join();
  return peak - before;
}

struct First {
  static constexpr MergeTraits traits{.form = MergeForm::element};
  static constexpr std::string_view name = "first";
  void merge(MergeInput const& in, std::span<double> out) const {
    std::copy(in.member(0).begin(), in.member(0).end(), out.begin());
  }
};

}  // namespace

#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("memory stays within the budget, whatever the files' sizes") {
  constexpr std::uint64_t mebi = std::uint64_t{1} << 20;
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  std::vector<MergeMember> members;
  for (unsigned m = 0; m < 4; ++m) {  // 4 members of 32 MiB, half of it in one tensor
    std::vector<FileTensor> tensors{
        file_tensor("large", Dtype::f16, {8 * mebi}, random_halves(8 * mebi, 0x7c00, m))};
    for (int i = 0; i < 16; ++i) {
      tensors.push_back(file_tensor("t" + std::to_string(i), Dtype::f16, {mebi / 2},
                                    random_halves(mebi / 2, 0x7c00, m)));
    }
    members.push_back(write_member(folder.path() / (std::to_string(m) + ".safetensors"), tensors));
  }
  MergeOptions options{
      .dtype = Dtype::f32, .memory_budget = 6 * mebi, .workers = 4, .chunk_bytes = 64 * mebi};
  constexpr std::uint64_t slack = 4 * mebi;  // thread stacks, the plan, the allocator
  MeanPlan const plan = plan_mean(members, options);
  CHECK(plan.peak_memory <= options.memory_budget);
  CHECK(plan.peak_memory > options.memory_budget / 2);
  std::uint64_t const used =
      peak_of([&] { publish_mean(plan, folder.path() / "out.safetensors"); });
  CHECK(used <= options.memory_budget + slack);
  CHECK(used > options.memory_budget / 2);
  CHECK(peak_of([&] { merge(First{}, members, folder.path() / "two.safetensors", options); }) <=
        options.memory_budget + slack);
  options.memory_budget = 64 * mebi;
  CHECK(peak_of([&] {
          publish_mean(plan_mean(members, options), folder.path() / "out.safetensors",
                       {.force = true});
        }) > 16 * mebi);
}
#endif

TEST_CASE("a member that shrinks or changes while it is merged publishes nothing") {
  PrivateFolder const folder(std::filesystem::temp_directory_path());
  std::filesystem::path const path = folder.path() / "a.safetensors";
  std::vector<MergeMember> const members{
      write_member(path, {file_tensor("x", Dtype::f32, {50'000}, random_floats(50'000, 1))}),
      write_member(folder.path() / "b.safetensors",
                   {file_tensor("x", Dtype::f32, {50'000}, random_floats(50'000, 2))})};
  MeanPlan const plan = plan_mean(members, {.workers = 4, .chunk_bytes = 4096});
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK_THROWS_AS(publish_mean(plan, folder.path() / "out.safetensors"), IoError);
  std::filesystem::resize_file(path, 100'000);
  CHECK_THROWS_AS(publish_mean(plan, folder.path() / "out.safetensors"), IoError);
  CHECK(names_in(folder.path()).size() == 2);
}

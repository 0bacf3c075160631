// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A soup that forgets exactly. Usage: 03_soup [MEMBER.safetensors MEMBER.safetensors...]
// Without arguments it makes three small members.

#include <dashi/core.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

fs::path make_member(fs::path const& folder, int number) {
  std::vector<float> weights(1000);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = 0.02F * std::sin(static_cast<float>(number * 1000 + static_cast<int>(i)));
  }
  fs::path file = folder / ("member_" + std::to_string(number) + ".safetensors");
  dashi::io::SafetensorsWriter writer(
      file, dashi::io::SafetensorsLayout({{"block.weight", dashi::io::Dtype::f32, {10, 100}}}));
  writer.write(0, 0, std::as_bytes(std::span(weights)));
  writer.commit();
  return file;
}

std::string bytes(fs::path const& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    dashi::ScopeGuard const guard(argc, argv);
    dashi::merging::PrivateFolder const folder(fs::temp_directory_path());
    std::vector<fs::path> members(argv + 1, argv + argc);
    for (int number = 0; argc == 1 && number < 3; ++number) {
      members.push_back(make_member(folder.path(), number));
    }

    // A soup of all but the last, in memory.
    dashi::Soup soup(dashi::merging::Uniform{});
    for (std::size_t m = 0; m + 1 < members.size(); ++m) {
      soup.add(members[m]);
    }
    soup.publish(folder.path() / "before.safetensors");

    // The last one comes with weight 0.3, and goes.
    soup.add(members.back(), "0.3").remove(members.back().string());
    soup.publish(folder.path() / "after.safetensors");

    // The same with a ledger of exact sums: members need not be kept, except to remove them.
    dashi::Soup sums =
        dashi::Soup::create(folder.path() / "sums.soup", dashi::Soup::Mode::accumulate);
    for (fs::path const& member : members) {
      sums.add(member);
    }
    sums.remove(members.back().string());

    for (dashi::merging::LedgerMember const& member : sums.members()) {
      std::printf("%.12s  %s  %s\n", member.digest.c_str(),
                  dashi::merging::text(member.weight).c_str(), member.name.c_str());
    }
    bool const forgotten =
        bytes(folder.path() / "before.safetensors") == bytes(folder.path() / "after.safetensors");
    std::printf("published before and after: %s\n", forgotten ? "the same bytes" : "different");
    return forgotten ? 0 : 1;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "03_soup: %s\n", error.what());
    return static_cast<int>(dashi::exit_status(error));
  }
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A soup of two one-element checkpoints, one removed again: what is left is the other one.
#include <dashi/dashi.hpp>
#include <dashi/merging.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace {

void write_checkpoint(char const* path, float value) {
  std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::uint64_t const length = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<char const*>(&length), sizeof length);
  file << header;
  file.write(reinterpret_cast<char const*>(&value), sizeof value);
}

float last_value(char const* path) {
  std::ifstream file(path, std::ios::binary);
  std::string const bytes(std::istreambuf_iterator<char>(file), {});
  float value = 0;
  if (bytes.size() >= sizeof value) {
    std::memcpy(&value, bytes.data() + bytes.size() - sizeof value, sizeof value);
  }
  return value;
}

}  // namespace

int main(int argc, char* argv[]) {
  dashi::ScopeGuard const guard(argc, argv);
  std::cout << dashi::summary(dashi::configuration());
  write_checkpoint("a.safetensors", 1.5F);
  write_checkpoint("b.safetensors", 4.25F);

  dashi::merging::LedgerOptions options;
  options.force = true;
  dashi::Soup soup(dashi::merging::Uniform{}, options);
  soup.add("a.safetensors").add("b.safetensors").publish("both.safetensors");
  soup.remove("a.safetensors").publish("one.safetensors");

  float const both = last_value("both.safetensors");
  float const one = last_value("one.safetensors");
  std::cout << "both " << both << ", one " << one << '\n';
  return both == 2.875F && one == 4.25F ? 0 : 1;
}

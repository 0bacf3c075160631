// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "version.hpp"

#include <dashi/core/configuration.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

#include <map>
#include <vector>

namespace cli {

namespace {

std::map<std::string, std::string> libraries() {
  int const f = FMT_VERSION;
  return {{"CLI11", CLI11_VERSION},
          {"fmt", fmt::format("{}.{}.{}", f / 10000, f / 100 % 100, f % 100)},
          {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                        NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
          {"OpenSSL", ::OpenSSL_version(OPENSSL_VERSION_STRING)}};
}

}  // namespace

void print_version(Session& session) {
  dashi::Configuration const c = dashi::configuration();
  std::string text = "dashi " + c.version + "\n";
  auto const joined = [](std::vector<std::string> const& words) {
    return words.empty() ? std::string("none") : dashi::detail::joined(words);
  };
  text += "backend: " + c.backend + "\n";
  text += "devices: host (" + std::to_string(session.threads()) + " threads)\n";
  text += "execution spaces: " + joined(c.execution_spaces) + "\n";
  text += "instruction sets: " + joined(c.instruction_sets) + "\n";
  text += "compiler: " + c.compiler + "\n";
  text += "libraries: Kokkos " + c.kokkos_version;
  for (auto const& [name, version] : libraries()) {
    text += ", " + name + " " + version;
  }
  session.say(text + "\n");
  Json libraries_json{{"Kokkos", c.kokkos_version}};
  for (auto const& [name, version] : libraries()) {
    libraries_json[name] = version;
  }
  session.report({{"version", c.version},
                  {"backend", c.backend},
                  {"devices", {"host"}},
                  {"threads", session.threads()},
                  {"execution_spaces", c.execution_spaces},
                  {"instruction_sets", c.instruction_sets},
                  {"compiler", c.compiler},
                  {"libraries", libraries_json}});
}

void expect_device(std::string const& device) {
  if (device != "host") {
    throw dashi::VendorError(
        {.code = "no-such-device",
         .file = {},
         .place = "--device",
         .found = "no device " + dashi::io::in_quotes(device) + " in this build",
         .expected = "host",
         .advice = "see dashi --version"});
  }
}

}  // namespace cli

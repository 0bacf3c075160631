// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/exit_status.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;
using namespace dashi;

fs::path const here = fs::path(DASHI_TEST_SOURCE) / "tests/conformance";

/// The corpus, made once into a directory that goes away with the program.
class Corpus {
public:
  Corpus() : path_(fs::temp_directory_path() / ("dashi-corpus-" + std::to_string(::getpid()))) {
    std::string const command = "python3 -B '" + (here / "make_corpus.py").string() + "' '" +
                                path_.string() + "' --check '" + (here / "verdicts.json").string() +
                                "'";
    made_ = std::system(command.c_str()) == 0;
  }
  ~Corpus() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Corpus(Corpus const&) = delete;
  Corpus& operator=(Corpus const&) = delete;
  bool made() const { return made_; }
  fs::path file(std::string const& name) const { return path_ / (name + ".safetensors"); }

private:
  fs::path path_;
  bool made_ = false;
};

Corpus const& corpus() {
  static Corpus const one;
  return one;
}

std::string text_of(fs::path const& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

struct Verdict {
  std::string expected;
  std::string lenient;
  std::uint64_t status = 0;
  bool warns = false;
  bool reference_accepts = false;
};

std::map<std::string, Verdict> read_verdicts() {
  std::map<std::string, Verdict> verdicts;
  std::string const text = text_of(here / "verdicts.json");
  io::JsonCursor json(text, "verdicts.json");
  std::string key;
  std::string value;
  json.begin_object();
  while (json.next_member(key)) {
    if (key != "cases") {
      json.skip_value();
      continue;
    }
    std::string name;
    json.begin_object();
    while (json.next_member(name)) {
      Verdict& v = verdicts[name];
      json.begin_object();
      while (json.next_member(key)) {
        if (key == "expected") {
          json.read_string(v.expected);
        } else if (key == "lenient") {
          json.read_string(v.lenient);
        } else if (key == "status") {
          v.status = json.read_integer(255);
        } else if (key == "warns") {
          v.warns = json.peek() == 't';
          json.skip_value();
        } else if (key == "reference") {
          json.begin_object();
          while (json.next_member(key)) {
            if (key == "verdict") {
              json.read_string(value);
              v.reference_accepts = value == "accept";
            } else {
              json.skip_value();
            }
          }
        } else {
          json.skip_value();
        }
      }
    }
  }
  json.finish();
  return verdicts;
}

struct Outcome {
  std::string code = "accept";
  int status = 0;
  bool warned = false;
  std::string message;
  Diagnosis diagnosis;
};

Outcome outcome_of(fs::path const& file, io::ReadOptions const& options) {
  Outcome o;
  try {
    io::SafetensorsFile const opened(file, options);
    o.warned = !opened.header().warnings.empty();
  } catch (Error const& error) {
    o.code = error.diagnosis().code;
    o.status = static_cast<int>(exit_status(error));
    o.message = error.what();
    o.diagnosis = error.diagnosis();
  }
  return o;
}

}  // namespace

TEST_CASE("every file of the conformance corpus gets its verdict") {
  REQUIRE(corpus().made());
  auto const verdicts = read_verdicts();
  REQUIRE(verdicts.size() >= 45);
  for (auto const& [name, verdict] : verdicts) {
    INFO(name);
    Outcome const strict = outcome_of(corpus().file(name), {});
    INFO(strict.message);
    CHECK(strict.code == verdict.expected);
    CHECK(strict.status == static_cast<int>(verdict.status));
    CHECK(strict.warned == verdict.warns);
    Outcome const lenient = outcome_of(corpus().file(name), {.lenient = true});
    INFO(lenient.message);
    CHECK(lenient.code == verdict.lenient);
    CHECK(lenient.warned ==
          (verdict.warns || verdict.lenient != verdict.expected) * (verdict.lenient == "accept"));
  }
}

TEST_CASE("every rejection is one line that names file, finding and remedy or expectation") {
  REQUIRE(corpus().made());
  for (auto const& [name, verdict] : read_verdicts()) {
    if (verdict.expected == "accept") {
      continue;
    }
    INFO(name);
    Outcome const o = outcome_of(corpus().file(name), {});
    INFO(o.message);
    CHECK(o.diagnosis.file == corpus().file(name).string());
    CHECK(!o.diagnosis.found.empty());
    CHECK(!o.diagnosis.expected.empty());
    CHECK(o.message.find_first_of("\n\r\t\x1b") == std::string::npos);
    CHECK(o.message.size() < 2000);
    bool const whole_file =
        verdict.expected == "foreign-format" || verdict.expected == "empty-file";
    CHECK(o.diagnosis.place.empty() == whole_file);
  }
}

TEST_CASE("the documented differences to the reference library are exactly the real ones") {
  std::set<std::string> documented;
  std::ifstream table(here / "DIFFERENCES.md");
  for (std::string line; std::getline(table, line);) {
    if (line.rfind("| `", 0) == 0) {
      documented.insert(line.substr(3, line.find('`', 3) - 3));
    }
  }
  std::set<std::string> real;
  for (auto const& [name, verdict] : read_verdicts()) {
    if ((verdict.expected == "accept") != verdict.reference_accepts) {
      real.insert(name);
      CHECK(verdict.reference_accepts);  // never more permissive than the reference
    }
  }
  CHECK(documented == real);
}

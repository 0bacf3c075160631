// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "failure.hpp"
#include "soup_actions.hpp"
#include "verbs.hpp"
#include "verify_fused.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/merging/ledger_file.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace cli {

namespace {

namespace io = dashi::io;

struct VerifyArguments {
  std::string file;
  std::string digest;
  bool headers = false;
  FusedArguments fused;
  io::ReadOptions read;
};

/// A digest as dashi prints it, in lower case; empty for none.
std::string digest_argument(std::string text) {
  for (char& c : text) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  std::string_view digits(text);
  bool const xxh3 = digits.starts_with(io::Xxh3::prefix);
  digits.remove_prefix(xxh3 ? io::Xxh3::prefix.size() : 0);
  std::size_t const bytes = xxh3 ? sizeof(io::Xxh3::Digest) : sizeof(io::Sha256::Digest);
  if (!text.empty() && (digits.size() != 2 * bytes ||
                        digits.find_first_not_of("0123456789abcdef") != std::string_view::npos)) {
    usage_error("bad-digest", "--digest of " + std::to_string(text.size()) + " characters",
                "64 hexadecimal digits (SHA-256), or xxh3-128: and 32",
                "dashi inspect --digest FILE prints both");
  }
  return text;
}

bool is_ledger(io::Checkpoint const& checkpoint) {
  return !checkpoint.is_sharded() && checkpoint.metadata().contains("dashi.ledger");
}

/// Reads and checks everything that the ledger says of itself and of its members.
std::string verify_ledger(Session& session, VerifyArguments const& arguments) {
  session.start_kokkos();
  dashi::merging::LedgerOptions options;
  options.workers = session.threads();
  options.read = arguments.read;
  dashi::merging::MergeOptions merge;
  merge.workers = session.threads();
  merge.memory_budget = session.memory();
  verify_soup(arguments.file, {}, options, merge, session.progress("verify"));
  dashi::merging::Manifest const manifest = dashi::merging::LedgerFile(arguments.file).manifest();
  bool const recompute = manifest.mode == dashi::merging::LedgerMode::recompute;
  return fmt::format("a soup's ledger with {} member{}: manifest, checksum and {}",
                     manifest.members.size(), manifest.members.size() == 1 ? "" : "s",
                     recompute ? "the digest of every member's file" : "every sum and list");
}

dashi::ExitStatus verify(Session& session, VerifyArguments const& arguments) {
  if (arguments.fused.any()) {
    if (!arguments.file.empty() || !arguments.digest.empty() || arguments.headers) {
      usage_error("options-conflict", "--fused with FILE, --digest or --headers", "one of them");
    }
    return verify_fused(session, arguments.fused, arguments.read);
  }
  expect_path("FILE", arguments.file);
  std::string const expected = digest_argument(arguments.digest);
  if (arguments.headers && !expected.empty()) {
    usage_error("options-conflict", "--headers with --digest", "one of them",
                "a digest needs all bytes to be read");
  }
  io::Checkpoint const checkpoint(arguments.file, arguments.read);
  session.warn_all(checkpoint.warnings());
  bool const read = !arguments.headers && !session.options.dry_run;
  std::string const kind = is_ledger(checkpoint)     ? "ledger"
                           : checkpoint.is_sharded() ? "sharded checkpoint"
                                                     : "safetensors file";
  std::vector<std::string> checked{
      checkpoint.is_sharded()
          ? fmt::format("the index and the headers of {} shards", checkpoint.files().size())
          : "the header"};
  io::ContentDigests digests;
  if (read) {
    digests = io::checkpoint_digests(checkpoint, static_cast<std::size_t>(session.threads()),
                                     session.progress("verify"));
    checkpoint.expect_unchanged();
    if (checkpoint.bytes() > 0) {
      checked.push_back(
          fmt::format("{} of tensor data could be read", io::format_bytes(checkpoint.bytes())));
    }
    if (is_ledger(checkpoint)) {
      checked.push_back(verify_ledger(session, arguments));
    }
  }
  bool const compared = read && !expected.empty();
  bool const equal = !compared || digests.sha256 == expected || digests.xxh3 == expected;

  std::string out = fmt::format("{}: {}, a {}\n", dashi::escaped(arguments.file),
                                !equal                    ? "another digest"
                                : session.options.dry_run ? "header is valid"
                                                          : "valid",
                                kind);
  for (std::string const& text : checked) {
    out += row("checked", text);
  }
  if (read) {
    for (std::string const& digest : {digests.sha256, digests.xxh3}) {
      out += row("digest", digest + (digest == expected ? ", as expected" : ""));
    }
  }
  if (!equal) {
    out += row("expected", expected);
  }
  session.say(out);
  Json object{{"verb", "verify"},
              {"file", arguments.file},
              {"kind", kind},
              {"valid", true},
              {"checked", checked},
              {"tensors", checkpoint.tensors().size()},
              {"bytes", checkpoint.bytes()}};
  if (session.options.dry_run) {
    object["dry_run"] = true;
  }
  if (read) {
    object["digest"] = digests.sha256;
    object["digest_xxh3"] = digests.xxh3;
  }
  if (compared) {
    object["expected_digest"] = expected;
    object["equal"] = equal;
  }
  session.report(object);
  return equal ? dashi::ExitStatus::success : dashi::ExitStatus::negative;
}

}  // namespace

void add_verify(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* const verb = add_verb(
      app, "verify", "check a checkpoint, an index with its shards, a soup's ledger, or a fusion",
      "  dashi verify model.safetensors\n  dashi verify model.safetensors.index.json --digest HEX\n"
      "  dashi verify --fused fused.safetensors --base base.safetensors --adapter a.safetensors");
  verb->add_option("FILE", arguments->file,
                   "safetensors file, index, ledger, or directory with one of them");
  verb->add_option("--digest", arguments->digest,
                   "what the digest of the content must be; exit status 1 when it is another");
  verb->add_flag("--headers", arguments->headers, "check headers only, do not read the data");
  add_fused_options(*verb, arguments->fused);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, verify);
}

}  // namespace cli

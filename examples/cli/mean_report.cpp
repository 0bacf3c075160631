// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "mean_report.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/shard_plan.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <vector>

namespace cli {

namespace io = dashi::io;
namespace merging = dashi::merging;

namespace {

/// "F16 + BF16 -> F32": the dtypes of the members and of the result.
std::string dtype_change(merging::PlannedTensor const& tensor) {
  std::vector<std::string> names;
  for (io::TensorRef const* ref : tensor.sources) {
    if (ref == nullptr) {
      continue;
    }
    std::string const name(io::name(ref->info.dtype));
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  std::string out;
  for (std::string const& name : names) {
    out += (out.empty() ? "" : " + ") + name;
  }
  return out + " -> " + std::string(io::name(tensor.dtype)) + (tensor.averaged ? "" : ", copied");
}

constexpr char const* mean_dtype_help =
    "of the averaged tensors: same (default; the members must agree), f32, bf16, f16 or f64";

std::string missing_text(merging::MergePlan const& plan) {
  std::size_t const missing = plan.incomplete;
  if (missing == 0) {
    return "none is missing";
  }
  std::string const stand_in =
      plan.options.on_missing == merging::OnMissing::skip ? "those members take no part in them"
      : plan.options.on_missing == merging::OnMissing::zero
          ? "zeros stand for them"
          : "the tensors of " + dashi::escaped(plan.sources.back().name) + " stand for them";
  return fmt::format("{} missing in some members: {}", grouped(missing), stand_in);
}

struct Kind {
  std::uint64_t tensors = 0, elements = 0;
};

}  // namespace

merging::MergeOptions MeanArguments::options(Session const& session) const {
  merging::MergeOptions out;
  out.dtype = mean_dtype_argument(dtype);
  out.strict_dtype = strict_dtype;
  out.allow_duplicate = allow_duplicate;
  out.nonfinite =
      numbers.propagate() ? merging::NonfinitePolicy::propagate : merging::NonfinitePolicy::error;
  out.overflow = overflow_policy(numbers);
  out.memory_budget = session.memory();
  out.workers = session.threads();
  return out;
}

void add_mean_dtype(CLI::App& verb, MeanArguments& arguments) {
  verb.add_option("--dtype", arguments.dtype, mean_dtype_help);
}
void add_mean_dtype(CLI::App& verb, std::optional<std::string>& dtype) {
  verb.add_option("--dtype", dtype, mean_dtype_help);
}

void expect_writable(std::filesystem::path const& output, io::CheckpointOutput const& how) {
  io::OutputDirectory const directory(output);
  if (directory.find(directory.name(), AT_SYMLINK_NOFOLLOW) && !how.file.force) {
    directory.fail(EEXIST, "cannot create the output", "choose another name or give --force");
  }
}

PlannedWork work_of(merging::MergePlan const& plan) {
  return {.bytes_to_read = plan.bytes_to_read,
          .bytes_to_write = plan.bytes_to_write,
          .chunks = plan.layout.chunks.size(),
          .threads = plan.layout.workers,
          .peak_memory = plan.peak_memory};
}

TimeEstimate estimate(PlannedWork const& work, io::InputFile const& sample) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  constexpr std::uint64_t most_blocks = 32;
  constexpr double most_seconds = 0.2;
  constexpr double assumed_rate = 1e9;  // of a file that is too small to tell
  std::uint64_t const blocks = sample.size() / block;
  std::uint64_t const reads = std::min(blocks, most_blocks);
  std::vector<std::byte> buffer(reads > 0 ? block : 0);
  TimeEstimate out{.seconds = 0, .rate = assumed_rate, .probed = 0};
  Stopwatch const watch;
  for (std::uint64_t i = 0; i < reads && watch.seconds() < most_seconds; ++i) {
    sample.read_exact(blocks * i / reads * block, buffer);
    out.probed += block;
    out.rate = static_cast<double>(out.probed) / std::max(watch.seconds(), 1e-9);
  }
  out.seconds = static_cast<double>(work.bytes_to_read + work.bytes_to_write) / out.rate;
  return out;
}

std::string text_of(PlannedWork const& work, TimeEstimate const& time, Session const& session) {
  std::string const source =
      time.probed > 0
          ? fmt::format("at which {} of an input were read just now", io::format_bytes(time.probed))
          : "assumed, because the inputs are too small to tell";
  return row("read", io::format_bytes(work.bytes_to_read)) +
         row("write", io::format_bytes(work.bytes_to_write)) +
         row("work",
             fmt::format("{} chunk{} with {} thread{}", grouped(work.chunks),
                         work.chunks == 1 ? "" : "s", work.threads, work.threads == 1 ? "" : "s")) +
         row("memory",
             fmt::format("{} of buffers; limit {} (--mem)", io::format_bytes(work.peak_memory),
                         io::format_bytes(session.memory()))) +
         row("time", fmt::format("about {:.2g} s, at {:.2f} GB/s, the rate {}", time.seconds,
                                 time.rate * 1e-9, source));
}

void add_work(Json& object, PlannedWork const& work) {
  object["bytes_read"] = work.bytes_to_read;
  object["bytes_written"] = work.bytes_to_write;
  object["peak_memory"] = work.peak_memory;
  object["threads"] = work.threads;
  object["chunks"] = work.chunks;
}

void add_time(Json& object, TimeEstimate const& time) {
  object["estimated_seconds"] = time.seconds;
  object["estimated_rate"] = time.rate;
}

std::string text_of(merging::MergePlan const& plan, std::filesystem::path const& output,
                    TimeEstimate const& time, Session const& session) {
  std::string out = fmt::format("plan: {} of {} checkpoint{} into {}\n", plan.method, plan.members,
                                plan.members == 1 ? "" : "s", dashi::escaped(output.string()));
  for (std::size_t m = 0; m < plan.members; ++m) {
    out += row("member", fmt::format("{}  weight {}", dashi::escaped(plan.sources[m].name),
                                     merging::text(plan.sources[m].weight)));
    std::vector<std::size_t> const uses = merging::uses_of_rules(plan.sources[m], plan.tensors);
    for (std::size_t r = 0; r < uses.size(); ++r) {
      merging::WeightRule const& rule = plan.sources[m].rules[r];
      out += row("", fmt::format("  weight {} in {} tensors with {} in the name",
                                 merging::text(rule.weight), grouped(uses[r]),
                                 io::in_quotes(rule.filter)));
    }
  }
  std::map<std::string, Kind> kinds;
  for (merging::PlannedTensor const& tensor : plan.tensors) {
    Kind& kind = kinds[dtype_change(tensor)];
    ++kind.tensors;
    kind.elements += tensor.elements();
  }
  out +=
      row("matches", fmt::format("{} tensors of {} members, shapes agree; {}",
                                 grouped(plan.tensors.size()), plan.members, missing_text(plan)));
  for (auto const& [change, kind] : kinds) {
    out += row("dtype", fmt::format("{}: {} tensors, {} parameters", change, grouped(kind.tensors),
                                    grouped(kind.elements)));
  }
  return out + text_of(work_of(plan), time, session);
}

Json json_of(merging::MergePlan const& plan, std::filesystem::path const& output) {
  Json members = Json::array();
  for (std::size_t m = 0; m < plan.members; ++m) {
    members.push_back({{"file", plan.sources[m].checkpoint->path().string()},
                       {"name", plan.sources[m].name},
                       {"weight", merging::text(plan.sources[m].weight)}});
    for (merging::WeightRule const& rule : plan.sources[m].rules) {
      members.back()["weights"].push_back(
          {{"filter", rule.filter}, {"weight", merging::text(rule.weight)}});
    }
  }
  Json tensors = Json::array();
  for (merging::PlannedTensor const& tensor : plan.tensors) {
    Json from = Json::array();
    for (io::TensorRef const* ref : tensor.sources) {
      from.push_back(ref == nullptr ? Json() : Json(io::name(ref->info.dtype)));
    }
    tensors.push_back({{"name", tensor.name},
                       {"shape", tensor.shape},
                       {"from", from},
                       {"to", io::name(tensor.dtype)},
                       {"averaged", tensor.averaged}});
  }
  Json out{{"method", plan.method}, {"members", members}, {"output", output.string()}};
  if (plan.sources.size() > plan.members) {
    out["base"] = plan.sources.back().checkpoint->path().string();
  }
  add_work(out, work_of(plan));
  out["missing"] = {{"tensors", plan.incomplete},
                    {"policy", merging::name(plan.options.on_missing)}};
  out["tensors"] = tensors;
  return out;
}

Json counts_of(Session& session, merging::MergeResult const& result, bool saturate) {
  auto const& report = result.report;
  if (report.nan_inputs + report.infinite_inputs > 0) {
    session.warn(fmt::format("{} NaN and {} infinite numbers in the members went into the result",
                             report.nan_inputs, report.infinite_inputs));
  }
  if (report.overflowed > 0) {
    session.warn(fmt::format("{} results were too large for the dtype and are {} now",
                             report.overflowed, saturate ? "its largest number" : "infinite"));
  }
  return {{"nan", report.nan_inputs},
          {"infinite", report.infinite_inputs},
          {"overflowed", report.overflowed}};
}

double Stopwatch::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string rate_text(std::uint64_t bytes, double seconds) {
  return fmt::format("{} in {:.2f} s, {:.2f} GB/s", io::format_bytes(bytes), seconds,
                     static_cast<double>(bytes) / std::max(seconds, 1e-9) * 1e-9);
}

}  // namespace cli

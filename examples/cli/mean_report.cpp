// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "mean_report.hpp"

#include <dashi/io/byte_size.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/shard_plan.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace cli {

namespace io = dashi::io;
namespace merging = dashi::merging;

namespace {

/// "F16 + BF16 -> F32": the dtypes of the members and of the result.
std::string dtype_change(merging::PlannedTensor const& tensor) {
  std::vector<std::string> names;
  for (io::TensorRef const* ref : tensor.sources) {
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
  verb.add_option(
      "--dtype", arguments.dtype,
      "of the averaged tensors: same (default; the members must agree), f32, bf16, f16 or f64");
}

void expect_writable(std::filesystem::path const& output, io::CheckpointOutput const& how) {
  io::OutputDirectory const directory(output);
  if (directory.find(directory.name(), AT_SYMLINK_NOFOLLOW) && !how.file.force) {
    directory.fail(EEXIST, "cannot create the output", "choose another name or give --force");
  }
}

std::string text_of(merging::MergePlan const& plan, std::filesystem::path const& output,
                    Session const& session) {
  std::string out = fmt::format("plan: {} of {} checkpoint{} into {}\n", plan.method, plan.members,
                                plan.members == 1 ? "" : "s", dashi::escaped(output.string()));
  for (std::size_t m = 0; m < plan.members; ++m) {
    out += row("member", fmt::format("{}  weight {}", dashi::escaped(plan.sources[m].name),
                                     merging::text(plan.sources[m].weight)));
  }
  std::map<std::string, Kind> kinds;
  for (merging::PlannedTensor const& tensor : plan.tensors) {
    Kind& kind = kinds[dtype_change(tensor)];
    ++kind.tensors;
    kind.elements += tensor.elements();
  }
  out += row("matches",
             fmt::format("{} tensors in all {} members, names and shapes agree; none is missing",
                         grouped(plan.tensors.size()), plan.members));
  for (auto const& [change, kind] : kinds) {
    out += row("dtype", fmt::format("{}: {} tensors, {} parameters", change, grouped(kind.tensors),
                                    grouped(kind.elements)));
  }
  out += row("read", io::format_bytes(plan.bytes_to_read));
  out += row("write", io::format_bytes(plan.bytes_to_write));
  out += row("memory", fmt::format("{} of buffers with {} threads; limit {} (--mem)",
                                   io::format_bytes(plan.peak_memory), plan.layout.workers,
                                   io::format_bytes(session.memory())));
  return out;
}

Json json_of(merging::MergePlan const& plan, std::filesystem::path const& output) {
  Json members = Json::array();
  for (std::size_t m = 0; m < plan.members; ++m) {
    members.push_back({{"file", plan.sources[m].checkpoint->path().string()},
                       {"name", plan.sources[m].name},
                       {"weight", merging::text(plan.sources[m].weight)}});
  }
  Json tensors = Json::array();
  for (merging::PlannedTensor const& tensor : plan.tensors) {
    Json from = Json::array();
    for (io::TensorRef const* ref : tensor.sources) {
      from.push_back(io::name(ref->info.dtype));
    }
    tensors.push_back({{"name", tensor.name},
                       {"shape", tensor.shape},
                       {"from", from},
                       {"to", io::name(tensor.dtype)},
                       {"averaged", tensor.averaged}});
  }
  return {{"method", plan.method},
          {"members", members},
          {"output", output.string()},
          {"bytes_read", plan.bytes_to_read},
          {"bytes_written", plan.bytes_to_write},
          {"peak_memory", plan.peak_memory},
          {"threads", plan.layout.workers},
          {"tensors", tensors}};
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

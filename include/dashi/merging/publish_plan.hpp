// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Where and how the merged checkpoint is written.
using PublishOptions = io::OutputOptions;

/// The output's tensors as the writer wants them.
inline std::vector<io::TensorSpec> tensor_specs(MergePlan const& plan) {
  std::vector<io::TensorSpec> out;
  for (PlannedTensor const& tensor : plan.tensors) {
    out.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  return out;
}

/// The output's metadata before the digests are known: as long as the final one.
inline std::map<std::string, std::string> placeholder_metadata(MergePlan const& plan) {
  std::vector<std::string> digests;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    digests.push_back(plan.digested(s) ? std::string(64, '0') : std::string());
  }
  return plan.metadata(digests);
}

/// After a pass: no file changed while it was read, every digest is the expected one (FormatError),
/// and no content came twice (FormatError unless the options allow it).
inline void expect_sources_unchanged(MergePlan const& plan, std::span<std::string const> digests) {
  std::map<std::string, std::size_t> seen;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    MergeMember const& member = plan.sources[s];
    member.checkpoint->expect_unchanged();
    if (member.digest && *member.digest != digests[s]) {
      throw FormatError({.code = "digest-mismatch",
                         .file = member.checkpoint->path().string(),
                         .place = {},
                         .found = "content with digest " + digests[s],
                         .expected = *member.digest,
                         .advice = "the file is not the one that was recorded; restore that one"});
    }
    if (s < plan.members && !digests[s].empty() && !plan.options.allow_duplicate) {
      auto const [at, fresh] = seen.emplace(digests[s], s);
      if (!fresh) {
        detail::refuse_duplicate(plan.sources[at->second], member);
      }
    }
  }
}

/// Writes what a pass makes into a file.
class WriterSink final : public TensorSink {
 public:
  explicit WriterSink(io::SafetensorsWriter& writer) : writer_(&writer) {}
  void write(std::size_t tensor, std::uint64_t byte_offset, std::span<std::byte const> bytes) override {
    writer_->write(writer_->layout().position(tensor), byte_offset, bytes);
  }

 private:
  io::SafetensorsWriter* writer_;
};

/// Runs a plan and writes its result. Nothing appears under `output` unless everything succeeded.
template <class Combine>
MergeResult publish_plan(MergePlan const& plan, Combine const& combine, std::filesystem::path const& output,
                         PublishOptions options, io::Progress& progress) {
  for (MergeMember const& source : plan.sources) {
    for (io::SafetensorsFile const& file : source.checkpoint->files()) {
      options.inputs.push_back(file.file().identity());
    }
  }
  io::SafetensorsWriter writer(output, io::SafetensorsLayout(tensor_specs(plan), placeholder_metadata(plan)),
                               std::move(options));
  WriterSink sink(writer);
  MergeResult result = stream_tensors(plan, combine, sink, progress);
  expect_sources_unchanged(plan, result.digests);
  writer.replace_metadata(plan.metadata(result.digests));
  writer.commit();
  return result;
}

}  // namespace dashi::merging

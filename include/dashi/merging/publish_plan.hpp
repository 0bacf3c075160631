// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/tensor_spec.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

/// How the merged checkpoint is written.
struct PublishOptions {
  bool force = false;                            ///< replace an existing output
  std::optional<std::uint64_t> largest_shard{};  ///< bytes of tensor data; one file when absent
  std::vector<io::FileIdentity> inputs{};        ///< files that the output must not be
  bool named_temporary = false;                  ///< see io::OutputOptions

  io::CheckpointOutput output() const {
    return {.file = {.force = force, .inputs = inputs, .named_temporary = named_temporary},
            .largest_shard = largest_shard};
  }
};

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
    digests.push_back(io::placeholder_digest(plan.digest_kind(s)));
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

/// Writes what a pass makes into a checkpoint whose specs are in the plan's order.
class WriterSink final : public TensorSink {
public:
  explicit WriterSink(io::CheckpointWriter& writer) : writer_(&writer) {}
  void write(std::size_t tensor, std::uint64_t byte_offset,
             std::span<std::byte const> bytes) override {
    writer_->write(tensor, byte_offset, bytes);
  }

private:
  io::CheckpointWriter* writer_;
};

/// Runs a plan and writes its result. Nothing appears under `output` unless everything succeeded.
template <class Combine>
MergeResult publish_plan(MergePlan const& plan, Combine const& combine,
                         std::filesystem::path const& output, PublishOptions options,
                         io::Progress& progress) {
  for (MergeMember const& source : plan.sources) {
    for (io::SafetensorsFile const& file : source.checkpoint->files()) {
      options.inputs.push_back(file.file().identity());
    }
  }
  io::CheckpointWriter writer(output, tensor_specs(plan), placeholder_metadata(plan),
                              options.output());
  WriterSink sink(writer);
  MergeResult result = stream_tensors(plan, combine, sink, progress);
  expect_sources_unchanged(plan, result.digests);
  writer.replace_metadata(plan.metadata(result.digests));
  writer.commit();
  result.path = writer.path();
  return result;
}

}  // namespace dashi::merging

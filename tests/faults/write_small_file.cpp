// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes a small checkpoint the way every verb does, so that faults can be injected into each
// system call without waiting for Kokkos to start. Built by the tests of this folder.
//
//   write_small_file OUT SEED [--force] [--named] [--shards] [--short-writes] [--input FILE]
//                    [--all-dtypes] [--fail-allocation N]

#include <dashi/core/exit_status.hpp>
#include <dashi/io/checkpoint_writer.hpp>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

bool short_writes = false;
long allocations_left = -1;  // until one fails; negative: none does

int write_checkpoint(int argc, char** argv) {
  using namespace dashi::io;
  CheckpointOutput output;
  long fail_at = -1;
  std::vector<TensorSpec> specs{{"a.weight", Dtype::f32, {16, 16}},
                                {"b.weight", Dtype::bf16, {400}},
                                {"c.bias", Dtype::u8, {3}}};
  for (int i = 3; i < argc; ++i) {
    std::string_view const argument = argv[i];
    if (argument == "--force") {
      output.file.force = true;
    } else if (argument == "--named") {
      output.file.named_temporary = true;
    } else if (argument == "--shards") {
      output.largest_shard = 1000;
    } else if (argument == "--all-dtypes") {
      specs.clear();
      for (std::size_t d = 0; d < dtype_count; ++d) {
        auto const dtype = static_cast<Dtype>(d);
        specs.push_back({std::string(name(dtype)) + ".matrix", dtype, {3, 8}});
        specs.push_back({std::string(name(dtype)) + ".empty", dtype, {2, 0}});
        if (bits(dtype) % 8 == 0) {
          specs.push_back({std::string(name(dtype)) + ".scalar", dtype, {}});
        }
      }
    } else if (argument == "--short-writes") {
      short_writes = true;
    } else if (argument == "--fail-allocation" && i + 1 < argc) {
      fail_at = std::atol(argv[++i]);
    } else if (argument == "--input" && i + 1 < argc) {
      struct stat s {};
      if (::stat(argv[++i], &s) != 0) {
        return 66;
      }
      output.file.inputs.push_back(file_identity(s));
    } else {
      return 2;
    }
  }
  auto const seed = static_cast<unsigned>(std::atoi(argv[2]));
  allocations_left = fail_at;
  CheckpointWriter writer(argv[1], specs, {{"seed", argv[2]}}, output);
  for (std::size_t t = 0; t < specs.size(); ++t) {
    std::vector<std::byte> bytes(tensor_bytes(specs[t]));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((seed * 31 + t * 7 + i) & 0xffU);
    }
    std::size_t const half = bytes.size() / 2;
    writer.write(t, half, std::span(bytes).subspan(half));
    writer.write(t, 0, std::span(bytes).first(half));
  }
  writer.commit();
  return 0;
}

}  // namespace

/// Takes the C library's place: one byte at a time on request.
extern "C" ssize_t pwrite(int file, void const* bytes, std::size_t size, off_t offset) {
  return ::syscall(SYS_pwrite64, file, bytes, short_writes && size > 1 ? std::size_t{1} : size,
                   offset);
}

/// Fails once, at the allocation that --fail-allocation names.
void* operator new(std::size_t size) {
  if (allocations_left >= 0 && allocations_left-- == 0) {
    throw std::bad_alloc();
  }
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main(int argc, char** argv) {
  if (argc < 3) {
    return 2;
  }
  try {
    return write_checkpoint(argc, argv);
  } catch (std::exception const& error) {
    int const status = static_cast<int>(dashi::exit_status(error));
    std::fprintf(stderr, "dashi: error[%d] %s\n", status, error.what());
    return status;
  }
}

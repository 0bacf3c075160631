// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/progress.hpp>

#include <cstddef>
#include <string>

namespace dashi::io {

/// FormatError (65) when the adapter says that it was made for another base than the one with
/// `digest` (io::checkpoint_digest). An adapter that says nothing fits any.
inline void check_base_digest(AdapterFile const& adapter, std::string const& base_file,
                              std::string const& digest) {
  if (adapter.base_digest.empty() || adapter.base_digest == digest) {
    return;
  }
  detail::refuse_adapter("another-base", adapter.path, "metadata 'dashi.base_digest'",
                         "made for the base " + adapter.base_digest.substr(0, 16) + "..., " +
                             base_file + " is " + digest.substr(0, 16) + "...",
                         "the digest of the base",
                         "give the base that it was made for, or --any-base");
}

/// The same; reads the base only where an adapter names one, and once for all adapters: `digest`,
/// empty at first, keeps what was found.
inline void check_base_digest(AdapterFile const& adapter, Checkpoint const& base,
                              std::string& digest, std::size_t threads = 1,
                              Progress& progress = no_progress()) {
  if (adapter.base_digest.empty()) {
    return;
  }
  if (digest.empty()) {
    digest = checkpoint_digest(base, threads, progress);
  }
  check_base_digest(adapter, base.path().string(), digest);
}

}  // namespace dashi::io

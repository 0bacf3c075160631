// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>

namespace cli {

/// Makes the process safe to run anywhere: descriptors 0 to 2 exist, so that no output file becomes
/// "standard output"; a closed pipe and a file size limit are errors of the call, not signals; as
/// many files may be open as the system lets, since checkpoints have hundreds of shards.
void prepare_process();

/// From now on SIGINT, SIGTERM and SIGHUP remove the temporary files that this process has open
/// beside `output`, and then end the process as they always do (128 + n for the shell). A commit
/// that is exchanging names comes to its end first.
void clean_up_after_signal(std::filesystem::path const& output);

/// Before any other: from now on the first SIGINT, SIGTERM or SIGUSR1 only makes stop_asked() true,
/// for work that saves its state and ends by itself. Later ones end the process as above, but not
/// SIGUSR1.
void stop_at_first_signal() noexcept;
bool stop_asked() noexcept;

/// The same signals also remove this folder and what is in it.
void remove_folder_after_signal(std::filesystem::path const& folder);

/// Starts a child that the same signals also end, however soon they come. `spawn` returns the
/// child's process, or 0 when there is none. Does not return once such a signal has come.
pid_t start_child(std::function<pid_t()> const& spawn);

/// The child has been waited for. Does not return when such a signal has come: the child's end is
/// then no news.
void child_has_ended() noexcept;

/// For a child that died of a signal meant for both, such as Ctrl-C: sends it to this process as
/// well. Returns when this process ignores it.
void end_like_child(int signal) noexcept;

}  // namespace cli

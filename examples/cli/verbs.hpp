// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

namespace cli {

/// All verbs of the program: each program has its own.
void add_verbs(CLI::App& app, Session& session);

// Each adds one verb; its options live as long as the App.
void add_inspect(CLI::App& app, Session& session);
void add_diff(CLI::App& app, Session& session);
void add_verify(CLI::App& app, Session& session);
void add_convert(CLI::App& app, Session& session);
void add_reshard(CLI::App& app, Session& session);
void add_soup(CLI::App& app, Session& session);
void add_merge(CLI::App& app, Session& session);
void add_fuse(CLI::App& app, Session& session);
void add_unfuse(CLI::App& app, Session& session);
/// Those that are the program dashi-models.
void add_model_verbs(CLI::App& app, Session& session);
void add_demo(CLI::App& app, Session& session);
void add_bench(CLI::App& app, Session& session);

// In dashi-models.
void add_train(CLI::App& app, Session& session);
void add_sample(CLI::App& app, Session& session);
void add_probe(CLI::App& app, Session& session);
void add_score(CLI::App& app, Session& session);
void add_factorise(CLI::App& app, Session& session);
void add_recombine(CLI::App& app, Session& session);
void add_transfer(CLI::App& app, Session& session);
void add_extract(CLI::App& app, Session& session);
void add_combine(CLI::App& app, Session& session);

}  // namespace cli

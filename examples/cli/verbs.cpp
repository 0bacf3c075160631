// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "verbs.hpp"

namespace cli {

void add_verbs(CLI::App& app, Session& session) {
  add_inspect(app, session);
  add_diff(app, session);
  add_verify(app, session);
  add_convert(app, session);
  add_reshard(app, session);
  add_soup(app, session);
  add_merge(app, session);
  add_fuse(app, session);
  add_unfuse(app, session);
  add_model_verbs(app, session);
  add_demo(app, session);
  add_bench(app, session);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "verbs.hpp"

namespace cli {

void add_verbs(CLI::App& app, Session& session) {
  add_train(app, session);
  add_sample(app, session);
  add_probe(app, session);
  add_score(app, session);
  add_factorise(app, session);
  add_recombine(app, session);
  add_transfer(app, session);
  add_extract(app, session);
  add_combine(app, session);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "bench_arguments.hpp"
#include "bench_case.hpp"
#include "failure.hpp"
#include "verbs.hpp"

#include <dashi/linalg/describe.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

namespace cli {

namespace {

struct Ceilings {
  double bytes = 0;  ///< a second, of the faster of reading and updating
  double f32 = 0;    ///< FLOP a second
  double bf16 = 0;
};

struct Timed {
  BenchCase const* what = nullptr;
  std::vector<double> seconds{};

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  /// FLOP or bytes a second, by what bounds the case.
  bool counts_flop() const { return what->arithmetic != Arithmetic::none; }
  double rate() const { return (counts_flop() ? what->flop : what->bytes) / median(); }
};

/// The time that nobody beats: every byte at the fastest rate of memory, every operation at the
/// rate of a large product.
double floor_seconds(BenchCase const& c, Ceilings const& ceilings) {
  double const memory = ceilings.bytes > 0 ? c.bytes / ceilings.bytes : 0;
  double const flops = c.arithmetic == Arithmetic::bf16 ? ceilings.bf16 : ceilings.f32;
  double const work = c.arithmetic != Arithmetic::none && flops > 0 ? c.flop / flops : 0;
  return std::max(memory, work);
}

Ceilings ceilings_of(std::vector<Timed> const& all) {
  Ceilings found;
  for (Timed const& t : all) {
    if (!t.what->ceiling) {
      continue;
    }
    double& rate = t.what->arithmetic == Arithmetic::none  ? found.bytes
                   : t.what->arithmetic == Arithmetic::f32 ? found.f32
                                                           : found.bf16;
    rate = std::max(rate, t.rate());
  }
  return found;
}

/// Every case once, in turn, so that a disturbance hits them alike; the first turn warms up.
std::vector<Timed> timed(Session& session, std::vector<BenchCase> const& cases, int repetitions) {
  std::vector<Timed> all;
  std::vector<std::function<void()>> runs;
  for (BenchCase const& c : cases) {
    all.push_back({&c});
    runs.push_back(c.make());
  }
  dashi::io::Progress& progress = session.progress("bench");
  progress.start(static_cast<std::uint64_t>(repetitions + 1) * cases.size());
  for (int turn = 0; turn <= repetitions; ++turn) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      auto const start = std::chrono::steady_clock::now();
      runs[i]();
      std::chrono::duration<double> const spent = std::chrono::steady_clock::now() - start;
      if (turn > 0) {
        all[i].seconds.push_back(spent.count());
      }
      progress.advance(1);
    }
  }
  session.end_progress();
  return all;
}

std::string rate_text(Timed const& t) {
  return fmt::format("{:.1f} {}", t.rate() * 1e-9, t.counts_flop() ? "GFLOP/s" : "GB/s");
}

std::string table(std::vector<Timed> const& all, Ceilings const& ceilings) {
  std::string out;
  for (bool const ceiling : {true, false}) {
    out += ceiling ? "ceilings\n" : "kernels\n";
    for (Timed const& t : all) {
      if (t.what->ceiling != ceiling) {
        continue;
      }
      out += fmt::format("  {:34} {:36} {:>9.3f} ms {:>15}", t.what->name, t.what->shape,
                         t.median() * 1e3, rate_text(t));
      double const fraction = floor_seconds(*t.what, ceilings) / t.median();
      if (!ceiling && fraction > 0) {
        out +=
            fmt::format("  {:4.2f} of the floor{}", fraction, fraction > 1.05 ? " (in cache)" : "");
      }
      out += '\n';
    }
  }
  return out;
}

Json json_of(std::vector<Timed> const& all, Ceilings const& ceilings) {
  Json list = Json::array();
  for (Timed const& t : all) {
    Json one{{"name", t.what->name},       {"shape", t.what->shape},
             {"ceiling", t.what->ceiling}, {"median_seconds", t.median()},
             {"best_seconds", t.best()},   {"bytes", t.what->bytes},
             {"flop", t.what->flop}};
    if (!t.what->ceiling) {
      one["floor_seconds"] = floor_seconds(*t.what, ceilings);
      one["fraction_of_floor"] = floor_seconds(*t.what, ceilings) / t.median();
    }
    list.push_back(std::move(one));
  }
  return list;
}

dashi::ExitStatus bench(Session& session, BenchArguments const& arguments) {
  session.start_kokkos(session.threads());
  BenchContext ctx;
  std::vector<BenchCase> cases;
  constexpr dashi::Index elements = dashi::Index{1} << 24;
  add_memory_cases(cases, ctx, arguments.quick ? elements / 16 : elements);
  add_product_cases(cases, ctx);
  add_adapter_cases(cases, ctx);
  add_block_cases(cases, ctx);
  std::erase_if(cases, [&](BenchCase const& c) {
    return !c.ceiling && c.name.find(arguments.only) == std::string::npos;
  });
  if (std::none_of(cases.begin(), cases.end(), [](BenchCase const& c) { return !c.ceiling; })) {
    usage_error("no-such-kernel", "--only " + arguments.only + ", which no kernel's name contains",
                "part of a name that dashi bench prints");
  }
  std::string const machine =
      fmt::format("{} thread{}, {}, provider {}: {}", ctx.exec().concurrency(),
                  ctx.exec().concurrency() == 1 ? "" : "s", BenchExec::name(),
                  BenchContext::provider::name, dashi::linalg::describe(ctx));
  if (session.options.dry_run) {
    std::string out = machine + "\n";
    for (BenchCase const& c : cases) {
      out += fmt::format("  {:34} {}\n", c.name, c.shape);
    }
    session.say(out);
    session.report(
        Json{{"verb", "bench"}, {"machine", machine}, {"dry_run", true}, {"cases", cases.size()}});
    return dashi::ExitStatus::success;
  }
  std::vector<Timed> const all = timed(session, cases, arguments.quick ? 3 : arguments.repetitions);
  Ceilings const ceilings = ceilings_of(all);
  session.say(machine + "\n" + table(all, ceilings) +
              "The floor of a kernel is the time of its bytes and operations at the ceilings; what "
              "fits the caches can beat it.\n");
  session.report(Json{{"verb", "bench"},
                      {"machine", machine},
                      {"repetitions", all.front().seconds.size()},
                      {"cases", json_of(all, ceilings)}});
  return dashi::ExitStatus::success;
}

}  // namespace

void add_verbs(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<BenchArguments>();
  on_verb(*add_bench_verb(app, *arguments), session, arguments, bench);
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_run.hpp"

#include <dashi/io/adapters/write_adapter.hpp>

#include <system_error>
#include <utility>

namespace cli {

namespace {

namespace checkpoints = dashi::checkpoints;

checkpoints::AdapterChoice choice_of(AdapterConfig const& config) {
  using Kind = checkpoints::AdapterChoice::Kind;
  checkpoints::AdapterChoice choice;
  choice.class_table = config.class_table;
  choice.scaled_blocks = config.blocks;
  if (config.kind == "lora") {
    choice.low_rank = {config.rank, config.alpha, config.rank_stabilised, config.weight_decomposed,
                       !config.wd_on_output};
  } else if (config.kind == "lokr") {
    choice.kind = Kind::kronecker;
    choice.kronecker = dashi::Kronecker::lokr(config.factor);
    choice.kronecker.rank = config.rank;
    choice.kronecker.alpha = config.alpha;
    choice.kronecker.a_low_rank = config.decompose_both;
    choice.kronecker.b_low_rank = true;
  } else if (config.kind == "krona") {
    choice.kind = Kind::kronecker;
    choice.kronecker.a_rows = config.factors[0];
    choice.kronecker.a_cols = config.factors[1];
  } else {
    choice.kind = config.kind == "difffit" ? Kind::difffit : Kind::bitfit;
    choice.modules = {"qkv", "attention_output", "mlp_out"};
  }
  if (!config.modules.empty()) {
    choice.modules = config.modules;
  }
  return choice;
}

/// PEFT's readers build the factors of LoKr themselves, of other shapes than these, and have no
/// magnitudes over inputs.
bool is_peft(AdapterConfig const& config) {
  return config.kind == "lora" && (config.wd_on_output || !config.weight_decomposed);
}

/// Norms over all rows of a map that the base keeps in several tensors are in no file.
void expect_norms_of_one_tensor(TrainRun const& run, AdapterRun const& made) {
  auto const& low_rank = made.choice.low_rank;
  if (run.base_model.dialect != dashi::io::Dialect::dit_diffusers || !low_rank.decomposes() ||
      !low_rank.per_input) {
    return;
  }
  for (checkpoints::MapAdapter const& adapter : made.adapters) {
    if (adapter.map.ends_with(".attn.qkv") && adapter.part.outputs == 0) {
      checkpoints::detail::refuse_modules(
          "query, key and value as one map with magnitudes over inputs, of a base that keeps them "
          "apart",
          "query, key and value, each with its own");
    }
    if (adapter.map.starts_with("t_embedder.")) {
      checkpoints::detail::refuse_modules(
          "the embedder of time with magnitudes over inputs, of a base that keeps copies of it",
          "other maps, or a base under the original's names");
    }
  }
}

}  // namespace

std::shared_ptr<AdapterRun const> adapter_run(TrainRun const& run) {
  if (!run.config.adapter.given()) {
    return nullptr;
  }
  auto made = std::make_shared<AdapterRun>();
  made->choice = choice_of(run.config.adapter);
  try {
    made->adapters = checkpoints::map_adapters(run.dit, made->choice);
    expect_norms_of_one_tensor(run, *made);
  } catch (dashi::ConfigurationError const& error) {
    auto diagnosis = error.diagnosis();
    diagnosis.file = run.config_path.string();
    throw dashi::ConfigurationError(std::move(diagnosis));
  }
  return made;
}

void write_trained_adapter(Session& session, TrainRun const& run,
                           std::filesystem::path const& folder, dashi::io::AdapterFile adapter,
                           std::map<std::string, std::string> metadata) {
  adapter.metadata = std::move(metadata);
  adapter.base_digest = run.base_digest;
  bool const peft = is_peft(run.config.adapter);
  std::filesystem::path const file = folder / "adapter_model.safetensors";
  session.will_write(file);
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // the writer says what is wrong with it
  dashi::io::AdapterWriteOptions options;
  options.file.force = true;
  dashi::io::write_adapter(peft ? folder : file, adapter,
                           peft ? dashi::io::Dialect::peft : dashi::io::Dialect::dashi_adapter,
                           options);
}

}  // namespace cli

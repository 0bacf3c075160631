// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_config.hpp"

#include "config_map.hpp"
#include "factorised_run.hpp"

#include <dashi/core/error.hpp>
#include <dashi/data/procedural_shapes.hpp>
#include <dashi/data/resize.hpp>
#include <dashi/io/listing.hpp>

#include <cmath>
#include <limits>

namespace cli {

namespace {

using dashi::Index;
constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr Index most_steps = 1'000'000'000;
constexpr Index most_extent = 8192;

/// "B/4": size and patch of a model of the paper (arXiv 2212.09748, table 1).
void take_size(ConfigMap& map, ModelConfig& model) {
  std::string const size = map.text("size");
  if (size.empty()) {
    return;
  }
  struct Size {
    char const* name;
    Index depth, width, heads;
  };
  constexpr Size sizes[] = {
      {"S", 12, 384, 6}, {"B", 12, 768, 12}, {"L", 24, 1024, 16}, {"XL", 28, 1152, 16}};
  auto const slash = size.find('/');
  std::string const patch = slash == std::string::npos ? "" : size.substr(slash + 1);
  for (Size const& known : sizes) {
    if (size.substr(0, slash) == known.name && patch.size() == 1 && patch[0] >= '1' &&
        patch[0] <= '8') {
      model.depth = known.depth;
      model.width = known.width;
      model.heads = known.heads;
      model.patch = patch[0] - '0';
      return;
    }
  }
  map.refuse("size", dashi::io::in_quotes(size), "S, B, L or XL, a slash and the patch: S/2",
             "or leave it out and give depth, width, heads and patch");
}

ModelConfig model_of(ConfigMap map) {
  ModelConfig model;
  model.from = map.text("from");
  model.precision = map.choice("precision", "float32", {"float32", "bf16", "float16"});
  model.recompute = map.choice("recompute", "nothing", {"nothing", "blocks"}) == "blocks";
  model.variant = map.choice("variant", "", {"original", "diffusers"});
  model.embedders = map.choice("embedders", "", {"shared", "per_block"});
  if (!model.from.empty()) {
    model.hints.heads = map.integer("heads", 0, 1, 4096);
    model.hints.input_height = map.integer("input", 0, 1, most_extent);
    model.hints.input_width = model.hints.input_height;
    for (char const* const key :
         {"size", "depth", "width", "patch", "mlp_ratio", "learn_sigma", "classes"}) {
      if (map.has(key)) {
        map.refuse(key, "given beside model.from", "one of them",
                   "the file says what the model is");
      }
    }
    map.finish();
    return model;
  }
  take_size(map, model);
  bool const sized = map.has("size");
  for (auto const& [key, value] :
       {std::pair("depth", &model.depth), std::pair("width", &model.width),
        std::pair("heads", &model.heads), std::pair("patch", &model.patch)}) {
    if (sized && map.has(key)) {
      map.refuse(key, "given beside model.size", "one of them");
    }
    *value = map.integer(key, *value, 1, most_extent);
  }
  if (model.width % 4 != 0) {
    map.refuse("width", std::to_string(model.width), "a multiple of 4");
  }
  if (model.width % model.heads != 0 || model.width / model.heads > 128) {
    map.refuse("heads", std::to_string(model.heads),
               "a divisor of the width " + std::to_string(model.width) +
                   " that leaves at most 128 numbers a head");
  }
  model.mlp_ratio = map.number("mlp_ratio", 4, 0, 64, true);
  model.learn_sigma = map.flag("learn_sigma", true);
  model.classes = map.integer("classes", 0, 1, 10'000'000);
  map.finish();
  return model;
}

template <class Value, class Names>
std::vector<Value> chosen(ConfigMap& map, char const* key, Names const& names,
                          std::vector<Value> fallback) {
  std::vector<std::string> const texts = map.texts(key);
  if (texts.empty()) {
    return fallback;
  }
  std::vector<Value> values;
  for (std::string const& text : texts) {
    std::size_t i = 0;
    for (; i < names.size() && names[i] != text; ++i) {
    }
    if (i == names.size()) {
      map.refuse(
          key, dashi::io::in_quotes(text),
          "some of " + dashi::io::listing(std::vector<std::string>(names.begin(), names.end())));
    }
    values.push_back(static_cast<Value>(i));
  }
  return values;
}

void take_procedural(ConfigMap& map, DataConfig& data) {
  auto& p = data.procedural;
  p.count = static_cast<std::size_t>(map.integer("count", 2000, 1, 100'000'000));
  p.size = map.integer("size", 32, 8, most_extent);
  p.channels = map.integer("channels", 3, 1, 3);
  if (p.channels == 2) {
    map.refuse("channels", "2", "1 or 3");
  }
  p.seed = static_cast<std::uint64_t>(map.integer("seed", 0));
  p.shapes = chosen(map, "shapes", dashi::data::shape_names, p.shapes);
  p.palettes = chosen(map, "palettes", dashi::data::palette_names, p.palettes);
  using Labels = dashi::data::ProceduralLabels;
  std::string const labels =
      map.choice("labels", "shape", {"shape", "palette", "shape_and_palette"});
  p.labels = labels == "shape"     ? Labels::shape
             : labels == "palette" ? Labels::palette
                                   : Labels::shape_and_palette;
  p.label_offset = map.integer("label_offset", 0);
}

void take_files(ConfigMap& map, DataConfig& data) {
  using dashi::data::Resize;
  auto& o = data.load;
  o.size = map.integer("size", 0, 0, most_extent);
  std::string const resize =
      map.choice("resize", "none", {"none", "box", "bilinear", "center_crop"});
  for (Resize const rule : {Resize::box, Resize::bilinear, Resize::center_crop}) {
    o.resize = resize == name(rule) ? rule : o.resize;
  }
  if (o.resize != Resize::none && o.size == 0) {
    map.refuse("resize", resize, "a size with it");
  }
  std::string const channels = map.choice("channels", "0", {"0", "1", "3"});
  o.channels = channels[0] - '0';
  o.class_depth = map.integer("class_depth", 1, 0, 32);
  o.classes = map.texts("classes");
  o.label_offset = map.integer("label_offset", 0);
  o.class_count = map.integer("class_count", 0);
  o.labels = map.text("labels");
  o.strict = map.flag("strict", false);
  o.invert = map.flag("invert", false);
}

DataConfig data_of(ConfigMap& map) {
  DataConfig data;
  data.path = map.text("path");
  std::string const kind =
      map.choice("kind", data.path.empty() ? "procedural" : "files", {"files", "procedural"});
  if ((kind == "procedural") != data.path.empty() || (data.path.empty() && !map.has("kind"))) {
    map.refuse("path", data.path.empty() ? "missing" : "given for a procedural set",
               "a path, or kind: procedural");
  }
  data.limit = static_cast<std::size_t>(map.integer("limit", 0, 1));
  if (data.path.empty()) {
    take_procedural(map, data);
  } else {
    take_files(map, data);
  }
  return data;
}

ValidationConfig validation_of(ConfigMap map) {
  ValidationConfig v;
  v.share = map.number("share", 0, 0, 0.9);
  v.every = map.integer("every", 0, 1, most_steps);
  v.images = static_cast<std::size_t>(map.integer("images", 0, 1));
  if (map.has("data")) {
    ConfigMap data = map.map("data");
    v.data = data_of(data);
    data.finish();
  }
  if (v.data && v.share > 0) {
    map.refuse("share", "given beside validation.data", "one of them");
  }
  if (v.every > 0 && !v.data && v.share == 0) {
    map.refuse("every", std::to_string(v.every), "validation.share or validation.data with it");
  }
  map.finish();
  return v;
}

void take_diffusion(ConfigMap map, TrainConfig& config) {
  config.process.schedule = map.choice("schedule", "linear", {"linear", "cosine"});
  config.process.steps = map.integer("steps", 1000, 1, 100'000);
  auto& o = config.objective;
  o.kind = map.choice("objective", "", {"mse", "mse+vb"});
  bool const sigma = config.model.learn_sigma && config.model.from.empty();
  if (o.kind == "mse" && sigma) {
    map.refuse("objective", "mse", "mse+vb for a model that learns the variance",
               "or set model.learn_sigma: false");
  }
  if (o.kind == "mse+vb" && !sigma && config.model.from.empty()) {
    map.refuse("objective", "mse+vb", "mse for a model without variance",
               "or set model.learn_sigma: true");
  }
  o.weighting = map.choice("weighting", "plain", {"plain", "min_snr", "clipped_snr", "p2"});
  bool const p2 = o.weighting == "p2";
  o.gamma = map.number("gamma", p2 ? 0.5 : 5, 0, infinite, true);
  o.k = map.number("k", 1, 0, infinite);
  map.finish();
}

MethodConfig method_of(ConfigMap& config) {
  MethodConfig method;
  if (config.is_word("method")) {
    if (config.choice("method", "plain", {"plain", "diff_tuning"}) == "diff_tuning") {
      config.refuse("method", "diff_tuning without its bank",
                    "a map: method: {kind: diff_tuning, bank: FILE}",
                    "make the bank with: dashi sample MODEL --bank FILE --count 500");
    }
    return method;
  }
  ConfigMap map = config.map("method");
  method.diff_tuning = map.choice("kind", "diff_tuning", {"plain", "diff_tuning"}) == "diff_tuning";
  if (method.diff_tuning) {
    method.exponent = map.number("exponent", 1, 0, 64);
    method.source_exponent = map.number("source_exponent", method.exponent, 0, 64);
    method.ratio = map.number("ratio", 0.2, 0, 0.99);
    method.weight = map.number("weight", 0.1, 0, infinite);
    method.distillation = map.flag("distillation", false);
    method.bank = map.text("bank");
    if (method.bank.empty() && method.ratio > 0) {
      map.refuse("bank", "missing", "the file of samples of the pre-trained model",
                 "make it with: dashi sample MODEL --bank FILE --count 500");
    }
  }
  map.finish();
  return method;
}

AdapterConfig adapter_of(ConfigMap& config) {
  std::vector<std::string> const kinds{"lora", "lokr", "krona", "difffit", "bitfit"};
  AdapterConfig a;
  if (!config.has("adapter")) {
    return a;
  }
  bool const word = config.is_word("adapter");
  if (word) {
    a.kind = config.choice("adapter", "", kinds);
  }
  ConfigMap map = word ? ConfigMap(config.file(), "adapter", nullptr) : config.map("adapter");
  if (!word) {
    a.kind = map.choice("kind", "", kinds);
    if (a.kind.empty()) {
      map.refuse("kind", "missing", dashi::io::listing(kinds));
    }
  }
  bool const scales = a.kind == "difffit" || a.kind == "bitfit";
  a.class_table = map.flag("class_table", scales);
  if (a.kind != "bitfit") {
    a.modules = map.texts("modules");
  }
  if (a.kind == "lora" || a.kind == "lokr") {
    a.rank = map.integer("rank", 8, 1, most_extent);
    a.alpha = map.number("alpha", static_cast<double>(a.rank), 0, infinite, true);
  }
  if (a.kind == "lora") {
    a.rank_stabilised = map.flag("rank_stabilised", false);
    a.weight_decomposed = map.flag("weight_decomposed", false);
    a.wd_on_output = map.flag("wd_on_output", true);
  } else if (a.kind == "lokr") {
    a.factor = map.integer("factor", -1, -1, most_extent);
    a.decompose_both = map.flag("decompose_both", false);
    if (a.factor == 0) {
      map.refuse("factor", "0", "-1 (as square as can be), or 1 or more");
    }
  } else if (a.kind == "krona") {
    a.alpha = 1;
    if (map.has("factors")) {
      a.factors = map.integers("factors");
    }
    if (a.factors.size() != 2 || a.factors[0] < 1 || a.factors[1] < 1) {
      map.refuse("factors", std::to_string(a.factors.size()) + " numbers",
                 "two numbers of 1 or more: rows and columns of the first factor");
    }
  } else if (a.kind == "difffit") {
    a.blocks = map.integer("blocks", -1, 1, most_extent);
  }
  map.finish();
  return a;
}

/// What papers found good: DiffFit trains at ten times the rate of the pre-training (arXiv
/// 2304.06648), DiffuseKronA at 5e-4 (2402.17412).
double usual_rate(AdapterConfig const& adapter) {
  return adapter.kind == "difffit" || adapter.kind == "bitfit" ? 1e-3
         : adapter.kind == "krona"                             ? 5e-4
                                                               : 1e-4;
}

OptimizerConfig optimizer_of(ConfigMap map, Index steps, double usual_lr) {
  OptimizerConfig o;
  o.lr = map.number("lr", usual_lr, 0, 1000, true);
  auto const betas = map.numbers("betas", 2, {0.9, 0.999});
  o.beta1 = betas[0];
  o.beta2 = betas[1];
  for (double const beta : betas) {
    if (!(beta >= 0 && beta < 1)) {
      map.refuse("betas", std::to_string(beta), "numbers of at least 0 and below 1");
    }
  }
  o.weight_decay = map.number("weight_decay", 0, 0, infinite);
  o.epsilon = map.number("eps", 1e-8, 0, 1, true);
  o.schedule = map.choice("schedule", "constant", {"constant", "cosine"});
  o.warmup = map.integer("warmup", 0, 0, most_steps);
  if (o.schedule == "cosine" && o.warmup >= steps) {
    map.refuse("warmup", std::to_string(o.warmup),
               "fewer than the " + std::to_string(steps) + " steps of the cosine");
  }
  o.last_lr = map.number("last_lr", 0, 0, o.lr);
  o.clip = map.number("clip", 0, 0, infinite);
  map.finish();
  return o;
}

PreviewConfig preview_of(ConfigMap map, Index process_steps) {
  PreviewConfig p;
  p.every = map.integer("every", 0, 1, most_steps);
  p.classes = map.integers("classes");
  p.count = map.integer("count", 16, 1, 1024);
  p.steps = map.integer("steps", std::min<Index>(50, process_steps), 1, process_steps);
  p.guidance = map.number("guidance", 4, 0, 1000);
  p.average = map.flag("average", false);
  map.finish();
  return p;
}

void take_reproducible(ConfigMap& map, TrainConfig& config) {
  config.any_threads =
      map.choice("reproducible", "default", {"default", "any_threads"}) == "any_threads";
  config.shards = map.integer("shards", 4, 1, 1024);
  if (map.has("shards") && !config.any_threads) {
    map.refuse("shards", std::to_string(config.shards), "reproducible: any_threads with it");
  }
  Index const parts = config.accumulate * (config.any_threads ? config.shards : 1);
  if (config.batch % parts != 0) {
    map.refuse("batch", std::to_string(config.batch),
               "a multiple of " + std::to_string(parts) + ", accumulate times shards");
  }
}

}  // namespace

TrainConfig read_train_config(std::filesystem::path const& file) {
  std::string const name = file.string();
  YamlNode const root = read_yaml(file);
  ConfigMap map(name, "", &root);
  TrainConfig config;
  config.output = map.text("output");
  if (config.output.empty()) {
    map.refuse("output", "missing", "a folder for what is written");
  }
  config.steps = map.integer("steps", 0, 1, most_steps);
  if (config.steps == 0) {
    map.refuse("steps", "missing", "a number of steps");
  }
  config.batch = map.integer("batch", 32, 1, 1 << 20);
  config.accumulate = map.integer("accumulate", 1, 1, 1 << 20);
  config.ema = map.number("ema", 0.9999, 0, 0.9999999999);
  config.label_dropout = map.number("label_dropout", 0.1, 0, 1);
  config.seed = static_cast<std::uint64_t>(map.integer("seed", 1));
  take_reproducible(map, config);
  config.model = model_of(map.map("model"));
  ConfigMap data = map.map("data");
  config.flip = data.flag("flip", false);
  config.data = data_of(data);
  data.finish();
  config.validation = validation_of(map.map("validation"));
  take_diffusion(map.map("diffusion"), config);
  config.method = method_of(map);
  if (config.method.distillation && config.model.from.empty()) {
    map.refuse("method", "a distillation without model.from", "a pre-trained model to distil");
  }
  config.adapter = adapter_of(map);
  if (config.adapter.given() && config.model.from.empty()) {
    map.refuse("adapter", "an adapter without model.from", "a model that it is trained on");
  }
  config.factorised = factorised_config(map, !config.model.from.empty());
  config.optimizer = optimizer_of(map.map("optimizer"), config.steps, usual_rate(config.adapter));
  ConfigMap checkpoint = map.map("checkpoint");
  config.checkpoint_every = checkpoint.integer("every", 0, 1, most_steps);
  config.keep = checkpoint.integer("keep", 2, 1, 1'000'000);
  checkpoint.finish();
  config.preview = preview_of(map.map("preview"), config.process.steps);
  config.csv = map.choice("metrics", "jsonl", {"jsonl", "csv"}) == "csv";
  map.finish();
  config.canonical =
      canonical_text(root, {"output", "steps", "checkpoint", "preview", "metrics", "validation"});
  return config;
}

}  // namespace cli

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every fault of an adapter's file has a sentence of its own and ends with status 65.
#include <dashi/io/adapters/check_base_digest.hpp>

#include "adapter_files.hpp"

using namespace dashi::adapter_test;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

Tensors lora(std::string const& stem = "lora_unet_q") {
  return {{stem + ".lora_down.weight", tensor({2, 6})}, {stem + ".lora_up.weight", tensor({4, 2})}};
}
Tensors lokr(Shape w1, Shape w2_a, Shape w2_b) {
  return {{"lycoris_q.lokr_w1", tensor(std::move(w1))},
          {"lycoris_q.lokr_w2_a", tensor(std::move(w2_a))},
          {"lycoris_q.lokr_w2_b", tensor(std::move(w2_b))}};
}
std::string message(AdapterFolder const& folder, std::string const& code, Tensors const& tensors) {
  auto const failure = folder.refusal(tensors);
  CHECK(failure.code == code);
  return failure.message;
}

}  // namespace

TEST_CASE("a file of no adapter is refused") {
  AdapterFolder const folder;
  CHECK(contains(message(folder, "not-an-adapter", {{"blocks.0.q.weight", tensor({2, 2})}}),
                 "the names are those of no adapter"));
}

TEST_CASE("unknown keys are listed") {
  AdapterFolder const folder;
  Tensors tensors = lora();
  tensors["lora_unet_q.lora_C.weight"] = number(1);
  tensors["something_else"] = number(1);
  std::string const said = message(folder, "unknown-keys", tensors);
  CHECK(contains(said, "2 tensors that mean nothing"));
  CHECK(contains(said, "lora_unet_q.lora_C.weight, something_else"));
  CHECK(contains(said, "--ignore"));
}

TEST_CASE("half a pair of factors is refused") {
  AdapterFolder const folder;
  SECTION("LoRA") {
    Tensors tensors = lora();
    tensors.erase("lora_unet_q.lora_up.weight");
    CHECK(contains(message(folder, "half-a-pair", tensors), "down (A) without up (B)"));
  }
  SECTION("LoKr, half a factor") {
    Tensors tensors = lokr({2, 3}, {4, 2}, {2, 5});
    tensors.erase("lycoris_q.lokr_w2_b");
    CHECK(contains(message(folder, "half-a-pair", tensors), "lokr_w2_a without lokr_w2_b"));
  }
  SECTION("LoKr, no second factor") {
    CHECK(contains(message(folder, "half-a-pair", {{"lycoris_q.lokr_w1", tensor({2, 3})}}),
                   "neither lokr_w2 nor lokr_w2_a and lokr_w2_b"));
  }
  SECTION("a magnitude alone") {
    Tensors tensors = lora();
    tensors["lora_unet_k.dora_scale"] = tensor({4, 1});
    CHECK(contains(message(folder, "half-a-pair", tensors), "a magnitude without factors"));
  }
}

TEST_CASE("ranks that disagree are refused") {
  AdapterFolder const folder;
  SECTION("LoRA") {
    Tensors tensors = lora();
    tensors["lora_unet_q.lora_up.weight"] = tensor({4, 3});
    CHECK(contains(
        message(folder, "rank-mismatch", tensors),
        "the factors disagree on the rank: 2 in 'lora_unet_q.lora_down.weight' [2, 6], 3"));
  }
  SECTION("halves of a LoKr factor") {
    CHECK(contains(message(folder, "rank-mismatch", lokr({2, 3}, {4, 2}, {3, 5})), "disagree"));
  }
  SECTION("the two factors") {
    Tensors tensors = lokr({2, 3}, {4, 2}, {2, 5});
    tensors.erase("lycoris_q.lokr_w1");
    tensors["lycoris_q.lokr_w1_a"] = tensor({8, 3});
    tensors["lycoris_q.lokr_w1_b"] = tensor({3, 8});
    CHECK(contains(message(folder, "rank-mismatch", tensors),
                   "the first factor has rank 3, the second rank 2"));
  }
  SECTION("Tucker core") {
    Tensors tensors = lokr({2, 3}, {2, 7}, {2, 5});
    tensors["lycoris_q.lokr_t2"] = tensor({2, 3, 3, 3});
    CHECK(contains(message(folder, "rank-mismatch", tensors), "lokr_t2"));
  }
  SECTION("configuration of PEFT") {
    auto const failure = failure_of([&] {
      folder.read_peft({{"base_model.model.q.lora_A.weight", tensor({2, 6})},
                        {"base_model.model.q.lora_B.weight", tensor({4, 2})}},
                       R"({"r":8,"lora_alpha":8})");
    });
    REQUIRE(failure);
    CHECK(failure->code == "rank-mismatch");
    CHECK(failure->status == 65);
    CHECK(contains(failure->message, "the tensors have rank 2, adapter_config.json says 8"));
  }
}

TEST_CASE("alphas without meaning are refused") {
  AdapterFolder const folder;
  Tensors tensors = lora();
  SECTION("zero") {
    tensors["lora_unet_q.alpha"] = number(0);
    CHECK(contains(message(folder, "alpha-zero", tensors), "alpha is 0"));
  }
  SECTION("not finite") {
    tensors["lora_unet_q.alpha"] = number(INFINITY);
    CHECK(contains(message(folder, "alpha-not-finite", tensors), "alpha is inf"));
  }
  SECTION("a vector") {
    tensors["lora_unet_q.alpha"] = tensor({2});
    CHECK(contains(message(folder, "adapter-shape", tensors), "shape [2], expected one number"));
  }
  SECTION("a placeholder, unless asked for") {
    tensors["lora_unet_q.alpha"] = number(1e10F);
    CHECK(contains(message(folder, "scale-unusual", tensors),
                   "the scale is 5e+09 (alpha 1e+10 / rank 2)"));
    AdapterReadOptions options;
    options.any_scale = true;
    CHECK(folder.read(tensors, {}, options).modules.front().scale == 5e9);
  }
  SECTION("the band is closed") {
    tensors["lora_unet_q.alpha"] = number(128);
    CHECK(folder.read(tensors).modules.front().scale == 64);
    tensors["lora_unet_q.alpha"] = number(-2.0F / 4096);
    CHECK(folder.read(tensors).modules.front().scale == -1.0 / 4096);
    tensors["lora_unet_q.alpha"] = number(128.5F);
    CHECK(folder.refusal(tensors).code == "scale-unusual");
  }
}

TEST_CASE("two tensors for one purpose and two forms in one module are refused") {
  AdapterFolder const folder;
  SECTION("two spellings") {
    Tensors tensors{{"diffusion_model.q.lora_A.weight", tensor({2, 6})},
                    {"diffusion_model.q.lora_B.weight", tensor({4, 2})},
                    {"diffusion_model.q.lora_up.weight", tensor({4, 2})}};
    CHECK(contains(message(folder, "duplicate-module", tensors),
                   "'diffusion_model.q.lora_B.weight' and 'diffusion_model.q.lora_up.weight'"));
  }
  SECTION("two forms") {
    Tensors tensors = lora();
    tensors["lora_unet_q.lokr_w1"] = tensor({2, 2});
    CHECK(contains(message(folder, "mixed-forms", tensors), "tensors of LoRA, LoKr"));
  }
  SECTION("a factor and its halves") {
    Tensors tensors = lokr({2, 3}, {4, 2}, {2, 5});
    tensors["lycoris_q.lokr_w2"] = tensor({4, 5});
    CHECK(contains(message(folder, "mixed-forms", tensors), "lokr_w2 and its factors too"));
  }
}

TEST_CASE("tensors of shapes that no form has are refused") {
  AdapterFolder const folder;
  Tensors tensors = lora();
  SECTION("a vector") { tensors["lora_unet_q.lora_down.weight"] = tensor({6}); }
  SECTION("one factor of a convolution") {
    tensors["lora_unet_q.lora_down.weight"] = tensor({2, 6, 3, 3});
  }
  SECTION("up with a kernel") {
    tensors["lora_unet_q.lora_down.weight"] = tensor({2, 6, 3, 3});
    tensors["lora_unet_q.lora_up.weight"] = tensor({4, 2, 3, 3});
  }
  SECTION("magnitudes over both axes") { tensors["lora_unet_q.dora_scale"] = tensor({4, 6}); }
  CHECK(folder.refusal(tensors).code == "adapter-shape");
}

TEST_CASE("factors of integers are refused") {
  AdapterFolder const folder;
  Tensors tensors = lora();
  tensors["lora_unet_q.lora_up.weight"] =
      AdapterTensor(Dtype::i32, {4, 2}, std::vector<std::byte>(32));
  CHECK(contains(message(folder, "wrong-dtype", tensors), "'lora_unet_q.lora_up.weight' of I32"));
}

TEST_CASE("configurations of PEFT that mean something else are refused") {
  AdapterFolder const folder;
  Tensors const tensors{{"base_model.model.q.lora_A.weight", tensor({2, 6})},
                        {"base_model.model.q.lora_B.weight", tensor({4, 2})}};
  auto const code = [&](std::string const& config) {
    auto const failure = failure_of([&] { folder.read_peft(tensors, config); });
    REQUIRE(failure);
    CHECK(failure->status == 65);
    CHECK(contains(failure->message, "adapter_config.json"));
    return failure->code;
  };
  CHECK(code(R"({"peft_type":"LOHA","r":2,"alpha":2})") == "adapter-type");
  CHECK(code(R"({"r":2,"lora_alpha":2,"fan_in_fan_out":true})") == "adapter-setting");
  CHECK(code(R"({"r":2,"lora_alpha":2,"init_lora_weights":"pissa_niter_4"})") == "adapter-setting");
  CHECK(code(R"({"r":2,"lora_alpha":2,"layer_replication":[[0,4]]})") == "adapter-setting");
  CHECK(code(R"({"r":"2","lora_alpha":2})") == "bad-adapter-config");
  CHECK(code(R"({"r":2,"r":2,"lora_alpha":2})") == "duplicate-key");
  CHECK(code(R"({"r":2,"lora_alpha":0})") == "alpha-zero");
  CHECK(code("[1]") == "wrong-type");
}

TEST_CASE("an adapter for another base is refused") {
  AdapterFile adapter;
  adapter.path = "adapter.safetensors";
  CHECK_NOTHROW(check_base_digest(adapter, "base.safetensors", "0123"));
  adapter.base_digest = "0123";
  CHECK_NOTHROW(check_base_digest(adapter, "base.safetensors", "0123"));
  auto const failure = failure_of([&] { check_base_digest(adapter, "base.safetensors", "4567"); });
  REQUIRE(failure);
  CHECK(failure->code == "another-base");
  CHECK(failure->status == 65);
  CHECK(contains(failure->message, "made for the base 0123..., base.safetensors is 4567..."));
}

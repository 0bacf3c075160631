# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi train: what a training leaves, exact resumes, signals, and bad input of every kind."""

import json
import resource
import shutil
import signal
import struct
import subprocess
import time
import unittest

from dit_files import drawn_dit
from png_files import read_png, write_png
from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors

CONFIG = """\
output: run
steps: 6
batch: 8
seed: 3
ema: 0.9
model: {depth: 2, width: 32, heads: 2, patch: 4}
data: {kind: procedural, size: 16, count: 60}
optimizer: {lr: 1e-3}
checkpoint: {every: 2, keep: 3}
"""


class Train(ProgramCase):
    def config(self, text=CONFIG, *changes, name="c.yaml", more=""):
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.path(name).write_text(text + more)
        return name

    def train(self, *options, status=0, name="c.yaml"):
        return self.dashi("train", name, "--quiet", "--threads", "1", *options, status=status)

    def trained(self, folder="run"):
        return {name: self.path(f"{folder}/{name}").read_bytes() for name in ("model.safetensors", "ema.safetensors")}

    def states(self, folder="run"):
        return sorted(p.name for p in self.path(f"{folder}/checkpoints").glob("state-*"))

    def metrics(self, folder="run"):
        lines = self.path(f"{folder}/metrics.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if "second" not in key} for line in lines]

    def refuse(self, *options, status=78, code="config-value"):
        return self.refused("train", "c.yaml", "--quiet", *options, status=status, code=code)


class Runs(Train):
    def test_what_a_training_leaves(self):
        self.config(more="validation: {share: 0.1, every: 3}\npreview: {every: 3, classes: [1, 4], count: 4, steps: 3}\n")
        said = self.train()
        self.assertIn("step 6, loss", said)
        self.assertEqual(self.path("run/config.yaml").read_bytes(), self.path("c.yaml").read_bytes())
        self.assertEqual([line["step"] for line in self.metrics()], [1, 2, 3, 4, 5, 6])
        self.assertEqual(self.states(), [f"state-000000000{step}.safetensors" for step in (2, 4, 6)])
        for step in (2, 4, 6):
            self.assertEqual(sorted(p.name for p in self.path(f"run/checkpoints/step-00000{step}").iterdir()),
                             ["ema.safetensors", "model.safetensors"])
        self.assertEqual(self.path("run/checkpoints/latest").read_text(), "step-000006\n")
        lines = [json.loads(line) for line in self.path("run/validation.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in lines], [3, 6])
        self.assertGreater(lines[0]["average_loss"], 0)
        for step in (3, 6):
            width, height, channels, _, texts = read_png(self.path(f"run/previews/step-00000{step}.png"))
            self.assertEqual((width, height, channels), (35, 35, 3))
            self.assertEqual(json.loads(texts["dashi.sample"])["classes"], [1, 4, 1, 4])
        # The file tells all that sampling needs.
        about = self.json("inspect", "run/ema.safetensors")
        self.assertEqual((about["dit"]["depth"], about["dit"]["heads"], about["dit"]["classes"]), (2, 2, 5))
        self.assertEqual(json.loads(about["metadata"]["dashi.train"])["step"], 6)
        self.dashi("sample", "run/ema.safetensors", "x.png", "--steps", "3", "--quiet")
        self.assertNotEqual(*self.trained().values())

    def test_training_learns(self):
        self.config(CONFIG, ("steps: 6", "steps: 120"), ("every: 2", "every: 1000"))
        self.train()
        losses = [line["mse"] for line in self.metrics()]
        self.assertLess(sum(losses[-20:]), 0.7 * sum(losses[:20]))

    def test_a_resume_is_the_uninterrupted_run_from_every_step(self):
        self.config()
        self.train()
        whole, metrics = self.trained(), self.metrics()
        states = {name: self.path(f"run/checkpoints/{name}").read_bytes() for name in self.states()}
        for stop in (1, 3, 4):
            with self.subTest(stop=stop):
                shutil.rmtree(self.path("run"))
                self.train("--steps", str(stop))
                self.assertNotEqual(self.trained(), whole)
                with self.path("run/metrics.jsonl").open("a") as log:
                    log.write('{"step":9,"loss":0}\n{"step":1')  # lines of a run that was killed
                self.train("--resume")
                self.assertEqual(self.trained(), whole)
                self.assertEqual(self.metrics(), metrics)
                for name in set(self.states()) & set(states):
                    self.assertEqual(self.path(f"run/checkpoints/{name}").read_bytes(), states[name], name)

    def test_the_same_bits_on_any_number_of_threads(self):
        for accumulate in (1, 2):
            results = []
            for threads in ("1", "2", "3"):
                self.config(CONFIG, ("output: run", f"output: {accumulate}-{threads}"),
                            more=f"reproducible: any_threads\naccumulate: {accumulate}\n")
                self.dashi("train", "c.yaml", "--quiet", "--threads", threads)
                results.append(self.trained(f"{accumulate}-{threads}"))
            self.assertEqual(results[0], results[1])
            self.assertEqual(results[0], results[2])

    def test_precisions_and_options(self):
        losses = []
        for more in ("", "label_dropout: 0.9\n", "accumulate: 2\n", "diffusion: {weighting: min_snr}\n",
                     "diffusion: {schedule: cosine}\n"):
            self.config(CONFIG, ("output: run", f"output: r{len(losses)}"), more=more)
            self.train()
            losses.append([line["loss"] for line in self.metrics(f"r{len(losses)}")])
        for change in (("patch: 4}", "patch: 4, precision: bf16}"), ("patch: 4}", "patch: 4, precision: float16}"),
                       ("patch: 4}", "patch: 4, recompute: blocks}"), ("patch: 4}", "patch: 4, learn_sigma: false}"),
                       ("patch: 4}", "patch: 4, variant: diffusers}"), ("count: 60", "count: 60, flip: true"),
                       ("lr: 1e-3", "lr: 1e-3, warmup: 4, schedule: cosine"), ("lr: 1e-3", "lr: 1e-3, clip: 0.1")):
            self.config(CONFIG, ("output: run", f"output: r{len(losses)}"), change)
            self.train()
            losses.append([line["loss"] for line in self.metrics(f"r{len(losses)}")])
        for i, first in enumerate(losses):
            for j, second in enumerate(losses[:i]):
                same = {i, j} == {0, 7}  # recomputing blocks changes no bit
                if {i, j} not in ({0, 2}, {2, 7}):  # on some machines sums of halves have the bits of the whole
                    self.assertEqual(first == second, same, (i, j))
        self.assertAlmostEqual(losses[0][0], losses[2][0], delta=1e-5)
        memory = []
        for more in ("", "accumulate: 2\n"):
            self.config(CONFIG, ("output: run", "output: plan"), more=more)
            memory.append(json.loads(self.train("--dry-run", "--json"))["memory_bytes"])
        self.assertLess(memory[1], memory[0])
        self.assertAlmostEqual(losses[0][0], losses[5][0], delta=0.02)

    def test_embedders_of_each_block_are_saved_under_diffusers_names(self):
        self.config(CONFIG, ("patch: 4}", "patch: 4, embedders: per_block}"))
        self.train()
        names = read_safetensors(self.path("run/model.safetensors"))[0]
        self.assertIn("transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight", names)
        self.dashi("sample", "run/model.safetensors", "x.png", "--steps", "3", "--quiet")

    def test_a_csv(self):
        self.config(more="metrics: csv\n")
        self.train("--steps", "3")
        self.train("--resume")
        lines = self.path("run/metrics.csv").read_text().splitlines()
        self.assertTrue(lines[0].startswith("step,loss,"))
        self.assertEqual([line.split(",")[0] for line in lines[1:]], ["1", "2", "3", "4", "5", "6"])

    def test_a_dry_run_writes_nothing(self):
        self.config()
        before = self.contents()
        said = self.dashi("train", "c.yaml", "--dry-run")
        self.assertIn("6 steps of 8 images", said)
        self.assertIn("activations", said)
        plan = self.json("train", "c.yaml", "--dry-run")
        self.assertGreater(plan["memory_bytes"], 4 * 4 * plan["parameters"])
        self.assertEqual(self.contents(), before)

    def test_fine_tuning_with_a_bank(self):
        self.config()
        self.train()
        self.dashi("sample", "run/model.safetensors", "--bank", "bank.safetensors", "--count", "12", "--steps", "3",
                   "--guidance", "1", "--quiet")
        losses = []
        for method in ("plain", "{bank: bank.safetensors, ratio: 0.25}", "{bank: bank.safetensors, ratio: 0.25, weight: 2}",
                       "{bank: bank.safetensors, ratio: 0.25, distillation: true}",
                       "{bank: bank.safetensors, ratio: 0.25, exponent: 3}"):
            self.config(CONFIG, ("output: run", f"output: t{len(losses)}"),
                        ("model: {depth: 2, width: 32, heads: 2, patch: 4}", "model: {from: run/model.safetensors}"),
                        more=f"method: {method}\n")
            self.train()
            losses.append([line["loss"] for line in self.metrics(f"t{len(losses)}")])
        self.assertEqual(len({tuple(each) for each in losses}), len(losses))
        # A model that is its own teacher differs from it by nothing at first.
        self.assertLess(self.metrics("t3")[0]["source_loss"], 1e-12)
        self.assertGreater(self.metrics("t1")[0]["source_loss"], 1e-3)
        metadata = read_safetensors(self.path("t1/model.safetensors"))[1]
        self.assertEqual(json.loads(metadata["dashi.train"])["method"], "diff_tuning")


class Signals(Train):
    def start(self, *options):
        process = subprocess.Popen([self.program, "train", "c.yaml", "--quiet", "--threads", "1", *options],
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def wait_for_steps(self, process, least):
        log = self.path("run/metrics.jsonl")
        for _ in range(3000):
            if log.exists() and log.read_bytes().count(b"\n") >= least:
                return
            self.assertIsNone(process.poll(), process.stderr)
            time.sleep(0.01)
        self.fail("the training takes no step")

    def test_signals_save_and_resume(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            with self.subTest(number=number):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.config(CONFIG, ("steps: 6", "steps: 1000000"), ("every: 2", "every: 1000000"))
                process = self.start()
                self.wait_for_steps(process, 3)
                process.send_signal(number)
                out, errors = process.communicate(timeout=60)
                self.assertEqual((process.returncode, errors), (75, b""))
                self.assertIn(b"--resume", out)
                steps = len(self.metrics())
                self.assertEqual(self.states(), [f"state-{steps:010}.safetensors"])
                self.train("--resume", "--steps", str(steps + 2))
                stopped = self.trained()
                shutil.rmtree(self.path("run"))
                self.train("--steps", str(steps + 2))
                self.assertEqual(self.trained(), stopped)

    def test_a_second_interrupt_ends_at_once(self):
        # Steps long enough that both come within one.
        self.config(CONFIG, ("steps: 6", "steps: 100"), ("batch: 8", "batch: 256"), ("width: 32", "width: 96"),
                    ("size: 16", "size: 32"), ("every: 2", "every: 1000000"))
        process = self.start()
        self.wait_for_steps(process, 2)
        before = self.states()
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertEqual(self.states(), before)


class Refusals(Train):
    def test_configurations(self):
        for old, new, line, texts in (
                ("seed: 3", "sead: 3", 4, ("unknown key 'sead'", "did you mean seed?")),
                ("lr: 1e-3", "learning: 1e-3", 8, ("unknown key 'optimizer.learning'",)),
                ("seed: 3", "batch: 4", 4, ("'batch' again", "line 3")),
                ("batch: 8", "batch: eight", 3, ("batch is 'eight'", "a whole number")),
                ("batch: 8", "batch: 1e3", 3, ("a whole number",)),
                ("batch: 8", "batch: [8]", 3, ("a list",)),
                ("batch: 8", 'batch: "8"', 3, ("a whole number",)),
                ("lr: 1e-3", "lr: 0", 8, ("optimizer.lr is '0'", "above 0")),
                ("lr: 1e-3", "lr: -1", 8, ("above 0",)),
                ("lr: 1e-3", "lr: nan", 8, ("a number",)),
                ("lr: 1e-3", "betas: [0.9]", 8, ("a list of 2 numbers",)),
                ("lr: 1e-3", "schedule: cosin", 8, ("did you mean cosine?",)),
                ("width: 32", "width: 30", 6, ("a multiple of 4",)),
                ("heads: 2", "heads: 3", 6, ("a divisor of the width",)),
                ("depth: 2, width: 32, heads: 2, patch: 4", "size: M/2", 6, ("S, B, L or XL",)),
                ("kind: procedural", "kind: drawn", 7, ("files or procedural",)),
                ("count: 60", "strict: yes", 7, ("unknown key 'data.strict'",)),
                ("ema: 0.9", "ema: &a 0.9", 5, ("an anchor",)),
                ("ema: 0.9", "ema: !!float 0.9", 5, ("the tag",)),
                ("ema: 0.9", "ema: 1", 5, ("ema is '1'",)),
                ("seed: 3", "seed: *a", 4, ()),
                ("seed: 3", "shards: 4", 4, ("reproducible: any_threads",)),
                ("seed: 3", "accumulate: 3", 3, ("a multiple of 3",)),
                ("seed: 3", "method: diff_tuning", 4, ("bank",)),
                ("seed: 3", "method: {weight: 1}", 4, ("bank",)),
                ("seed: 3", "adapters: []", 4, ("unknown key 'adapters'",)),
                ("seed: 3", "<<: 3", 4, ("merge key",)),
                ("output: run", "seed: 2", 1, ())):
            with self.subTest(new=new):
                self.config(CONFIG, (old, new))
                done = self.run_dashi("train", "c.yaml")
                message = done.stderr.decode()
                self.assertEqual(done.returncode, 78, message)
                self.assertEqual(message.count("\n"), 1)
                if line != 1:
                    self.assertRegex(message, rf"c\.yaml: line ({line}|{line + 1}):")
                for text in texts:
                    self.assertIn(text, message)
                self.assertFalse(self.path("run").exists())
        self.config(CONFIG, ("seed: 3", "seed: ["))
        self.assertRegex(self.refuse(code="bad-yaml"), r"c\.yaml: line \d+: ")
        self.config("- 1\n")
        self.refuse(code="config-type")
        self.config("a: " + "[" * 40 + "]" * 40)
        self.refuse(code="yaml-too-deep")
        self.config(CONFIG + "---\na: 1\n")
        self.refuse(code="yaml-documents")
        self.path("c.yaml").unlink()
        self.refused("train", "c.yaml", status=66, code="no-such-file")

    def test_patches_must_fit(self):
        self.config(CONFIG, ("size: 16", "size: 18"))
        self.assertIn("18 x 18", self.refuse())

    def test_folders_of_trainings(self):
        self.config()
        self.refuse("--resume", status=66, code="nothing-to-resume")
        self.train("--steps", "2")
        self.assertIn("--resume", self.refuse(status=73, code="output-exists"))

    def test_a_resume_of_another_training(self):
        self.config()
        self.train("--steps", "2")
        for old, new, what in (("lr: 1e-3", "lr: 2e-3", "config"), ("count: 60", "count: 61", "data"),
                               ("batch: 8", "batch: 4", "options")):
            with self.subTest(new=new):
                self.config(CONFIG, (old, new))
                self.path("run/config.yaml").write_bytes(self.path("c.yaml").read_bytes())
                self.assertIn(what, self.refuse("--resume", "--threads", "1", code="resume-changed"))
        self.config(CONFIG, ("every: 2", "every: 3"))  # decides no bit
        self.train("--resume")

    def test_another_thread_count_needs_leave(self):
        self.config()
        self.train("--steps", "2")
        self.path("run/config.yaml").write_bytes(self.path("c.yaml").read_bytes())
        self.assertIn("threads", self.refuse("--resume", "--threads", "2", code="resume-changed"))
        self.dashi("train", "c.yaml", "--quiet", "--resume", "--allow-drift", "--threads", "2")

    def test_damaged_states(self):
        self.config()
        self.train()
        whole = self.trained()
        newest = self.path("run/checkpoints/state-0000000006.safetensors")
        data = bytearray(newest.read_bytes())
        data[-5] ^= 1
        newest.write_bytes(data)
        done = self.run_dashi("train", "c.yaml", "--resume", "--threads", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"an older state is taken", done.stderr)
        self.assertEqual(self.trained(), whole)
        for state in self.path("run/checkpoints").glob("state-*"):
            data = bytearray(state.read_bytes())
            data[-5] ^= 1
            state.write_bytes(data)
        self.refuse("--resume", "--threads", "1", status=65, code="training-state")

    def images(self, sizes=((8, 8), (8, 8))):
        for label, (width, height) in enumerate(sizes):
            self.path(f"data/{label}").mkdir(parents=True)
            for i in range(6):
                write_png(self.path(f"data/{label}/{i}.png"), width, height,
                          [[(i * 40 + x * y) % 256 for x in range(width)] for y in range(height)])

    DATA = ("data: {kind: procedural, size: 16, count: 60}", "data: {path: data}")

    def test_data(self):
        self.images()
        self.config(CONFIG, self.DATA)
        self.train()
        self.config(CONFIG, self.DATA, ("patch: 4", "patch: 4, classes: 1"), ("output: run", "output: other"))
        self.assertIn("class 1", self.refuse(status=65, code="class-index"))
        self.path("data/2").mkdir()
        self.config(CONFIG, self.DATA, ("output: run", "output: other"))
        self.assertIn("class folder '2'", self.refuse(status=65, code="empty-class"))

    def test_mixed_sizes(self):
        self.images(((8, 8), (12, 8)))
        self.config(CONFIG, self.DATA)
        self.assertIn("resize", self.refuse(status=65, code="mixed-shapes"))
        self.config(CONFIG, self.DATA, ("path: data", "path: data, size: 8, resize: box"))
        self.train()

    def test_data_that_is_not_finite(self):
        values = [0.5] * (4 * 64)
        values[100] = float("nan")
        write_safetensors(self.path("l.safetensors"),
                          {"latents": ("F32", [4, 1, 8, 8], struct.pack("<256f", *values)),
                           "labels": ("I64", [4], struct.pack("<4q", 0, 1, 0, 1))})
        self.config(CONFIG, ("kind: procedural, size: 16, count: 60", "path: l.safetensors"))
        done = self.run_dashi("train", "c.yaml", "--quiet")
        message = done.stderr.decode()
        self.assertEqual(done.returncode, 65, message)
        self.assertEqual(message.count("\n"), 1)
        self.assertIn("1", message)

    def test_a_base_that_does_not_fit(self):
        write_safetensors(self.path("m.safetensors"), drawn_dit(side=4))
        self.config(CONFIG, ("depth: 2, width: 32, heads: 2, patch: 4", "from: m.safetensors, heads: 2"))
        self.assertIn("3 x 8 x 8", self.refuse(status=65, code="data-shape"))

    def test_a_loss_that_is_not_finite_keeps_the_last_state(self):
        self.config(CONFIG, ("lr: 1e-3", "lr: 1000"), ("steps: 6", "steps: 400"), ("every: 2", "every: 1"))
        done = self.run_dashi("train", "c.yaml", "--quiet", "--threads", "1")
        message = done.stderr.decode()
        self.assertEqual(done.returncode, 70, message)
        self.assertRegex(message, r"\Adashi: error\[training-not-finite\] step \d+: [^\n]+\n\Z")
        self.assertEqual(len(self.states()), 3)
        for name in ("model.safetensors", "ema.safetensors"):
            self.assertFalse(self.path(f"run/{name}").exists())

    def test_a_full_disk_keeps_the_last_state(self):
        self.config(CONFIG, ("steps: 6", "steps: 2"))
        self.train()
        good = {name: self.path(f"run/checkpoints/{name}").read_bytes() for name in self.states()}
        size = len(next(iter(good.values())))

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

        done = self.run_dashi("train", "c.yaml", "--quiet", "--threads", "1", "--resume", "--steps", "4", preexec_fn=limit)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, 74, message)
        self.assertEqual(message.count("\n"), 1)
        for name, data in good.items():
            self.assertEqual(self.path(f"run/checkpoints/{name}").read_bytes(), data)
        self.assertEqual(list(self.folder.rglob(".*.tmp")), [])
        self.train("--resume", "--steps", "4")


if __name__ == "__main__":
    unittest.main()

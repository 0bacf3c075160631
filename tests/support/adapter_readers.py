# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Run by the interpreter of the peers: `adapter_readers.py {peft|lycoris ADAPTER BASE}...`. Loads each adapter with that
library onto layers of the base's shapes (names blk.<layer>) and prints, as JSON, the change of every weight that it
computes in double: [{layer: [numbers]}]."""

import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


class Blocks(torch.nn.Module):
    def forward(self, x):
        return x


def network(base):
    """One layer of torch for every weight; a grouped convolution stands for itself by its own weight alone."""
    net = Blocks()
    net.blk = Blocks()
    for name, weight in base.items():
        if not name.endswith(".weight"):
            continue
        layer = name.split(".")[1]
        bias = base.get(f"blk.{layer}.bias")
        if layer == "emb":
            module = torch.nn.Embedding(*weight.shape)
        elif weight.dim() == 2:
            module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        else:
            groups = 2 if layer == "grp" else 1
            module = torch.nn.Conv2d(weight.shape[1] * groups, weight.shape[0], weight.shape[2], groups=groups,
                                     bias=bias is not None)
        module.weight.data = weight.clone()
        if bias is not None:
            module.bias.data = bias.clone()
        setattr(net.blk, layer, module)
    return net.double()


def peft_changes(adapter, base):
    from peft import PeftModel

    merged = PeftModel.from_pretrained(network(base), adapter).double().merge_and_unload()
    return {layer: module.weight.data - base[f"blk.{layer}.weight"].double()
            for layer, module in merged.blk.named_children()}


def lycoris_changes(adapter, base):
    """Of linear layers: their output on the identity."""
    from lycoris import create_lycoris_from_weights

    net = network(base)
    wrapper, _ = create_lycoris_from_weights(1.0, None, net, weights_sd=load_file(adapter))
    wrapper.apply_to()
    wrapper.double()
    changes = {}
    for layer, module in net.blk.named_children():
        if isinstance(module, torch.nn.Linear):
            out = module(torch.eye(module.in_features, dtype=torch.float64))
            changes[layer] = ((out - (0 if module.bias is None else module.bias)).T - module.weight).detach()
    return changes


def main(out):
    found = []
    for reader, adapter, base in zip(*[iter(sys.argv[1:])] * 3):
        read = peft_changes if reader == "peft" else lycoris_changes
        changes = read(adapter, load_file(base))
        found.append({layer: change.flatten().tolist() for layer, change in changes.items()})
    print(json.dumps(found), file=out)


if __name__ == "__main__":
    answer, sys.stdout = sys.stdout, sys.stderr  # LyCORIS logs to stdout
    main(answer)

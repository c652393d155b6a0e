#!/usr/bin/env python3
"""Export a trained network to models/face.onnx, with its manifest and card.

Weights are rounded to half precision, which halves the file; ONNX Runtime widens them as it loads. The figures are those
of the rounded network, and the exported graph must agree with it within 1e-4 in ONNX Runtime.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from expression.coefficients import NAMES
from face.card import write_card
from face.data import SIZE, held_out
from face.evaluate import MODELS_HELP, correlation, figures, load, predict, stacked
from face.keypoints import sharpen
from face.model import POINTS, Exported, fold
from face.operators import OPSET, functions

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
# Smaller tensors are not worth a node in the graph.
HALF_FROM = 2048


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", type=Path, help=MODELS_HELP)
    p.add_argument("faces", type=Path, help="folder of held-out .ftfaces")
    p.add_argument("--out", type=Path, default=MODELS)
    p.add_argument("--notes", type=Path, help="Markdown for the card: figures on real faces, known failures")
    a = p.parse_args()
    net, saved = load(*a.models)
    net = rounded(net)
    faces = stacked(held_out(a.faces))
    path = a.out / "face.onnx"
    to_onnx(net, path)
    worst = compare(net, path, {k: v[:64] for k, v in faces.items()})
    if worst > 1e-4:
        raise SystemExit(f"{path} differs from PyTorch by {worst:.2g}")
    out = {known: predict(net, faces, known=known)["blendshapes"] for known in (False, True)}
    truth = faces["blendshapes"]
    facts = {
        "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "onnx_difference": worst,
        "steps": saved["step"], "seconds": saved.get("seconds"), "arguments": saved.get("arguments", {}),
        "faces": len(truth), "figures": figures(net, faces), "cost": cost(net, torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, POINTS, 3), torch.ones(1, 1)), "microseconds": microseconds(path),
        "coefficients": [
            (n, *(float(correlation(out[k], truth)[i]) for k in (False, True)), float(np.abs(out[False] - truth)[:, i].mean()))
            for i, n in enumerate(NAMES)
        ],
        "notes": a.notes.read_text() if a.notes else "",
    }  # fmt: skip
    write_card(a.out, facts)
    if a.out == MODELS:
        write_fixture(net)
    print(f"{path}: {facts['size']} bytes, sha256 {facts['sha256']}, {worst:.1e} from PyTorch")


def rounded(net):
    """Batch normalisation and sharpness in the weights, these rounded to half precision."""
    fold(net)
    sharpen(net)
    with torch.no_grad():
        for p in [*net.parameters(), *net.buffers()]:
            if p.numel() >= HALF_FROM:
                p.copy_(p.half().float())
    return net


def to_onnx(net, path):
    """One file, weights inside, fixed shapes."""
    example = (torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, POINTS, 3), torch.zeros(1, 1))
    torch.onnx.export(
        Exported(net), example, path, input_names=list(Exported.INPUTS), output_names=list(Exported.OUTPUTS),
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    graph = onnx.load(path)
    halve(graph.graph)
    graph.functions.extend(functions(net, (1, 3, SIZE, SIZE)))
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def halve(graph):
    """Large weights as half precision, each widened by a node that the runtime folds away."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        if np.abs(values.astype(np.float16).astype(np.float32) - values).max() > 0:
            raise SystemExit(f"{tensor.name} is not what was rounded: the exporter has folded something into it")
        name, narrow = tensor.name, tensor.name + "_half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), narrow))
        casts.append(helper.make_node("Cast", [narrow], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def compare(net, path, faces):
    """Largest difference between ONNX Runtime and PyTorch over the faces, with and without their neutral."""
    ours, theirs = Exported(net), session(path)
    worst = 0.0
    for image, neutral in zip(faces["image"], faces["neutral"]):
        for known in (0.0, 1.0):
            x = [image.transpose(2, 0, 1)[None].astype(np.float32) / 255 * 4 - 2, neutral[None], np.full((1, 1), known, np.float32)]
            expected = ours(*map(torch.from_numpy, x))
            given = theirs.run(list(Exported.OUTPUTS), dict(zip(Exported.INPUTS, x)))
            worst = max(worst, *(float(np.abs(g - e.numpy()).max()) for g, e in zip(given, expected)))
    return worst


@torch.no_grad()
def write_fixture(net):
    """What the network says of a picture of stripes; the Rust tests hold on to it."""
    channel, y, x = np.ogrid[:3, :SIZE, :SIZE]
    image = ((7 * channel + 5 * y + 3 * x) % 64 / 63 * 4 - 2).astype(np.float32)
    out = Exported(net)(torch.from_numpy(image)[None], torch.zeros(1, POINTS, 3), torch.zeros(1, 1))
    told = dict(zip(Exported.OUTPUTS, out))
    names = ("landmarks", "blendshapes", "rotation", "place", "gaze", "presence")
    fixture = {n: [round(float(v), 6) for v in told[n].flatten()] for n in names}
    (ROOT / "tests/fixtures/face.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


def cost(net, *inputs):
    """Multiply-adds in millions of a run on these inputs, by part that is exported."""
    counts = {}

    def count(name):
        def hook(module, _, out):
            counts[name] = counts.get(name, 0) + out.numel() * module.weight[0].numel()

        return hook

    layers = ((n.split(".")[0], m) for n, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    hooks = [m.register_forward_hook(count(part)) for part, m in layers if part != "doubt"]
    with torch.no_grad():
        net(*inputs)
    for hook in hooks:
        hook.remove()
    return {k: v / 1e6 for k, v in counts.items()}


def microseconds(path, runs=200):
    """Median and least time of a run on one thread, microseconds."""
    net = session(path)
    feed = {i.name: np.zeros(i.shape, np.float32) for i in net.get_inputs()}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        net.run(None, feed)
        times.append(1e6 * (time.perf_counter() - began))
    return float(np.median(times)), float(min(times))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Export a trained detector to models/detector.onnx, with its manifest and card. Rounding and checks are face/export.py's."""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch

from detector.data import SIZE
from detector.evaluate import figures, load, scenes
from detector.model import INPUT_SHAPE, Exported
from expression.licences import LICENCES
from expression.manifest import write_manifest
from face.evaluate import MODELS_HELP
from face.export import MODELS, cost, halve, microseconds, rounded, session

CARD = """\
# detector.onnx

Faces in a picture without knowing where to look. Trained here on rendered faces alone; free under the project's licence.
{size} bytes, sha256 `{sha256}`, within {onnx_difference:.0e} of the trained PyTorch model in ONNX Runtime. {macs:.1f} million
multiply-adds; {median:.0f} µs a run on one thread where this was written (least {least:.0f}).

| tensor | shape | meaning |
|---|---|---|
| `image` | 1 x 3 x 256 x 256 | R, G, B of -1 to 1, black outside of the image |
| `boxes` | 1 x 1024 x 16 | for each cell of 8 pixels, row by row: the box's centre from the cell's, width, height, then right eye, left eye, nose tip, mouth, right ear, left ear from the cell's centre; pixels |
| `scores` | 1 x 1024 | the logit of a face there |

A box is that of the face's 478 landmarks.

{licences}
## What was run

{run}

## On scenes with faces that it never saw

400 scenes composed of renders with people, skins, hair and light that were kept apart; a face is found where its middle is
within 0.3 and its size within 1.6 of the truth, at a belief of 0.5. Sizes are pixels of 256.

| figure | value |
|---|---|
{figures}

{notes}"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", type=Path, help=MODELS_HELP + "; the last one a training's")
    p.add_argument("faces", type=Path, help="folder of held-out .ftfaces")
    p.add_argument("--backgrounds", type=Path, nargs="*", default=[], help="pictures without faces, held out")
    p.add_argument("--out", type=Path, default=MODELS)
    p.add_argument("--notes", type=Path, help="Markdown for the card: figures on real faces, known failures")
    a = p.parse_args()
    net, saved = load(*a.models)
    net = rounded(net)
    seen = scenes(a.faces, a.backgrounds, 400)
    path = a.out / "detector.onnx"
    names = {"input_names": ["image"], "output_names": ["boxes", "scores"]}
    torch.onnx.export(Exported(net), torch.zeros(INPUT_SHAPE), path, opset_version=17, dynamo=False, **names)
    graph = onnx.load(path)
    halve(graph.graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)
    worst = compare(net, path, [image for image, _, _ in seen[:64]])
    if worst > 1e-4:
        raise SystemExit(f"{path} differs from PyTorch by {worst:.2g} of the input's side")
    write(a, net, saved, path, figures(net, seen), worst)


@torch.no_grad()
def compare(net, path, images):
    """Largest difference between ONNX Runtime and PyTorch: of scores, and of boxes in shares of the input's side."""
    ours, theirs, worst = Exported(net), session(path), 0.0
    for image in images:
        x = image.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        boxes, scores = ours(torch.from_numpy(x))
        given = theirs.run(["boxes", "scores"], {"image": x})
        told = 1 / (1 + np.exp(-given[1])) - torch.sigmoid(scores).numpy()
        worst = max(worst, np.abs(given[0] - boxes.numpy()).max() / SIZE, np.abs(told).max())
    return float(worst)


def write(a, net, saved, path, found, worst):
    data = path.read_bytes()
    median, least = microseconds(path)
    picked = {k: saved["arguments"][k] for k in ("steps", "batch", "rate", "decay", "seed")}
    facts = {
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "onnx_difference": worst, "median": median, "least": least,
        "macs": sum(cost(net, torch.zeros(INPUT_SHAPE)).values()), "licences": LICENCES,
        "run": f"{saved['step']} steps, {saved['seconds'] / 3600:.1f} hours: " + ", ".join(f"{k} {v}" for k, v in picked.items()) + ".",
        "figures": "\n".join(f"| {k.replace('_', ' ')} | {v:.4g} |" for k, v in found.items()),
        "notes": a.notes.read_text() if a.notes else "",
    }  # fmt: skip
    (a.out / "detector.md").write_text(CARD.format(**facts))
    write_manifest(a.out, "detector", facts["sha256"], facts["size"])
    print(f"{path}: {facts['size']} bytes, sha256 {facts['sha256']}, {worst:.1e} from PyTorch")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Export a trained network to models/expression.onnx, with its manifest and card.

The exported graph is run in ONNX Runtime on all held-out faces and must agree with PyTorch within 1e-4.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from align import align
from card import write_card
from coefficients import LANDMARK_MIRROR
from dataset import load
from model import ExpressionNet
from train import predict, split_heads

ROOT = Path(__file__).resolve().parents[2]
MODELS, FIXTURES = ROOT / "models", ROOT / "tests/fixtures"
SIZE_MAX = 1_500_000
INPUTS = ("landmarks", "neutral", "neutral_known")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path, help="the shards that it was trained on")
    p.add_argument("run", type=Path, help="folder of train.py")
    p.add_argument("--out", type=Path, default=MODELS)
    p.add_argument("--notes", type=Path, help="JSON of further figures for the card, from evaluate.py")
    a = p.parse_args()
    saved = torch.load(a.run / "model.pt")
    model = ExpressionNet()
    model.load_state_dict(saved["model"])
    model.eval()
    arguments = saved["arguments"]
    faces = load(a.data)
    train_heads, held_out = split_heads(faces, int(arguments["seed"]), float(arguments["held_out"]))
    validation = faces.heads(held_out)

    path = a.out / "expression.onnx"
    to_onnx(model, path)
    worst = compare(model, path, validation)
    if worst > 1e-4:
        raise SystemExit(f"{path} differs from PyTorch by {worst:.2g}")
    size, digest = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    if size > SIZE_MAX:
        raise SystemExit(f"{path} has {size} bytes, {SIZE_MAX} allowed")
    figures = {known: score(predict(model, validation, known)[0], validation.coefficients) for known in (False, True)}
    facts = {
        "arguments": arguments, "epoch": saved["epoch"] + 1, "size": size, "sha256": digest, "onnx_difference": worst,
        "heads": len(train_heads), "faces": len(faces.heads(train_heads).head),
        "held_out_heads": len(held_out), "held_out_faces": len(validation.head),
        "notes": json.loads(a.notes.read_text()) if a.notes else None,
    }  # fmt: skip
    write_card(a.out, facts, figures)
    if a.out == MODELS:
        write_fixture(model)
    print(f"{path}: {size} bytes, sha256 {digest}, {worst:.1e} from PyTorch")


def to_onnx(model, path):
    """One file, weights inside, fixed shapes."""
    example = (torch.zeros(1, 478, 3), torch.zeros(1, 478, 3), torch.zeros(1, 1))
    torch.onnx.export(
        model, example, path, input_names=list(INPUTS), output_names=["coefficients"], opset_version=17, dynamo=False
    )
    onnx.checker.check_model(onnx.load(path))


def compare(model, path, faces):
    """Largest difference between ONNX Runtime and PyTorch over the faces, with and without their neutral."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for with_neutral in (False, True):
        ours, known = predict(model, faces, with_neutral)
        for i, x in enumerate(faces.aligned):
            neutral = faces.neutral[faces.head[i]] if known[i] else np.zeros_like(x)
            feed = dict(zip(INPUTS, (x[None], neutral[None], np.full((1, 1), known[i], np.float32))))
            worst = max(worst, float(np.abs(session.run(None, feed)[0][0] - ours[i]).max()))
    return worst


@torch.no_grad()
def write_fixture(model):
    """What the model says of the two faces whose alignment is a fixture already; the Rust tests hold on to it."""
    landmarks = [f["landmarks"] for f in json.loads((FIXTURES / "aligned_landmarks.json").read_text())]
    x = torch.from_numpy(align(np.array(landmarks))[0])
    alone, relative = model(x, x * 0, torch.zeros(2, 1)), model(x, x.flip(0), torch.ones(2, 1))
    rounded = lambda values: [round(float(v), 6) for v in values]
    faces = [
        {"landmarks": points, "alone": rounded(a), "relative_to_the_other": rounded(r)}
        for points, a, r in zip(landmarks, alone, relative)
    ]
    fixture = {"faces": faces, "mirrored": LANDMARK_MIRROR.tolist()}
    (FIXTURES / "expression.json").write_text(json.dumps(fixture, separators=(",", ":")))


def score(predicted, truth):
    """Pearson correlation and mean absolute error of each coefficient."""
    rows = []
    for p, t in zip(predicted.T, truth.T):
        r = np.corrcoef(p, t)[0, 1] if p.std() > 1e-6 and t.std() > 1e-6 else 0.0
        rows.append((float(r), float(np.abs(p - t).mean())))
    return rows


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measure a trained face network on rendered faces that it never saw."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from expression.coefficients import NAMES
from face.data import as_input, held_out
from face.model import FaceNet, fold, is_folded, squash
from face.operators import rotation_from_6d
from face.shipped import shipped
from face.silent import silent_share
from loop import weights_of

# Faces that tell whether a hidden unit ever speaks.
SILENT_ON = 512
MODELS_HELP = "RUN/model.pt, RUN/checkpoint.pt of a training that goes on, or an exported .onnx; of several the mean of their weights"


def stacked(samples):
    """Samples as arrays, pictures as bytes."""
    samples = list(samples)
    return {name: np.stack([s[name] for s in samples]) for name in samples[0]}


@torch.no_grad()
def predict(net, faces, device="cpu", known=False, batch=64):
    """The network's outputs for all faces, as arrays, with or without the person's neutral."""
    net.eval()
    parts = []
    for i in range(0, len(faces["image"]), batch):
        image = as_input(torch.from_numpy(faces["image"][i : i + batch]).to(device))
        neutral = torch.from_numpy(faces["neutral"][i : i + batch]).to(device)
        out = net(image, neutral, torch.full((len(image), 1), float(known), device=device))
        out["blendshapes"], out["rotation"] = squash(out["blendshapes"]), rotation_from_6d(out["rotation"])
        parts.append({k: v.float().cpu().numpy() for k, v in out.items()})
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def correlation(predicted, truth):
    """Pearson's of each coefficient; 0 where one side does not move."""
    p, t = predicted - predicted.mean(0), truth - truth.mean(0)
    scale = np.sqrt((p**2).sum(0) * (t**2).sum(0))
    return np.where(scale > 1e-9, (p * t).sum(0) / np.maximum(scale, 1e-9), 0)


def degrees_between(a, b):
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    return np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))


def turn_between(a, b):
    trace = np.einsum("nij,nij->n", a, b)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def figures(net, faces, device="cpu"):
    """Few numbers that say how good it is; `..._with_neutral` where it is told the person at rest."""
    out = predict(net, faces, device)
    box = faces["landmarks"][:, :, :2]
    size = np.sqrt(np.prod(box.max(1) - box.min(1), axis=1))
    miss = np.linalg.norm(out["landmarks"][:, :, :2] - box, axis=2).mean(1) / size
    r = correlation(out["blendshapes"], faces["blendshapes"])
    open_eyes = faces["openness"] > 0.3
    found = {
        "nme_percent": 100 * miss.mean(),
        "correlation": r.mean(),
        "correlation_min": r.min(),
        "coefficient_error": np.abs(out["blendshapes"] - faces["blendshapes"]).mean(),
        "gaze_deg": degrees_between(out["gaze"], faces["gaze"])[open_eyes].mean(),
        "rotation_deg": turn_between(out["rotation"], faces["rotation"]).mean(),
        "distance_percent": 100 * np.abs(out["place"][:, 2] - faces["place"][:, 2]).mean(),
        "openness_mm": 10 * np.abs(out["openness"] - faces["openness"]).mean(),
    }
    found["silent_units_percent"] = 100 * silent_share(net, as_input(torch.from_numpy(faces["image"][:SILENT_ON]).to(device)))
    if net.neutral is not None:
        told = predict(net, faces, device, known=True)
        found["correlation_with_neutral"] = correlation(told["blendshapes"], faces["blendshapes"]).mean()
        found["coefficient_error_with_neutral"] = np.abs(told["blendshapes"] - faces["blendshapes"]).mean()
    return {k: float(v) for k, v in found.items()}


def load(*paths):
    """A trained network, folded, and what is known of its training, from model.pt, a checkpoint or an exported network. Of
    several, trained on one from the other: the mean of their weights (Wortsman et al. 2022), and what is known of the last."""
    parts = [one(p) for p in paths]
    net, facts = parts[-1]
    net.load_state_dict(mean([n.state_dict() for n, _ in parts]))
    return net.eval(), facts


def one(path):
    """A network, folded, and what is known of it."""
    if path.suffix == ".onnx":
        return shipped(path), {"step": 0, "seconds": 0.0}
    saved = torch.load(path, map_location="cpu")
    net, weights = FaceNet(neutral=saved["neutral"]), weights_of(saved)
    if is_folded(weights):
        fold(net, linear=False)
    net.load_state_dict(weights)
    return fold(net), saved


def mean(states):
    """The mean of networks' weights."""
    if any({k: v.shape for k, v in s.items()} != {k: v.shape for k, v in states[0].items()} for s in states):
        raise SystemExit("only networks of one shape have a mean: train one on from the other")
    last = states[-1]
    return {k: sum(s[k] for s in states) / len(states) if v.is_floating_point() else v for k, v in last.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("models", nargs="+", type=Path, help=MODELS_HELP)
    p.add_argument("faces", type=Path, help="folder of .ftfaces")
    p.add_argument("--limit", type=int)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    net, _ = load(*a.models)
    faces = stacked(held_out(a.faces, a.limit))
    found = figures(net, faces)
    out = {k: predict(net, faces, known=known)["blendshapes"] for k, known in (("alone", False), ("with neutral", True))}
    each = {k: dict(zip(NAMES, map(float, correlation(v, faces["blendshapes"])))) for k, v in out.items()}
    if a.json:
        print(json.dumps({"figures": found, "correlation": each}))
        return
    for name, value in found.items():
        print(f"{name:32} {value:.4f}")
    for name in NAMES:
        print(f"{name:24} {each['alone'][name]:.3f} {each['with neutral'][name]:.3f}")


if __name__ == "__main__":
    main()

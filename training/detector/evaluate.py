#!/usr/bin/env python3
"""Measure a trained detector on scenes composed of faces that it never saw."""

import argparse
from pathlib import Path

import numpy as np
import torch

from detector.data import Scenes
from detector.model import Detector
from loop import weights_of

FOUND = 0.5


def scenes(folder, backgrounds, count):
    """`count` scenes with the faces in them, the same ones every time."""
    return [scene for scene, _ in zip(Scenes([folder], backgrounds, seed=99), range(count))]


def suppress(boxes, scores, centres, least=FOUND):
    """(k, 17) faces, the surest first: whose middle lies in a surer one's box is the same."""
    order = [i for i in np.argsort(-scores) if scores[i] >= least]
    kept = []
    for i in order:
        middle, size = boxes[i, :2] + centres[i], boxes[i, 2:4]
        if all(np.abs(middle - k[:2]).max() > 0.5 * max(k[2:4].max(), size.max()) for k in kept):
            points = boxes[i, 4:] + np.tile(centres[i], 6)
            kept.append(np.concatenate([middle, size, points, scores[i : i + 1]]))
    return kept


@torch.no_grad()
def figures(net, seen, device="cpu"):
    """Recall by size, false alarms, and how far eyes are off."""
    net.eval()
    hits, sizes, false, eyes = [], [], 0, []
    for image, faces in seen:
        x = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
        boxes, scores = (v[0].cpu().numpy() for v in net(x))
        found = suppress(boxes, 1 / (1 + np.exp(-scores)), net.centres.cpu().numpy())
        claimed = set()
        for face in faces:
            size = face[2:4].max()
            match = [k for k, f in enumerate(found) if np.hypot(*(f[:2] - face[:2])) < 0.3 * size and 0.6 < f[2:4].max() / size < 1.6]
            hits.append(bool(match))
            sizes.append(size)
            claimed.update(match)
            if match:
                eyes.append(np.abs(found[match[0]][4:8] - face[4:8]).mean() / size)
        false += len(found) - len(claimed)
    hits, sizes = np.array(hits), np.array(sizes)
    share = lambda low, high: float(hits[(sizes >= low) & (sizes < high)].mean()) if ((sizes >= low) & (sizes < high)).any() else 0.0
    return {
        "found": float(hits.mean()), "found_9_14_px": share(9, 14), "found_14_30_px": share(14, 30),
        "found_30_100_px": share(30, 100), "found_100_px": share(100, 999), "false_in_a_hundred": 100 * false / len(seen),
        "eyes_percent": 100 * float(np.mean(eyes)) if eyes else 100.0,
    }  # fmt: skip


def load(path):
    saved = torch.load(path, map_location="cpu")
    net = Detector()
    net.load_state_dict(weights_of(saved))
    return net.eval(), saved


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model", type=Path, help="RUN/model.pt or RUN/checkpoint.pt")
    p.add_argument("faces", type=Path, help="folder of held-out .ftfaces")
    p.add_argument("--backgrounds", type=Path, nargs="*", default=[])
    a = p.parse_args()
    net, _ = load(a.model)
    for name, value in figures(net, scenes(a.faces, a.backgrounds, 400)).items():
        print(f"{name:20} {value:.4f}")


if __name__ == "__main__":
    main()

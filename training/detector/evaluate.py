#!/usr/bin/env python3
"""Measure a trained detector on scenes composed of faces that it never saw, on request beside a packaged one."""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from detector.data import SIZE, Scenes
from detector.model import with_weights
from face.evaluate import MODELS_HELP, mean
from face.keypoints import cells
from face.model import fold
from face.shipped import tensors
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
def figures(net, seen, device="cpu", least=FOUND):
    """Recall by size, false alarms, and how far eyes are off."""
    net.eval()
    hits, sizes, false, eyes = [], [], 0, []
    for image, faces, hidden in seen:
        x = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
        boxes, scores = (v[0].cpu().numpy() for v in net(x))
        found = suppress(boxes, 1 / (1 + np.exp(-scores)), net.centres.cpu().numpy(), least)
        near = lambda f, face: np.hypot(*(f[:2] - face[:2])) < 0.3 * face[2:4].max()
        claimed = {k for k, f in enumerate(found) if any(near(f, face) for face in hidden)}
        for face in faces:
            size = face[2:4].max()
            match = [k for k, f in enumerate(found) if near(f, face) and 0.6 < f[2:4].max() / size < 1.6]
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


class Packaged:
    """MediaPipe's detector, as `facetrackd models install` leaves it, in the place of a `Detector`."""

    # Strides of its maps and anchors in a cell, by its input's side; `anchors` in src/infer/detector.rs has them too.
    MAPS = {128: ((8, 2), (16, 6)), 192: ((4, 1),)}

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.side = self.session.get_inputs()[0].shape[2]
        maps = ((self.side // stride, k) for stride, k in self.MAPS[self.side])
        self.centres = SIZE * torch.cat([cells(n, n).repeat_interleave(k, 0) for n, k in maps])

    def eval(self):
        pass

    def __call__(self, image):
        small = torch.nn.functional.interpolate(image, size=(self.side, self.side), mode="bilinear", antialias=True)
        boxes, scores = self.session.run(["boxes", "scores"], {"image": (small * 2 - 1).numpy()})
        return torch.from_numpy(boxes) * (SIZE / self.side), torch.from_numpy(scores)


def load(*paths):
    """A trained detector, folded; as `face.evaluate.load`, the mean of several."""
    parts = [one(p) for p in paths]
    net, facts = parts[-1]
    net.load_state_dict(mean([n.state_dict() for n, _ in parts]))
    return net.eval(), facts


def one(path):
    """A detector, folded, and what is known of it."""
    if path.suffix == ".onnx":
        return with_weights(tensors(path)), {"step": 0}
    saved = torch.load(path, map_location="cpu")
    return fold(with_weights(weights_of(saved))), saved


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("models", nargs="+", type=Path, help=MODELS_HELP)
    p.add_argument("faces", type=Path, help="folder of held-out .ftfaces")
    p.add_argument("--backgrounds", type=Path, nargs="*", default=[])
    p.add_argument("--beside", type=Path, nargs="*", default=[], help="face_detection_*.onnx, as `facetrackd models install` leaves them")
    p.add_argument("--belief", type=float, default=FOUND, help="from which on the trained one tells of a face")
    a = p.parse_args()
    seen = scenes(a.faces, a.backgrounds, 400)
    columns = [figures(load(*a.models)[0], seen, least=a.belief), *(figures(Packaged(p), seen) for p in a.beside)]
    print(f"{'':20}", *(f"{p.stem[-16:]:>16}" for p in (a.models[-1], *a.beside)))
    for name in columns[0]:
        print(f"{name:20}", *(f"{c[name]:16.4f}" for c in columns))


if __name__ == "__main__":
    main()

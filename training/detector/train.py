#!/usr/bin/env python3
"""Train the detector on rendered faces. Files as face/train.py writes them; `export.py` makes models/detector.onnx."""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from detector.data import loader
from detector.evaluate import figures, scenes
from detector.model import Detector, with_weights
from face.shipped import tensors
from loop import Loop, add_arguments, device, half_precision, weights_of


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of .ftfaces, crops and frames")
    p.add_argument("--held-out", type=Path, help="folder of .ftfaces never learnt from")
    p.add_argument("--backgrounds", type=Path, nargs="*", default=[], help="pictures without faces")
    add_arguments(p, steps=40_000, batch=32, rate=1.5e-3)
    return p.parse_args()


def losses(net, batch, _progress):
    image = batch["image"].to(device()).permute(0, 3, 1, 2).float().div(255)
    wanted, face = (batch[k].to(device()).flatten(1, 2) for k in ("wanted", "face"))
    with half_precision():
        boxes, scores = net(image)
    asked, told = wanted >= 0, wanted > 0
    belief = scores.sigmoid()
    # Focal loss (Lin et al. 2017): a thousand empty cells must not outweigh the one with the face.
    miss = torch.where(told, 1 - belief, belief)
    score = F.binary_cross_entropy_with_logits(scores, told.float(), reduction="none") * miss.square()
    score = (score * asked * torch.where(told, 3.0, 1.0)).sum() / told.sum().clamp_min(1)
    if not told.any():
        return {"score": score, "place": boxes.sum() * 0, "size": boxes.sum() * 0, "points": boxes.sum() * 0}
    mine, truth, centre = boxes[told], face[told], net.centres.expand(len(image), -1, -1)[told]
    size = truth[:, 2:4].mean(1, keepdim=True)
    points = truth.clone()
    points[:, [0, 1]] -= centre
    points[:, 4:] -= centre.repeat(1, 6)
    near = lambda a, b, beta=0.02: F.smooth_l1_loss(a / size, b / size, beta=beta)
    return {
        "score": score,
        "place": 4 * near(mine[:, :2], points[:, :2]),
        "size": 2 * (mine[:, 2:4].log() - truth[:, 2:4].log()).abs().mean(),
        # Squares: most faces are nearly upright, and of a median nobody learns that some are not.
        "points": 60 * near(mine[:, 4:], points[:, 4:], beta=0.5),
    }


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    measure = None
    if a.held_out:
        seen = scenes(a.held_out, a.backgrounds, 400)
        measure = lambda average: figures(average, seen, device())
    batches = lambda seed: iter(loader(a.data, a.backgrounds, a.batch, a.workers, seed))
    net = Detector()
    if a.start:
        exported = a.start.suffix == ".onnx"
        net = with_weights(tensors(a.start) if exported else weights_of(torch.load(a.start, map_location="cpu")))
    Loop(a, net, batches, losses, measure).run()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Train the face network on rendered faces.

Writes RUN/checkpoint.pt every two minutes (the same command goes on from there), RUN/curves.csv, RUN/held_out.csv and, at
the end, RUN/model.pt with averaged weights. `export.py` makes models/face.onnx and its card of it.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch

from face.data import as_input, held_out, loader
from face.evaluate import figures, stacked
from face.loss import Loss
from face.model import FaceNet, fold, is_folded
from face.shipped import shipped, unfold_linear
from face.silent import revive
from loop import Loop, add_arguments, device, half_precision, take_over, weights_of


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of .ftfaces to learn from")
    p.add_argument("--held-out", type=Path, help="folder of .ftfaces with people, skins, hair and light never learnt from")
    p.add_argument("--backgrounds", type=Path, nargs="*", default=[], help="pictures without faces")
    p.add_argument("--without-neutral", action="store_true", help="for the ablation: never tell it the person at rest")
    p.add_argument("--distortion", type=float, default=1.0, help="how often pictures are spoilt beyond the renderer's faults; less for a short training")
    p.add_argument("--fold", action="store_true", help="go on from --start with batch normalisation folded away: for the last part of a training")
    parts = [name for name, _ in FaceNet().named_children()]
    p.add_argument("--freeze", nargs="+", default=[], choices=parts, metavar="PART", help=f"parts that keep the weights of --start: {', '.join(parts)}")
    p.add_argument("--revive", action="store_true", help="hidden units of --start's heads that never speak get fresh weights")
    p.add_argument("--compile", action="store_true", help="compile the trunk first, which takes a minute or two")
    add_arguments(p, steps=100_000, batch=64, rate=1.5e-3)
    a = p.parse_args()
    if (a.fold or a.freeze or a.revive) and not a.start:
        p.error("--fold, --freeze and --revive go on from what was trained: say where it is with --start")
    return a


def calibrated(seen):
    """The neutrals of a batch as calibration finds them, and whether: for half of the faces not yet, and off by so much as they may be."""
    neutral, off = seen["neutral"], seen["neutral_off"]
    known = (torch.rand(len(neutral), 1, device=neutral.device) < 0.5).float()
    error = off[:, None, None] * torch.rand(len(neutral), 1, 1, device=neutral.device)
    return neutral + error * torch.randn_like(neutral), known


def losses(loss, net, batch, progress):
    """The terms of the loss of one batch."""
    truth = {k: v.to(device(), non_blocking=True) for k, v in batch.items()}
    image = as_input(truth.pop("image"))
    with half_precision():
        out = net(image, *calibrated(truth))
    terms = loss(out, truth)
    terms["steady"] = loss.steady(out, truth) * min(1.0, 4 * progress)
    return terms


def started(a):
    """The network as training begins."""
    net = FaceNet(neutral=not a.without_neutral)
    first = list(islice(loader(a.data, [], 256, 0, a.seed), 8))
    there = torch.cat([b["presence"] for b in first]) > 0.5
    all_of = lambda name: torch.cat([b[name] for b in first])[there]
    net.start_from(all_of("landmarks"), all_of("neutral").mean(0))
    if a.start and a.start.suffix == ".onnx":
        net = unfold_linear(shipped(a.start), as_input(all_of("image")[:512]))
    elif a.start:
        weights = weights_of(torch.load(a.start, map_location="cpu"))
        take_over(fold(net, linear=False) if is_folded(weights) else net, weights)
    if a.revive:
        print(f"{revive(net, as_input(all_of('image')[:512]))} silent units of the heads have fresh weights", flush=True)
    net.freeze(a.freeze)
    net = fold(net, linear=False) if a.fold else net
    if a.revive and not (a.run / "start.pt").exists():
        # The mean of before and after is of this: units that were woken are no longer those of --start. A run that goes on may see
        # other faces first and wake them otherwise.
        a.run.mkdir(parents=True, exist_ok=True)
        torch.save({"net": net.state_dict(), "neutral": not a.without_neutral, "step": 0, "seconds": 0.0}, a.run / "start.pt")
    return net


def measure(a):
    """What takes a network's figures on the faces of --held-out, or None."""
    if not a.held_out:
        return None
    faces = stacked(held_out(a.held_out, 1500))
    return lambda average: figures(average, faces, device())


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    net, loss = started(a), Loss().to(device())
    batches = lambda seed: iter(loader(a.data, a.backgrounds, a.batch, a.workers, seed, a.distortion))
    terms = lambda net, batch, progress: losses(loss, net, batch, progress)
    loop = Loop(a, net, batches, terms, measure(a), {"neutral": not a.without_neutral})
    if a.compile:
        net.trunk.compile()
    loop.run()


if __name__ == "__main__":
    main()

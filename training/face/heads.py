#!/usr/bin/env python3
"""Train the face network's last heads by themselves: expression, gaze and lids.

All before them looks at each view once, which is what takes the time; what it tells the heads is kept, and they learn from it
over and over, in minutes. Nothing else changes: landmarks, pose, presence and light stay as they are to the bit. Writes
RUN/checkpoint.pt, RUN/curves.csv, RUN/held_out.csv and RUN/model.pt as `train.py` does.
"""

import argparse
from pathlib import Path

import torch

from face.data import as_input, held_out, loader
from face.evaluate import figures, stacked
from face.loss import Loss, pairs
from face.silent import listening
from face.train import calibrated, started
from loop import Loop, add_arguments, device

HEADS = ("expression", "eyes", "sided")
TELL_EVERY = 10_000


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of .ftfaces to learn from")
    p.add_argument("--held-out", type=Path, help="folder of .ftfaces with people, skins, hair and light never learnt from")
    p.add_argument("--views", type=int, default=150_000, help="views to keep, 2.6 KB each")
    p.add_argument("--revive", action="store_true", help="hidden units of --start's heads that never speak get fresh weights")
    add_arguments(p, steps=4000, batch=512, rate=1e-3)
    p.set_defaults(without_neutral=False, fold=True, freeze_trunk=False)
    a = p.parse_args()
    if not a.start:
        p.error("the heads are trained on: say with --start what is there")
    return a


@torch.no_grad()
def kept(net, batches, views):
    """What the heads are told of so many views, and what they should say. Views 2k and 2k + 1 show the same face."""
    net.eval()
    layers, parts, count = (net.eyes[0], net.expression[0], net.head_frame), [], 0
    for batch in batches:
        faces = (batch["presence"] > 0.5).view(-1, 2).all(1).repeat_interleave(2)
        truth = {k: v[faces].to(device()) for k, v in batch.items()}
        with listening(layers) as inputs:
            net(as_input(truth["image"]), *calibrated(truth["neutral"]))
        of_eyes, told, coarse = (inputs[layer] for layer in layers)
        part = {"eyes": of_eyes.view(2, len(told), -1).transpose(0, 1).half(), "told": told.half(), "turned": net.head_frame(coarse).turned}
        parts.append(part | {k: truth[k] for k in ("blendshapes", "gaze", "openness", "still")})
        count += len(told)
        if count // TELL_EVERY > (count - len(told)) // TELL_EVERY:
            print(f"{count}/{views} views looked at", flush=True)
        if count >= views:
            break
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def said(net, seen):
    """What the heads say of views that were kept."""
    of_eyes = seen["eyes"].float().transpose(0, 1).flatten(0, 1)
    return net.last(of_eyes, seen["told"].float(), seen["turned"])


def losses(loss, net, seen, _progress):
    """The terms of the loss of some of the views that were kept."""
    out = said(net, seen)
    terms = loss.last(out, seen)
    still = (seen["still"] > 0.5).view(-1, 2).all(1)
    if still.any():
        terms["steady"] = loss.calm(*pairs(out, still))
    return terms


def drawn(views, batch, seed):
    """Batches of pairs, for ever."""
    chance = torch.Generator(device="cpu").manual_seed(seed)
    count = len(views["told"]) // 2
    while True:
        pair = torch.randint(count, (batch // 2,), generator=chance)
        at = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().to(device())
        yield {k: v[at] for k, v in views.items()}


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    net, loss = started(a).to(device()), Loss().to(device())
    net.learn_only(HEADS)
    views = kept(net, loader(a.data, [], 96, a.workers, a.seed), a.views)
    measure = None
    if a.held_out:
        faces = stacked(held_out(a.held_out, 1500))
        measure = lambda average: figures(average, faces, device())
    terms = lambda net, batch, progress: losses(loss, net, batch, progress)
    Loop(a, net, lambda seed: drawn(views, a.batch, seed), terms, measure, {"neutral": True}).run()


if __name__ == "__main__":
    main()

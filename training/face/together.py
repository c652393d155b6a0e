#!/usr/bin/env python3
"""Train what the face network knows of movements that go together.

All before looks at each view once, which is what takes the time; what it says of each movement by itself is kept, and
`FaceNet.together` learns from it over and over, in minutes. Nothing else changes. Writes RUN/views.pt, from which another run of the
same start and data goes on at once, and what `train.py` writes.
"""

import argparse
from pathlib import Path

import torch

from expression.coefficients import INDEX
from face.data import as_input, loader
from face.loss import Loss, pairs
from face.silent import listening
from face.train import calibrated, measure, started
from loop import Loop, add_arguments, device

PARTS = ("together", "doubt")
TELL_EVERY = 10_000


def add_own_arguments(doc, views, size, **defaults):
    """The options of a training on views that are looked at once, parsed; a view takes `size` of memory and of disk."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of .ftfaces to learn from; one that is given twice counts twice")
    p.add_argument("--held-out", type=Path, help="folder of .ftfaces with people, skins, hair and light never learnt from")
    p.add_argument("--winks", type=float, default=1, help="how many times as often as others faces that wink are learnt from")
    p.add_argument("--views", type=int, default=views, help=f"views to keep, {size} each")
    p.add_argument("--revive", action="store_true", help="hidden units of --start's heads that never speak get fresh weights")
    add_arguments(p, **defaults)
    p.set_defaults(without_neutral=False, fold=True, freeze=[])
    a = p.parse_args()
    if not a.start:
        p.error("this trains on: say with --start what is there")
    return a


def arguments():
    return add_own_arguments(__doc__, views=150_000, size="2 KB", steps=4000, batch=512, rate=1e-3)


def faces_of(batch):
    """The pairs of a batch that show a face twice."""
    faces = (batch["presence"] > 0.5).view(-1, 2).all(1).repeat_interleave(2)
    return {k: v[faces].to(device()) for k, v in batch.items()}


def told_how_far(count, more, views):
    """Says now and then how many views were looked at; gives how many are now."""
    if (count + more) // TELL_EVERY > count // TELL_EVERY:
        print(f"{count + more}/{views} views looked at", flush=True)
    return count + more


@torch.no_grad()
def kept(net, batches, views):
    """What so many views show, what was said of each coefficient by itself, and what should be. Views 2k and 2k + 1 show the same face."""
    net.eval()
    parts, count = [], 0
    for batch in batches:
        truth = faces_of(batch)
        with listening([net.expression, net.together]) as inputs:
            net(as_input(truth["image"]), *calibrated(truth["neutral"]))
        seen = {"told": inputs[net.expression].half(), "alone": inputs[net.together]}
        parts.append(seen | {name: truth[name] for name in ("blendshapes", "still")})
        count = told_how_far(count, len(truth["still"]), views)
        if count >= views:
            break
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def remembered(a, look):
    """The views of RUN/views.pt, or new ones for it, as `look` gives them."""
    path, of = a.run / "views.pt", {"start": str(a.start), "data": list(map(str, a.data)), "views": a.views, "seed": a.seed, "revive": a.revive}
    if path.exists():
        saved = torch.load(path, map_location=device())
        if saved["of"] != of:
            raise SystemExit(f"{path} holds what was said with other options, {saved['of']}; give these, or another RUN")
        return saved["views"]
    views = look()
    a.run.mkdir(parents=True, exist_ok=True)
    torch.save({"of": of, "views": views}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return views


def said(net, seen):
    """The coefficients of views that were kept, and how far they may be off."""
    return {"blendshapes": net.as_one(seen["alone"]), "doubt": net.doubt(seen["told"].float())}


def losses(loss, net, seen):
    """The terms of the loss of some of the views that were kept."""
    out = said(net, seen)
    terms = {"blendshapes": loss.expression(out["blendshapes"], seen["blendshapes"], out["doubt"])}
    still = (seen["still"] > 0.5).view(-1, 2).all(1)
    if still.any():
        terms["steady"] = loss.calm(*pairs(out, still))
    return terms


def drawn(views, batch, seed, winks=1.0):
    """Batches of pairs, for ever; those of faces that wink come so many times as often as others."""
    chance = torch.Generator(device="cpu").manual_seed(seed)
    left, right = (views["blendshapes"][::2, INDEX["eyeBlink" + side]].float().cpu() for side in ("Left", "Right"))
    often = 1 + (winks - 1) * ((left - right).abs() > 0.5).float()
    while True:
        pair = torch.multinomial(often, batch // 2, replacement=True, generator=chance)
        at = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().to(device())
        yield {k: v[at] for k, v in views.items()}


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    net, loss = started(a).to(device()), Loss().to(device())
    net.learn_only(PARTS)
    views = remembered(a, lambda: kept(net, loader(a.data, [], 96, a.workers, a.seed), a.views))
    terms = lambda net, batch, _progress: losses(loss, net, batch)
    Loop(a, net, lambda seed: drawn(views, a.batch, seed, a.winks), terms, measure(a), {"neutral": True}).run()


if __name__ == "__main__":
    main()

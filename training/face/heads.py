#!/usr/bin/env python3
"""Train what the face network says of mouth, jaw, nose and inner brows by itself.

All before the last head looks at each view once, which is what takes the time; what it tells the head is kept, and the head
learns from it over and over, in minutes. Nothing else changes: landmarks, pose, gaze, presence, light, and the coefficients
of eyes and outer brows, which have a head of their own, stay as they are but for rounding. Writes
RUN/views.pt, from which another run of the same start and data goes on at once, and what `train.py` writes.
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
    """What the head is told of so many views, the eyes' share, and what both should say. Views 2k and 2k + 1 show the same face."""
    net.eval()
    parts, count = [], 0
    for batch in batches:
        truth = faces_of(batch)
        with listening([net.expression]) as inputs:
            out = net(as_input(truth["image"]), *calibrated(truth["neutral"]))
        told = inputs[net.expression]
        parts.append({"told": told.half(), "eyes": out["blendshapes"] - net.expression(told), "blendshapes": truth["blendshapes"], "still": truth["still"]})
        count = told_how_far(count, len(told), views)
        if count >= views:
            break
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


class Unchanged:
    """The coefficients of eyes and outer brows: their rows, and the hidden units that these rows listen to. Where they listen to
    all units, only the other rows learn."""

    def __init__(self, net):
        self.rows = net.where_sided.sum(0) > 0
        self.units = (net.expression[1].weight[self.rows] != 0).any(0)
        self.before = [values[which].detach().clone() for values, which in self.parts(net)]

    def parts(self, net):
        (linear, norm, _), out = net.expression[0], net.expression[1]
        per_unit = (linear.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        return [(v, self.units) for v in per_unit] + [(v, self.rows) for v in (out.weight, out.bias)]

    @torch.no_grad()
    def put_back(self, net):
        """Undoes what steps did to them."""
        for (values, which), before in zip(self.parts(net), self.before):
            values[which] = before


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
    """The coefficients of views that were kept: the eyes' share, and the head's."""
    return {"blendshapes": seen["eyes"] + net.expression(seen["told"].float())}


def losses(loss, net, seen, unchanged):
    """The terms of the loss of some of the views that were kept."""
    unchanged.put_back(net)
    out = said(net, seen)
    terms = {"blendshapes": loss.expression(out["blendshapes"], seen["blendshapes"])}
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
    net.learn_only(["expression"])
    views = remembered(a, lambda: kept(net, loader(a.data, [], 96, a.workers, a.seed), a.views))
    unchanged = Unchanged(net)
    terms = lambda net, batch, _progress: losses(loss, net, batch, unchanged)
    loop = Loop(a, net, lambda seed: drawn(views, a.batch, seed, a.winks), terms, measure(a), {"neutral": True})
    loop.run()
    unchanged.put_back(loop.average)
    loop.finish()


if __name__ == "__main__":
    main()

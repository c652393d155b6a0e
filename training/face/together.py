#!/usr/bin/env python3
"""Train what the face network knows of movements that go together.

All before looks at each view once, which is what takes the time; what it says of each movement by itself is kept, and
`FaceNet.together` learns from it over and over, in minutes. Nothing else changes. Writes RUN/views.pt, from which another run of the
same start and data goes on at once, and what `train.py` writes.
"""

import torch

from face.data import as_input
from face.loss import pairs
from face.silent import listening
from face.train import calibrated
from face.views import add_own_arguments, faces_of, learn, told_how_far

PARTS = ("together", "doubt")


def arguments():
    return add_own_arguments(__doc__, PARTS, views=150_000, size="2 KB", steps=4000, batch=512, rate=1e-3)


@torch.no_grad()
def kept(net, batches, views):
    """What so many views show, what was said of each coefficient by itself, and what should be. Views 2k and 2k + 1 show the same face."""
    net.eval()
    parts, count = [], 0
    for batch in batches:
        truth = faces_of(batch)
        with listening([net.expression, net.together]) as inputs:
            net(as_input(truth["image"]), *calibrated(truth))
        seen = {"told": inputs[net.expression].half(), "alone": inputs[net.together]}
        parts.append(seen | {name: truth[name] for name in ("blendshapes", "still")})
        count = told_how_far(count, len(truth["still"]), views)
        if count >= views:
            break
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def said(net, seen):
    """The coefficients of views that were kept, and how far they may be off."""
    return {"blendshapes": net.as_one(seen["alone"]), "doubt": net.doubt(seen["told"].float())}


def losses(loss, net, seen, _progress):
    """The terms of the loss of some of the views that were kept."""
    out = said(net, seen)
    terms = {"blendshapes": loss.expression(out["blendshapes"], seen["blendshapes"], out["doubt"])}
    still = (seen["still"] > 0.5).view(-1, 2).all(1)
    if still.any():
        terms["steady"] = loss.calm(*pairs(out, still))
    return terms


if __name__ == "__main__":
    learn(arguments(), kept, losses)

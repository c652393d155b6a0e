#!/usr/bin/env python3
"""Train what looks at eyes and mouth, and all that is said of them, by itself.

All before looks at each view once, which is what takes the time; what lies under the sheets is kept, and the regions and the
heads learn from it over and over, several times as fast as with the trunk before them. Where the face is seen, its pose, presence,
light and identity stay as they are. Writes RUN/views.pt, from which another run of the same start and data goes on at once, and
what `train.py` writes.
"""

import torch

from face.data import as_input
from face.loss import MAPPED, floats
from face.train import calibrated
from face.views import add_own_arguments, faces_of, learn, told_how_far
from loop import device, half_precision

PARTS = ("regions", "settle", "eyes", "sided", "shape", "neutral", "expression", "doubt")
LABELS = ("landmarks", "blendshapes", "gaze", "openness", "neutral", "neutral_off", "still", "from_unit")


def arguments():
    return add_own_arguments(__doc__, PARTS, views=150_000, size="30 KB", steps=20_000, batch=96, rate=8e-4)


@torch.no_grad()
def kept(net, batches, views):
    """What is known of so many views before eyes and mouth are looked at, what lies under the sheets, and what should be said. Views
    2k and 2k + 1 show the same face."""
    net.eval()
    views -= views % 2
    rows, count = {}, 0
    for batch in batches:
        truth = faces_of(batch)
        image = as_input(truth["image"])
        with half_precision():
            f, wide = net.trunk(image)
            points, _ = net.keypoints(wide)
        pixels = net.regions.pixels(image, net.whole(f, points).frame)
        seen = {"f": f.float(), "points": points, "pixels": as_bytes(pixels)}
        seen |= {name: truth[name] for name in LABELS}
        # Room for all at once: put together in the end they would be held twice.
        rows = rows or {k: v.new_empty(views, *v.shape[1:]) for k, v in seen.items()}
        there = min(len(f), views - count)
        for name, values in seen.items():
            rows[name][count : count + there] = values[:there]
        count = told_how_far(count, there, views)
        if count == views:
            break
    return {k: v[:count] for k, v in rows.items()}


def as_bytes(pixels):
    return pixels.div(4).add(0.5).mul(255).round().clamp(0, 255).byte()


def as_pixels(kept_bytes):
    return kept_bytes.float().div(255).sub(0.5).mul(4)


def said(net, seen):
    """All that is said of views that were kept."""
    with half_precision():
        return net.near(net.whole(seen["f"], seen["points"]), as_pixels(seen["pixels"]), *calibrated(seen))


def losses(loss, net, seen, progress):
    """The terms of the loss of some of the views that were kept."""
    out = said(net, seen)
    terms = loss.near(floats(out), seen)
    there = torch.ones(len(seen["f"]), dtype=torch.bool, device=device())
    terms["maps"] = loss.aim(out["maps"], MAPPED[1:], seen["landmarks"], there)
    terms["steady"] = loss.steady(out, seen) * min(1.0, 4 * progress)
    return terms


if __name__ == "__main__":
    learn(arguments(), kept, losses)

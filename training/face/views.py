"""Trainings on views that are looked at once: what all layers but the last say of a view is kept, and the last ones learn from it over
and over."""

import argparse
from pathlib import Path

import torch

from expression.coefficients import INDEX
from face.data import loader
from face.loss import Loss
from face.train import measure, started
from loop import Loop, add_arguments, device

TELL_EVERY = 10_000


def add_own_arguments(doc, parts, views, size, **defaults):
    """The options of a training on views that are looked at once, parsed; a view takes `size` of memory and of disk."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of .ftfaces to learn from; one that is given twice counts twice")
    p.add_argument("--held-out", type=Path, help="folder of .ftfaces with people, skins, hair and light never learnt from")
    p.add_argument("--winks", type=float, default=1, help="how many times as often as others faces that wink are learnt from")
    p.add_argument("--views", type=int, default=views, help=f"views to keep, {size} each")
    p.add_argument("--parts", nargs="+", default=parts, choices=parts, metavar="PART", help=f"what learns: of {', '.join(parts)}; all by default")
    if "expression" in parts:
        p.add_argument("--rows", nargs="+", metavar="STEM", help="only coefficients whose names begin so, such as brow, are told anew: goes with --parts sided expression doubt --decay 0")
    p.add_argument("--revive", action="store_true", help="hidden units of --start's heads that never speak get fresh weights")
    add_arguments(p, **defaults)
    p.set_defaults(without_neutral=False, fold=True, freeze=[], rows=[])
    a = p.parse_args()
    if not a.start:
        p.error("this trains on: say with --start what is there")
    unknown = [stem for stem in a.rows if not any(name.startswith(stem) for name in INDEX)]
    if unknown:
        p.error(f"no coefficient's name begins with {', '.join(unknown)}")
    if a.rows and (set(a.parts) - {"sided", "expression", "doubt"} or a.decay):
        p.error("--rows goes with --parts sided expression doubt --decay 0: all else is to stay as it is")
    return a


def faces_of(batch):
    """The pairs of a batch that show a face twice."""
    faces = (batch["presence"] > 0.5).view(-1, 2).all(1).repeat_interleave(2)
    return {k: v[faces].to(device()) for k, v in batch.items()}


def told_how_far(count, more, views):
    """Says now and then how many views were looked at; gives how many are now."""
    if (count + more) // TELL_EVERY > count // TELL_EVERY:
        print(f"{count + more}/{views} views looked at", flush=True)
    return count + more


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


def drawn(views, batch, seed, winks=1.0):
    """Batches of pairs, for ever; those of faces that wink come so many times as often as others."""
    chance = torch.Generator(device="cpu").manual_seed(seed)
    left, right = (views["blendshapes"][::2, INDEX["eyeBlink" + side]].float().cpu() for side in ("Left", "Right"))
    often = 1 + (winks - 1) * ((left - right).abs() > 0.5).float()
    while True:
        pair = torch.multinomial(often, batch // 2, replacement=True, generator=chance)
        at = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().to(device())
        yield {k: v[at] for k, v in views.items()}


def learn(a, kept, losses):
    """Trains parts of the network. `kept(net, batches, views)` gives what so many views show, views 2k and 2k + 1 the same face;
    `losses(loss, net, seen, progress)` the terms of the loss of some of them."""
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    net, loss = started(a).to(device()), Loss().to(device())
    net.learn_only(a.parts)
    if a.rows:
        net.learn_rows(a.rows)
    views = remembered(a, lambda: kept(net, loader(a.data, [], 96, a.workers, a.seed), a.views))
    terms = lambda net, batch, progress: losses(loss, net, batch, progress)
    Loop(a, net, lambda seed: drawn(views, a.batch, seed, a.winks), terms, measure(a), {"neutral": True}).run()

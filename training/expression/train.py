#!/usr/bin/env python3
"""Train the expression network on landmarks of rendered faces.

Writes RUN/checkpoint.pt after every fifth epoch (a stopped run goes on from there), RUN/curves.csv and RUN/model.pt, the weights
with the best validation loss. `export.py` makes models/expression.onnx and its card of them.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from augment import Augment
from coefficients import INDEX
from dataset import load
from model import ExpressionNet, squash

# What viewers notice first weighs most; unlisted coefficients weigh 1.
WEIGHTS = {
    "eyeBlink": 4, "jawOpen": 3, "mouthSmile": 2, "mouthPucker": 1.5, "mouthFunnel": 1.5, "browInnerUp": 1.5,
    "browOuterUp": 1.5, "browDown": 1.5, "eyeWide": 1.5, "eyeSquint": 1.2, "mouthFrown": 1.2,
}  # fmt: skip


def weights():
    w = torch.ones(52)
    for name, i in INDEX.items():
        w[i] = next((v for stem, v in WEIGHTS.items() if name.startswith(stem)), 1)
    return w / w.mean()


def loss_of(predicted, truth, w):
    """Squared error, plus a robust term whose optimum is the median: what cannot be seen then stays at rest."""
    error = predicted - truth
    return (w * (2 * error**2 + (error**2 + 0.03**2).sqrt() - 0.03)).mean()


def split_heads(faces, seed, share):
    """Head numbers for training and for validation; a head is never in both."""
    heads = np.random.default_rng([seed, 1]).permutation(len(faces.neutral))
    held_out = int(np.ceil(share * len(heads)))
    return heads[held_out:], heads[:held_out]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path, help="folder of shards from make_data.py")
    p.add_argument("run", type=Path, help="folder for checkpoint, curves and model")
    p.add_argument("--epochs", type=int, default=180)
    p.add_argument("--start", type=Path, help="model.pt to start from, with a new schedule")
    p.add_argument("--stop-after", type=int, help="stop early, after this epoch; a later run goes on from there")
    p.add_argument("--batch", type=int, default=96)
    p.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    p.add_argument("--decay", type=float, default=0.02, help="weight decay")
    p.add_argument("--held-out", type=float, default=0.12, help="share of heads kept for validation")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    a.run.mkdir(parents=True, exist_ok=True)

    faces = load(a.data)
    train_heads, held_out = split_heads(faces, a.seed, a.held_out)
    train, validation = faces.heads(train_heads), faces.heads(held_out)
    print(f"{len(train.head)} faces of {len(train_heads)} heads, {len(validation.head)} of {len(held_out)} held out")
    model = ExpressionNet()
    known = np.isfinite(train.neutral[train.head]).all((1, 2))
    model.normalise(train.aligned[known], train.neutral[train.head[known]])
    if a.start:
        model.load_state_dict(torch.load(a.start)["model"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=a.rate, weight_decay=a.decay)
    steps = a.epochs * (len(train.head) // a.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, a.rate, total_steps=steps + 1, pct_start=0.1)
    augment = Augment(train, train_heads)
    first, best = resume(a.run, model, optimiser, schedule)

    for epoch in range(first, min(a.epochs, a.stop_after or a.epochs)):
        rng = np.random.default_rng([a.seed, 2, epoch])
        trained = train_epoch(model, optimiser, schedule, augment, rng, a.batch)
        if epoch % 5 != 4 and epoch + 1 != a.epochs:
            continue
        without, with_neutral = validate(model, validation)
        with (a.run / "curves.csv").open("a", newline="") as f:
            csv.writer(f).writerow([epoch, *(round(float(x), 6) for x in (trained, without, with_neutral))])
        if without + with_neutral < best:
            best = without + with_neutral
            torch.save({"model": model.state_dict(), "epoch": epoch, "arguments": {k: str(v) for k, v in vars(a).items()}}, a.run / "model.pt")
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
        torch.save({**state, "epoch": epoch, "best": best}, a.run / "checkpoint.new")
        (a.run / "checkpoint.new").replace(a.run / "checkpoint.pt")
        if epoch % 20 == 19 or epoch + 1 == a.epochs:
            print(f"epoch {epoch + 1}: loss {trained:.4f}, held out {without:.4f} alone, {with_neutral:.4f} with neutral", flush=True)


def resume(run, model, optimiser, schedule):
    """First epoch to run and best validation loss so far."""
    path = run / "checkpoint.pt"
    if not path.exists():
        return 0, float("inf")
    state = torch.load(path)
    for part, name in ((model, "model"), (optimiser, "optimiser"), (schedule, "schedule")):
        part.load_state_dict(state[name])
    print(f"resuming after epoch {state['epoch'] + 1}")
    return state["epoch"] + 1, state["best"]


def train_epoch(model, optimiser, schedule, augment, rng, batch):
    model.train()
    w, total = weights(), 0.0
    order = rng.permutation(len(augment.head))
    batches = len(order) // batch
    for k in range(batches):
        x, neutral, known, truth = (torch.from_numpy(v) for v in augment(order[k * batch : (k + 1) * batch], rng))
        # Each face twice: with its neutral, and as if that were not known.
        x, neutral, truth = (torch.cat([v, v]) for v in (x, neutral, truth))
        known = torch.cat([known, torch.zeros_like(known)])
        loss = loss_of(squash(model.half(x, neutral, known)), truth, w)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += loss.item()
    return total / batches


@torch.no_grad()
def predict(model, faces, with_neutral):
    """Coefficients of all faces, and which of them have a neutral."""
    model.eval()
    neutral = faces.neutral[faces.head]
    known = np.isfinite(neutral).all((1, 2)) & with_neutral
    neutral = np.where(known[:, None, None], neutral, 0).astype(np.float32)
    flags = known.astype(np.float32)[:, None]
    return model(*(torch.from_numpy(v) for v in (faces.aligned, neutral, flags))).numpy(), known


def validate(model, faces):
    """Loss without and with the neutral, in this order."""
    truth, w = torch.from_numpy(faces.coefficients), weights()
    return [float(loss_of(torch.from_numpy(predict(model, faces, k)[0]), truth, w)) for k in (False, True)]


if __name__ == "__main__":
    main()

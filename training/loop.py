"""The training loop that the networks share: schedule, averaged weights, checkpoints, curves."""

import copy
import csv
import signal
import time
from pathlib import Path

import torch

AVERAGE = 0.999
SAVE_EVERY_S = 120
TELL_EVERY = 200


def add_arguments(p, steps, batch, rate):
    """The options that every training has."""
    p.add_argument("--steps", type=int, default=steps)
    p.add_argument("--batch", type=int, default=batch)
    p.add_argument("--rate", type=float, default=rate, help="peak learning rate")
    p.add_argument("--decay", type=float, default=0.02, help="weight decay")
    p.add_argument("--workers", type=int, default=1, help="processes that prepare pictures")
    p.add_argument("--threads", type=int, default=1, help="threads of the training itself, where there is no GPU")
    p.add_argument("--measure-every", type=int, default=2000, help="steps between looks at the held-out faces")
    p.add_argument("--minutes", type=float, help="stop after so long, with a checkpoint; the schedule does not change")
    p.add_argument("--start", type=Path, help="model.pt or checkpoint.pt whose weights to start from, as far as they fit")
    p.add_argument("--seed", type=int, default=7)


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision():
    """Convolutions in bfloat16, where the machine is quicker with it: processors without AVX-512 take eight times as long."""
    quick = device().type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=quick)


def rate_at(step, steps):
    """Share of the peak learning rate: a short climb, then a straight way down."""
    climb = max(1, min(300, steps // 10))
    return min((step + 1) / climb, max(0.0, (steps - step) / (steps - climb)) + 1e-3)


class Loop:
    """Trains `net` in folder `a.run`: writes checkpoint.pt every two minutes and goes on from there, curves.csv,
    held_out.csv, and at the end model.pt with the averaged weights.

    `batches(seed)` gives an iterator of batches, `losses(batch, progress)` the terms of the loss by name (progress is 0 to
    1), `measure(net)` figures by name, or None. `facts` go into every file beside the weights.
    """

    def __init__(self, a, net, batches, losses, measure=None, facts=None):
        self.a, self.losses, self.measure, self.facts = a, losses, measure, facts or {}
        self.net = net.to(device(), memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval()
        groups = [
            {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": a.decay},
            {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=a.rate, betas=(0.9, 0.98), fused=True)
        self.step, self.seconds = 0, 0.0
        a.run.mkdir(parents=True, exist_ok=True)
        self.resume()
        # The pictures seen last are not seen again at once.
        self.batches = batches(a.seed + self.step)

    def resume(self):
        path = self.a.run / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=device())
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        print(f"resuming at step {self.step}", flush=True)

    def save(self):
        parts = {"net": self.net, "average": self.average, "optimiser": self.optimiser}
        state = {name: part.state_dict() for name, part in parts.items()}
        new = self.a.run / "checkpoint.new"
        torch.save({**state, **self.about()}, new)
        new.replace(self.a.run / "checkpoint.pt")

    def about(self):
        arguments = {k: str(v) for k, v in vars(self.a).items()}
        return {**self.facts, "step": self.step, "seconds": self.seconds, "arguments": arguments}

    def one_step(self):
        for group in self.optimiser.param_groups:
            group["lr"] = self.a.rate * rate_at(self.step, self.a.steps)
        self.net.train()
        terms = self.losses(self.net, next(self.batches), self.step / self.a.steps)
        total = sum(terms.values())
        if not torch.isfinite(total):
            raise SystemExit(f"the loss is {total.item()} at step {self.step}; lower --rate and start from the checkpoint")
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 50.0)
        self.optimiser.step()
        self.follow()
        self.step += 1
        return {**{k: v.detach() for k, v in terms.items()}, "total": total.detach()}

    @torch.no_grad()
    def follow(self):
        """The averaged weights, which are the ones that are exported."""
        share = min(AVERAGE, (1 + self.step) / (10 + self.step))
        mine, theirs = (list(n.state_dict().values()) for n in (self.average, self.net))
        floats = [i for i, v in enumerate(mine) if v.is_floating_point()]
        torch._foreach_lerp_([mine[i] for i in floats], [theirs[i] for i in floats], 1 - share)
        for i in set(range(len(mine))) - set(floats):
            mine[i].copy_(theirs[i])

    def run(self):
        a, stopped = self.a, []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        began = saved = time.monotonic()
        told = Tally()
        while self.step < a.steps and not stopped and not (a.minutes and time.monotonic() - began > 60 * a.minutes):
            before = time.monotonic()
            told.add(self.one_step())
            self.seconds += time.monotonic() - before
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()
            if self.step % TELL_EVERY == 0 or self.step == a.steps:
                told = self.tell(told)
            if self.measure and (self.step % a.measure_every == 0 or self.step == a.steps):
                self.look()
                told = Tally()
        self.save()
        self.finish()

    def finish(self):
        """Writes the averaged weights, if all steps are done."""
        if self.step >= self.a.steps:
            torch.save({"net": self.average.state_dict(), **self.about()}, self.a.run / "model.pt")

    def tell(self, told):
        means, rate = told.means(), told.rate() * self.a.batch
        left = (self.a.steps - self.step) * self.a.batch / rate / 60
        print(f"step {self.step}/{self.a.steps} {rate:.0f}/s, {left:.0f} min left: {spelt(means)}", flush=True)
        write_row(self.a.run / "curves.csv", {"step": self.step, "seconds": round(self.seconds), **means})
        return Tally()

    def look(self):
        found = self.measure(self.average)
        print("  held out: " + spelt(found), flush=True)
        write_row(self.a.run / "held_out.csv", {"step": self.step, **found})


def weights_of(saved):
    """The averaged weights of what model.pt or checkpoint.pt holds."""
    return saved.get("average", saved["net"])


def take_over(net, theirs):
    """Weights of another training, where names and shapes are the same."""
    mine = net.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in mine and mine[k].shape == v.shape}
    net.load_state_dict({**mine, **fitting})
    print(f"{len(fitting)} of {len(mine)} tensors taken over", flush=True)


class Tally:
    """Means since it was made."""

    def __init__(self):
        self.sums, self.count, self.began = {}, 0, time.monotonic()

    def add(self, terms):
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value

    def means(self):
        return {k: float(v) / self.count for k, v in self.sums.items()}

    def rate(self):
        return self.count / (time.monotonic() - self.began)


def spelt(figures):
    return " ".join(f"{k} {v:.4g}" for k, v in figures.items())


def write_row(path, row):
    new = not path.exists()
    with path.open("a", newline="") as f:
        writer = csv.DictWriter(f, list(row))
        if new:
            writer.writeheader()
        writer.writerow({k: round(v, 5) for k, v in row.items()})

"""What is done to a batch of aligned faces before the network sees it. Every step keeps the coefficients true.

All of it works on the network's input landmarks only, (n, inputs, 3).
"""

import numpy as np
from coefficients import INPUT_LANDMARKS, LANDMARK_MIRROR, MIRROR, PARTS

_PLACE = {int(landmark): k for k, landmark in enumerate(INPUT_LANDMARKS)}
INPUT_MIRROR = np.array([_PLACE[int(LANDMARK_MIRROR[i])] for i in INPUT_LANDMARKS])
INPUT_PARTS = [(np.array([_PLACE[int(i)] for i in points if int(i) in _PLACE]), moved) for points, moved in PARTS]
FLIP = np.array([-1, 1, 1], np.float32)


class Augment:
    """Draws batches of (landmarks, neutral, neutral_known, coefficients) from training faces."""

    def __init__(self, faces, heads):
        self.aligned = np.ascontiguousarray(faces.aligned[:, INPUT_LANDMARKS])
        self.neutral = np.ascontiguousarray(faces.neutral[:, INPUT_LANDMARKS])
        self.coefficients, self.turn_deg, self.head = faces.coefficients, faces.turn_deg, faces.head
        self.heads = heads[np.isfinite(faces.neutral[heads]).all((1, 2))]
        self.noise = Noise()
        self.donors = np.flatnonzero(np.isin(faces.head, self.heads))

    def __call__(self, rows, rng):
        n = len(rows)
        uniform = lambda low, high: rng.uniform(low, high, (n, 1, 1)).astype(np.float32)
        x, truth, neutral = self.aligned[rows], self.coefficients[rows], self.neutral[self.head[rows]]
        known = np.isfinite(neutral).all((1, 2))
        neutral[~known] = x[~known]
        self._mix_parts(x, neutral, truth, self.turn_deg[rows], rng)
        shift = self._another_shape(n, rng)
        movement = (x - neutral) * uniform(0.9, 1.12)  # some move more than others
        taught = uniform(0, 0.12) * (rng.random((n, 1, 1)) < 0.3)  # a neutral that was not quite calm
        neutral += shift
        x = neutral + movement
        neutral += movement * taught
        x, neutral = misaligned(x, 2.0, rng), misaligned(neutral, 1.0, rng)
        x, neutral = self.noise(x, 0.005, rng), self.noise(neutral, 0.002, rng)
        flip = rng.random(n) < 0.5
        x[flip], neutral[flip] = x[flip][:, INPUT_MIRROR] * FLIP, neutral[flip][:, INPUT_MIRROR] * FLIP
        truth[flip] = truth[flip][:, MIRROR]
        neutral[~known] = 0
        return x, neutral, known.astype(np.float32)[:, None], truth

    def _mix_parts(self, x, neutral, truth, turn_deg, rng):
        """Gives some faces the eye, the brows or the mouth of another face at a similar turn, as movement from its
        neutral. Without it the network learns that eyes close together, as they mostly do."""
        for points, moved in INPUT_PARTS:
            rows = np.flatnonzero(rng.random(len(x)) < 0.4)
            candidates = rng.choice(self.donors, (len(rows), 8))
            apart = np.abs(self.turn_deg[candidates] - turn_deg[rows, None]).sum(2)
            donor = candidates[np.arange(len(rows)), apart.argmin(1)]
            movement = self.aligned[donor[:, None], points] - self.neutral[self.head[donor][:, None], points]
            at = np.ix_(rows, points)
            x[at] = neutral[at] + movement
            truth[np.ix_(rows, moved)] = self.coefficients[np.ix_(donor, moved)]

    def _another_shape(self, n, rng):
        """Moves face and neutral alike towards other heads: more shapes than were rendered."""
        a, b = (self.neutral[rng.choice(self.heads, n)] for _ in range(2))
        return (a - b) * (rng.uniform(0, 0.7, (n, 1, 1)) * (rng.random((n, 1, 1)) < 0.6)).astype(np.float32)


def misaligned(x, degrees, rng):
    """A small turn and stretch: what alignment leaves over at other poses, lenses and depth errors."""
    n = len(x)
    a, b, c = np.radians(degrees) * rng.normal(size=(3, n))
    turn = np.stack([np.ones(n), -c, b, c, np.ones(n), -a, -b, a, np.ones(n)], 1).reshape(n, 3, 3)
    stretch = 1 + rng.normal(size=(n, 1, 3)) * [0.012, 0.012, 0.06] * degrees / 2
    return x @ (turn.transpose(0, 2, 1) * stretch).astype(np.float32)


class Noise:
    """Jitter of the landmark network: each point by itself, depth more than the rest, and all a little.

    Drawn from a pool, since drawing normal numbers anew for every batch would take most of the training's time.
    """

    POOL = 1 << 20

    def __init__(self, seed=0):
        self.pool = np.random.default_rng(seed).standard_normal(self.POOL, np.float32)

    def __call__(self, x, spread, rng):
        level = (spread * rng.uniform(0, 1.5, (len(x), 1, 1))).astype(np.float32)
        starts = rng.integers(0, self.POOL - x[0].size, len(x))
        own = np.stack([self.pool[s : s + x[0].size] for s in starts]).reshape(x.shape)
        common = rng.standard_normal((len(x), 1, 3), np.float32) * np.array([0.5, 0.5, 1], np.float32)
        return x + level * (own * np.array([1, 1, 2], np.float32) + common)

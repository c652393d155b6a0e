"""What is done to a batch of aligned faces before the network sees it. Every step keeps the coefficients true."""

import numpy as np
from align import LANDMARKS
from coefficients import MIRROR, PARTS
from dataset import mirror


class Augment:
    """Draws batches of (landmarks, neutral, neutral_known, coefficients) from training faces."""

    def __init__(self, faces, heads, rng):
        self.faces, self.rng = faces, rng
        self.heads = heads[np.isfinite(faces.neutral[heads]).all((1, 2))]
        self.donors = np.flatnonzero(np.isin(faces.head, self.heads))

    def __call__(self, rows):
        f, rng, n = self.faces, self.rng, len(rows)
        x, truth, head = f.aligned[rows].copy(), f.coefficients[rows].copy(), f.head[rows]
        neutral = f.neutral[head].copy()
        known = np.isfinite(neutral).all((1, 2))
        neutral[~known] = x[~known]
        self._mix_parts(x, neutral, truth, f.turn_deg[rows])
        x, neutral = self._another_shape(x, neutral)
        x = neutral + (x - neutral) * rng.uniform(0.9, 1.12, (n, 1, 1))  # some move more than others
        neutral = neutral + (x - neutral) * np.where(rng.random(n) < 0.3, rng.uniform(0, 0.12, n), 0)[:, None, None]
        x, neutral = self._misaligned(x, 2.0), self._misaligned(neutral, 1.0)
        x, neutral = self._noise(x, 0.005), self._noise(neutral, 0.002)
        flip = rng.random(n) < 0.5
        x[flip], neutral[flip], truth[flip] = mirror(x[flip]), mirror(neutral[flip]), truth[flip][:, MIRROR]
        known = known & (rng.random(n) < 0.5)
        neutral[~known] = 0
        f32 = np.float32
        return x.astype(f32), neutral.astype(f32), known.astype(f32)[:, None], truth

    def _mix_parts(self, x, neutral, truth, turn_deg):
        """Gives some faces the eye, the brows or the mouth of another face at a similar turn, as movement from its
        neutral. Without it the network learns that eyes close together, as they mostly do."""
        f, rng = self.faces, self.rng
        for points, coefficients in PARTS:
            rows = np.flatnonzero(rng.random(len(x)) < 0.4)
            candidates = rng.choice(self.donors, (len(rows), 8))
            apart = np.abs(f.turn_deg[candidates] - turn_deg[rows, None]).sum(2)
            donor = candidates[np.arange(len(rows)), apart.argmin(1)]
            movement = f.aligned[donor] - f.neutral[f.head[donor]]
            at = np.ix_(rows, points)
            x[at] = neutral[at] + movement[:, points]
            truth[np.ix_(rows, coefficients)] = f.coefficients[np.ix_(donor, coefficients)]

    def _another_shape(self, x, neutral):
        """Moves face and neutral alike towards other heads: more shapes than were rendered."""
        rng, n = self.rng, len(x)
        a, b = (self.faces.neutral[rng.choice(self.heads, n)] for _ in range(2))
        shift = (a - b) * (rng.random(n) < 0.6)[:, None, None] * rng.uniform(0, 0.7, (n, 1, 1))
        return x + shift, neutral + shift

    def _misaligned(self, x, degrees):
        """A small turn and stretch: what alignment leaves over at other poses, lenses and depth errors."""
        rng, n = self.rng, len(x)
        a, b, c = np.radians(degrees) * rng.normal(size=(3, n))
        turn = np.stack([np.ones(n), -c, b, c, np.ones(n), -a, -b, a, np.ones(n)], 1).reshape(n, 3, 3)
        stretch = 1 + rng.normal(size=(n, 1, 3)) * [0.012, 0.012, 0.06] * degrees / 2
        return np.einsum("nij,npj->npi", turn, x) * stretch

    def _noise(self, x, spread):
        """Jitter of the landmark network: each point by itself, depth more than the rest, and all a little."""
        rng, n = self.rng, len(x)
        level = spread * rng.uniform(0, 1.5, (n, 1, 1))
        own = rng.normal(size=(n, LANDMARKS, 3)) * [1, 1, 2]
        common = rng.normal(size=(n, 1, 3)) * [0.5, 0.5, 1]
        return x + level * (own + common)

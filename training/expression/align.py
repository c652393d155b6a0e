"""The twin of `src/solve/align.rs`: landmarks in a frame that is tied to the head.

The table of stable points is read from the Rust source, so that there is one of it; `tests/fixtures/aligned_landmarks.json`
(made by `fixture.py`) holds the two implementations together.
"""

import re
from pathlib import Path

import numpy as np

RUST = Path(__file__).resolve().parents[2] / "src/solve/align.rs"
LANDMARKS = 478


def _stable_points():
    source = RUST.read_text()
    rows = re.findall(r"^    \((\d+), ([\d.]+), \[(.*?)\]\),$", source, re.MULTILINE)
    promised = re.search(r"STABLE: \[\(u16, f64, \[f64; 3\]\); (\d+)\]", source)
    if not promised or len(rows) != int(promised[1]):
        raise SystemExit(f"cannot read the table of stable points in {RUST}")
    index = np.array([int(i) for i, _, _ in rows])
    weight = np.array([float(w) for _, w, _ in rows])
    place = np.array([[float(x) for x in p.split(",")] for _, _, p in rows])
    return index, weight, place


STABLE, WEIGHT, PLACE = _stable_points()
MIDDLE = WEIGHT @ PLACE / WEIGHT.sum()
# Times stable points about their mean: where the head's three axes point, by the affine map that fits them best.
AXES_FIT = np.linalg.solve(((PLACE - MIDDLE).T * WEIGHT) @ (PLACE - MIDDLE), (PLACE - MIDDLE).T * WEIGHT)
OUTLIER_SCALE = 0.04
ROUNDS = 3


def align(landmarks):
    """(n, 478, 3) landmarks in image pixels -> (n, 478, 3) in the head-aligned frame, float32, and (n,) turn in radians."""
    upright = np.asarray(landmarks, np.float64) * [1.0, -1.0, -1.0]
    points = upright[:, STABLE]
    weight = np.broadcast_to(WEIGHT, points.shape[:2])
    for _ in range(ROUNDS):
        w = weight / weight.sum(1, keepdims=True)
        start = np.einsum("bn,bni->bi", w, points)
        end = w @ PLACE
        p, q = points - start[:, None], PLACE[None] - end[:, None]
        rotation = _best_rotation(np.einsum("bn,bni,bnj->bij", w, p, q))
        spread = (w * (p**2).sum(2)).sum(1)
        scale = np.sqrt((w * (q**2).sum(2)).sum(1) / np.where(spread == 0, np.inf, spread))
        aligned = scale[:, None, None] * np.einsum("bij,bnj->bni", rotation, upright - start[:, None])
        aligned = aligned + end[:, None]
        miss = ((aligned[:, STABLE] - PLACE) ** 2).sum(2)
        weight = WEIGHT / (1.0 + miss / OUTLIER_SCALE**2)
    return aligned.astype(np.float32), np.arccos(np.clip(rotation[:, 2, 2], -1, 1))


def tilt(points):
    """The head's turn in the picture, radians, from its landmarks (478, 2) there: how far from level the axis is that runs
    through both eyes, and how far from upright the one that runs up. Seen from the side the eyes tell nothing."""
    stable = points[STABLE]
    across, up, _ = AXES_FIT @ (stable - WEIGHT @ stable / WEIGHT.sum())
    return float(np.arctan2(across[1] + up[0], across[0] - up[1]))


def _best_rotation(covariance):
    u, _, vt = np.linalg.svd(covariance)
    sign = np.linalg.det(u @ vt)
    flip = np.tile(np.eye(3), (len(u), 1, 1))
    flip[:, 2, 2] = np.sign(sign)
    return vt.transpose(0, 2, 1) @ flip @ u.transpose(0, 2, 1)

"""Shards of rendered faces with their landmarks, aligned and grouped by head.

A shard is one head: `landmarks` (n, 478, 3) in image pixels, `coefficients` (n, 52) in ARKit's order, `calm` (n,) true
where the face is at rest, `turn_deg` (n, 3) yaw, pitch and roll. `make_data.py` writes it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from align import LANDMARKS, align
from coefficients import LANDMARK_MIRROR


class BadShard(ValueError):
    """A shard that would teach nonsense."""


@dataclass
class Faces:
    """All faces of a set of shards. `neutral` holds each head's mean calm face, NaN where it has none."""

    aligned: np.ndarray  # (n, 478, 3)
    coefficients: np.ndarray  # (n, 52)
    turn_deg: np.ndarray  # (n, 3)
    head: np.ndarray  # (n,) index into neutral
    calm: np.ndarray  # (n,)
    neutral: np.ndarray  # (heads, 478, 3)

    def heads(self, chosen):
        """The faces of the heads whose index is in `chosen`; heads keep their numbers."""
        keep = np.isin(self.head, chosen)
        part = (getattr(self, f)[keep] for f in ("aligned", "coefficients", "turn_deg", "head", "calm"))
        return Faces(*part, self.neutral)


def read_shard(path):
    """Checks one shard and gives its arrays."""
    with np.load(path) as shard:
        landmarks, coefficients = shard["landmarks"], shard["coefficients"]
        calm, turn = shard["calm"].astype(bool), shard["turn_deg"]
    n = len(landmarks)
    if landmarks.shape != (n, LANDMARKS, 3) or coefficients.shape != (n, 52) or len(calm) != n or turn.shape != (n, 3):
        raise BadShard(f"{path}: shapes {landmarks.shape}, {coefficients.shape}, {calm.shape}, {turn.shape}")
    if not np.isfinite(landmarks).all():
        raise BadShard(f"{path}: landmarks that are not finite")
    if not (np.isfinite(coefficients).all() and coefficients.min(initial=0) >= 0 and coefficients.max(initial=0) <= 1):
        raise BadShard(f"{path}: coefficients outside 0 to 1")
    return landmarks, coefficients.astype(np.float32), calm, turn.astype(np.float32)


def load(folder):
    """All shards of `folder`, in the order of their names."""
    parts, neutral = [], []
    for path in sorted(Path(folder).glob("*.npz")):
        landmarks, coefficients, calm, turn = read_shard(path)
        if len(landmarks) == 0:
            continue
        aligned, _ = align(landmarks)
        head = np.full(len(aligned), len(neutral))
        missing = np.full(aligned.shape[1:], np.nan, np.float32)
        neutral.append(aligned[calm].mean(0) if calm.any() else missing)
        parts.append((aligned, coefficients, turn, head, calm))
    if not parts:
        raise SystemExit(f"no shards in {folder}; run make_data.py first")
    return Faces(*(np.concatenate(p) for p in zip(*parts)), np.stack(neutral))


def mirror(landmarks):
    """The aligned landmarks of the mirrored face."""
    return landmarks[..., LANDMARK_MIRROR, :] * np.array([-1, 1, 1], np.float32)

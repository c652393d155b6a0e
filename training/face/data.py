"""Samples for the face network: crops as a tracker would cut them, with all that the renders know of them."""

import random
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from dataset import DatasetError, Shard, shard_paths
from face import crops
from face.distort import distort, hide_surroundings
from face.lettering import letter
from face.lids import line_lids

SIZE = 192
# Targets of a picture without a face: presence alone counts there.
EMPTY = {
    "landmarks": (478, 3), "blendshapes": (52,), "rotation": (3, 3), "place": (3,), "gaze": (2, 3), "openness": (2,),
    "light": (9, 3), "identity": (100,), "visible": (478,), "neutral": (478, 3),
}  # fmt: skip
# How far off a person at rest may be told, a standard deviation in the head's frame: the true one by what landmarks are off, the one
# that the network saw by what is left of their noise in a mean over frames.
NEUTRAL_OFF, SEEN_OFF = 0.012, 0.003


def rest_path(path):
    """Beside a shard: its people at rest as the network sees them; see rest.py."""
    return path.with_suffix(".rest.npy")


def neutrals_of(shard):
    """(n, 478, 3) the shard's people at rest, in the head's frame, as the network sees them where that is known; and how far off they
    may be told."""
    if not rest_path(shard.path).exists():
        return crops.aligned_neutrals(shard.labels), NEUTRAL_OFF
    seen = np.load(rest_path(shard.path)).astype(np.float32)
    if seen.shape != (len(shard), 478, 3):
        raise DatasetError(f"{rest_path(shard.path)} is not of its faces: write it again with face.rest")
    return seen, SEEN_OFF


def cut(picture, matrix, rng=None, size=SIZE):
    """(size, size, 3) of what lies under the unit square. Outside of the picture its edge is repeated, as when the
    tracker cuts at a frame's edge; with `rng` sometimes black, as from a tiling compositor."""
    pixels = np.diag([size, size]) @ matrix
    # OpenCV counts pixel centres from 0, the labels from a half.
    pixels[:, 2] += pixels[:, :2] @ [0.5, 0.5] - 0.5
    border = cv2.BORDER_REPLICATE if rng is None or rng.random() < 0.85 else cv2.BORDER_CONSTANT
    enlarge = np.hypot(pixels[0, 0], pixels[1, 0])
    if enlarge < 0.6:
        return cv2.resize(cut(picture, matrix, rng, 2 * size), (size, size), interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(picture, pixels, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def jittered(roi, rng):
    """The square that a tracker takes: its last landmarks lag behind a moving head, a detector knows less, and of some
    profiles little."""
    centre, side, turn = roi
    wide = rng.choice([1.0, 2.5, 4.0], p=[0.76, 0.18, 0.06])
    centre = centre + rng.normal(size=2) * 0.03 * wide * side
    side = side * np.exp(rng.normal() * 0.07 * wide)
    return centre, side, turn + rng.normal() * 0.09 * wide


def nudged(roi, rng):
    """The same view but for what a still camera's noise moves."""
    centre, side, turn = roi
    return centre + rng.normal(size=2) * 0.012 * side, side * np.exp(rng.normal() * 0.012), turn + rng.normal() * 0.015


def elsewhere(roi, rng):
    """A square that holds no face to speak of: beside it, a part of it, or so wide that it is lost in it."""
    centre, side, turn = roi
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)])
    kind = rng.random()
    if kind < 0.6:
        centre = centre + away * side * rng.uniform(0.62, 0.9)
    elif kind < 0.9:
        centre, side = centre + away * side * rng.uniform(0.1, 0.35), side * rng.uniform(0.12, 0.25)
    else:
        side = side * rng.uniform(3.5, 5.0)
    return centre, side, turn + rng.uniform(-0.6, 0.6)


class Crops(IterableDataset):
    """Endless views of the faces in `folders`, in an order given by `seed` alone.

    Yields two samples at a time: two views of one face. `still` says that they differ by no more than a still camera's
    noise, so that the network should say the same of both.
    """

    def __init__(self, folders, backgrounds=(), seed=0, empty=0.1, distortion=1.0):
        self.folders = folders
        shard_paths(*folders)  # None is an error now, not in a worker.
        self.backgrounds = [load_picture(p) for p in backgrounds]
        self.seed, self.empty, self.distortion = seed, empty, distortion

    def __iter__(self):
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = 0
        while True:
            # Looked up anew: a training may begin while its faces are still being rendered.
            paths = shard_paths(*self.folders)
            random.Random(f"{self.seed} {epoch}").shuffle(paths)
            rng = np.random.default_rng([self.seed, epoch, number])
            # Fewer shards than workers: each then takes its part of every shard.
            mine = paths[number::workers] if len(paths) >= workers else paths
            for path in mine:
                shard = Shard(path)
                neutrals, off = neutrals_of(shard)
                order = rng.permutation(len(shard))
                for i in order if len(paths) >= workers else order[number::workers]:
                    pair = self.pair(shard.picture(i), shard.labels[i], neutrals[i], rng)
                    yield pair | {"neutral_off": torch.full((2,), off)}
            epoch += 1

    def pair(self, picture, label, neutral, rng):
        flipped = rng.random() < 0.5
        if flipped:
            picture, label, neutral = crops.mirrored(picture, label, neutral)
        roi = crops.roi_around(label["landmarks"][:, :2])
        first = jittered(roi, rng)
        still = rng.random() < 0.5
        second = nudged(first, rng) if still else jittered(roi, rng)
        views = [self.view(picture, label, neutral, flipped, view, rng) for view in (first, second)]
        for view in views:
            view["still"] = np.float32(still)
        if rng.random() < 2 * self.empty:
            views[1] = self.no_face(picture, roi, rng)
            views[0]["still"] = np.float32(0)
        return collate(views)

    def view(self, picture, label, neutral, flipped, roi, rng):
        matrix = crops.crop_from_picture(*roi)
        sample = crops.targets(label, matrix)
        image = cut(picture, matrix, rng)
        if rng.random() < 0.6:
            image = line_lids(image, sample["landmarks"], sample["visible"], rng)
        if rng.random() < 0.5 * self.distortion:
            image = hide_surroundings(image, sample["landmarks"], rng)
        sample["image"] = distort(image, rng, self.distortion)
        sample["neutral"] = neutral
        sample["mirrored"] = np.float32(flipped)
        sample["presence"] = np.float32(1)
        sample["from_unit"] = matrix.astype(np.float32)
        return sample

    def no_face(self, picture, roi, rng):
        if self.backgrounds and rng.random() < 0.5:
            picture = self.backgrounds[rng.integers(len(self.backgrounds))]
            height, width = picture.shape[:2]
            side = np.exp(rng.uniform(np.log(24), np.log(min(height, width))))
            centre = rng.uniform([side / 2, side / 2], [width - side / 2, height - side / 2])
            roi = centre, side, rng.uniform(-0.6, 0.6)
        else:
            roi = elsewhere(roi, rng)
        matrix = crops.crop_from_picture(*roi)
        sample = {name: np.zeros(shape, np.float32) for name, shape in EMPTY.items()}
        image = cut(picture, matrix, rng)
        if rng.random() < 0.3:
            letter(image, rng)
        sample["image"] = distort(image, rng, self.distortion)
        sample["from_unit"] = matrix.astype(np.float32)
        return sample | {name: np.float32(0) for name in ("mirrored", "presence", "still")}


def collate(views):
    """Samples, or batches of samples, stacked; pictures are (n, SIZE, SIZE, 3) bytes."""
    out = {name: torch.from_numpy(np.stack([v[name] for v in views])) for name in views[0]}
    return out


def join(pairs):
    """A batch from pairs: views 2k and 2k + 1 show the same face."""
    return {name: torch.cat([p[name] for p in pairs]) for name in pairs[0]}


def as_input(pictures):
    """(n, height, width, 3) bytes as the network takes them. Channels last is what channels_last wants: no copy but the
    conversion."""
    return pictures.permute(0, 3, 1, 2).float().div(255).sub(0.5).mul(4)


def loader(folders, backgrounds, batch, workers, seed, distortion=1.0):
    return torch.utils.data.DataLoader(
        Crops(folders, backgrounds, seed, distortion=distortion), batch_size=batch // 2, num_workers=workers, collate_fn=join,
        prefetch_factor=4 if workers else None, pin_memory=torch.cuda.is_available(),
    )  # fmt: skip


def held_out(folder, limit=None):
    """Faces for measuring: one clean upright crop each, in the order of the files."""
    count = 0
    for path in shard_paths(folder):
        shard = Shard(path)
        neutrals, _ = neutrals_of(shard)
        for i in range(len(shard)):
            if limit is not None and count >= limit:
                return
            label = shard.labels[i]
            matrix = crops.crop_from_picture(*crops.roi_around(label["landmarks"][:, :2]))
            sample = crops.targets(label, matrix)
            sample["image"] = cut(shard.picture(i), matrix)
            sample["neutral"] = neutrals[i]
            yield sample
            count += 1


def load_picture(path):
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DatasetError(f"{path} is no picture that can be read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

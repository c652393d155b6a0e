"""Reads the renderer's data set (docs/dataset.md): labels as a NumPy memory map, pictures decoded on demand.

    from dataset import Shard, Faces
    shard = Shard("faces/faces-00000.ftfaces")
    shard.labels["landmarks"][0]            # (478, 3), pixels
    shard.picture(0)                        # (height, width, 3) uint8 RGB
    loader = torch.utils.data.DataLoader(Faces("faces"), batch_size=64, num_workers=2)
"""

import hashlib
import json
import random
import struct
from pathlib import Path

import cv2
import numpy as np

try:
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError:  # reading shards needs no torch

    class IterableDataset:
        pass

    def get_worker_info():
        return None


MAGIC = b"FTFACES1"


class DatasetError(Exception):
    """A shard that must not be trained on."""


def shard_paths(*folders):
    """The shards of these folders, in the order of their names. Raises `DatasetError` where there is none."""
    paths = sorted(p for folder in folders for p in Path(folder).glob("*.ftfaces"))
    if not paths:
        raise DatasetError(f"no .ftfaces files in {', '.join(map(str, folders))}; render some, see face/README.md")
    return paths


class Shard:
    """One file of the data set. Checks what costs little; `verify` reads it through. Raises `DatasetError`."""

    def __init__(self, path):
        self.path = Path(path)
        with open(self.path, "rb") as file:
            start = file.read(16)
            if len(start) < 16 or start[:8] != MAGIC:
                raise DatasetError(f"{path} is no shard of faces")
            length, size = struct.unpack("<Q", start[8:])[0], self.path.stat().st_size
            if length > size - 16:
                raise DatasetError(f"{path} is cut short: render it again")
            try:
                self.header = json.loads(file.read(length))
            except ValueError as e:
                raise DatasetError(f"{path}: its header is damaged ({e}): render it again") from e
        if size < self.header["images_at"] + 32:
            raise DatasetError(f"{path} is cut short: render it again")
        fields = self.header["fields"]
        self.dtype = np.dtype({
            "names": [f["name"] for f in fields],
            "formats": [(f["dtype"], tuple(f["shape"])) for f in fields],
            "offsets": [f["offset"] for f in fields],
            "itemsize": self.header["record_size"],
        })
        count = self.header["count"]
        self.labels = np.memmap(self.path, self.dtype, "r", self.header["records_at"], (count,))
        self.offsets = np.memmap(self.path, "<u8", "r", self.header["offsets_at"], (count + 1,))
        whole = self.header["images_at"] + int(self.offsets[-1]) + 32
        if size != whole:
            raise DatasetError(f"{path} is cut short: render it again")
        self.check_ranges()

    def __len__(self):
        return len(self.labels)

    def check_ranges(self):
        """Refuses labels that no face can have: one of them spoils a network quietly."""
        labels = self.labels
        height_width = self.header["settings"].get("picture", [256, 256])
        limit = 4.0 * max(height_width)
        tests = {
            "landmarks": np.isfinite(labels["landmarks"]).all() and (np.abs(labels["landmarks"]) <= limit).all(),
            "blendshapes": ((labels["blendshapes"] >= 0) & (labels["blendshapes"] <= 1)).all(),
            "gaze": np.allclose(np.linalg.norm(labels["gaze"], axis=-1), 1, atol=1e-3),
            "rotation": np.allclose(np.linalg.det(labels["rotation"].astype(float)), 1, atol=1e-3),
            "eye_openness_mm": ((labels["eye_openness_mm"] >= 0) & (labels["eye_openness_mm"] < 25)).all(),
        }
        for name, good in tests.items():
            if not good:
                raise DatasetError(f"{self.path}: {name} out of range")

    def verify(self):
        """Whether the checksum over the whole file is right."""
        data = self.path.read_bytes()
        return hashlib.sha256(data[:-32]).digest() == data[-32:]

    def jpeg(self, i):
        start = self.header["images_at"]
        a, b = int(self.offsets[i]), int(self.offsets[i + 1])
        with open(self.path, "rb") as file:
            file.seek(start + a)
            return file.read(b - a)

    def picture(self, i):
        """Picture `i`, (height, width, 3) uint8 RGB."""
        decoded = cv2.imdecode(np.frombuffer(self.jpeg(i), np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise DatasetError(f"{self.path}: picture {i} does not decode")
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def iris_contour(label, eye, points=32):
    """The iris' contour in the picture (points, 2), counter-clockwise from the subject's left; `eye` is "left" or "right"."""
    a, b, c, d = label["head_mm"][{"right": slice(469, 473), "left": slice(474, 478)}[eye]].astype(np.float64)
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, None]
    return project(label, (a + b + c + d) / 4 + np.cos(t) * (a - c) / 2 + np.sin(t) * (b - d) / 2)


def project(label, head_mm):
    """Where points of head space (n, 3) lie in the picture (n, 2)."""
    camera = head_mm @ label["rotation"].astype(np.float64).T + label["translation_mm"]
    n = camera[:, :2] / camera[:, 2:]
    r2 = np.minimum((n**2).sum(1, keepdims=True), 2)
    k1, k2 = label["distortion"]
    frame = n * (1 + r2 * (k1 + r2 * k2)) * label["focal_px"] + label["principal_px"]
    frame = frame + label["rolling_px"] * (frame[:, 1:] / label["frame_px"][1] - 0.5)
    affine = label["picture_from_frame"]
    return frame @ affine[:, :2].T + affine[:, 2]


class Faces(IterableDataset):
    """Streams (picture, labels) from a folder of shards, shuffled within a shard and over the shards.

    `transform(picture, label)` turns one face into what the loader collates; by default a dict of arrays.
    """

    def __init__(self, folder, transform=None, seed=0):
        self.paths = shard_paths(folder)
        self.transform = transform or (lambda picture, label: {"picture": picture, **as_dict(label)})
        self.seed, self.epoch = seed, 0

    def __iter__(self):
        order = random.Random(self.seed * 1_000_003 + self.epoch)
        self.epoch += 1
        paths = list(self.paths)
        order.shuffle(paths)
        worker = get_worker_info()
        if worker is not None:
            paths = paths[worker.id :: worker.num_workers]
        for path in paths:
            shard = Shard(path)
            faces = list(range(len(shard)))
            order.shuffle(faces)
            for i in faces:
                yield self.transform(shard.picture(i), shard.labels[i])


def as_dict(label):
    """A record as arrays of native types that PyTorch collates."""
    wide = {"<f2": np.float32, "<u4": np.int64, "<u8": np.int64}
    out = {}
    for name in label.dtype.names:
        value = np.asarray(label[name])
        out[name] = value.astype(wide.get(value.dtype.str, value.dtype))
    return out

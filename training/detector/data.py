"""Pictures with faces of every size, composed from rendered crops and frames, and what the detector is to say of them."""

import random

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from dataset import Shard, shard_paths
from face.data import load_picture
from face.distort import distort
from face.lettering import letter

SIZE = 256
STRIDE = 8
CELLS = SIZE // STRIDE
FACES_MAX = 8
# Right eye, left eye, nose tip, middle of the mouth, right ear, left ear: means of landmarks.
KEYPOINTS = ((33, 133, 159, 145), (263, 362, 386, 374), (1,), (13, 14), (234,), (454,))


def face_of(landmarks):
    """(14,) centre, size and keypoints of a face with these (478, 2) landmarks, in their pixels."""
    low, high = landmarks.min(0), landmarks.max(0)
    points = [landmarks[list(k)].mean(0) for k in KEYPOINTS]
    return np.concatenate([(low + high) / 2, high - low, *points])


def through(affine, face):
    """The face after an affine map of its pixels; the box keeps its own axes, as the picture's."""
    scale = np.hypot(affine[0, 0], affine[1, 0])
    points = np.concatenate([face[:2], face[4:]]).reshape(-1, 2) @ affine[:, :2].T + affine[:, 2]
    return np.concatenate([points[0], face[2:4] * scale, points[1:].ravel()])


class Scenes(IterableDataset):
    """Endless pictures of SIZE x SIZE with up to FACES_MAX faces: rendered frames zoomed and turned, and rendered crops
    laid side by side or on to a background without faces."""

    def __init__(self, folders, backgrounds, seed=0):
        self.paths = shard_paths(*folders)
        self.backgrounds = [load_picture(p) for p in backgrounds]
        self.seed = seed

    def __iter__(self):
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        shards = [Shard(p) for p in self.paths]
        while True:
            yield self.scene(shards, rng)

    def scene(self, shards, rng):
        """A picture, the faces in it, and those whose middle is covered: neither told of nor denied."""
        canvas, faces, hidden = self.background(rng), [], []
        if rng.random() < 0.5:
            letter(canvas, rng)
        for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.12, 0.5, 0.23, 0.15]))):
            shard = shards[rng.integers(len(shards))]
            i = int(rng.integers(len(shard)))
            face = face_of(shard.labels["landmarks"][i][:, :2].astype(np.float64))
            face, covered = self.lay(canvas, shard.picture(i), face, rng)
            hide(faces, hidden, covered)
            faces.append(face)
            if rng.random() < 0.3:
                hide(faces, hidden, self.patch(canvas, rng))
        if rng.random() < 0.4:
            hide(faces, hidden, bars(canvas, rng))
        if rng.random() < 0.5:
            canvas = canvas[:, ::-1]
            faces, hidden = [mirrored(f) for f in faces], [mirrored(f) for f in hidden]
        return distort(np.ascontiguousarray(canvas), rng), faces, hidden

    def background(self, rng):
        if not self.backgrounds or rng.random() < 0.1:
            return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), (SIZE, SIZE, 3)).copy()
        picture = self.backgrounds[rng.integers(len(self.backgrounds))]
        height, width = picture.shape[:2]
        side = int(rng.uniform(0.3, 1.0) * min(height, width))
        y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        return cv2.resize(picture[y : y + side, x : x + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    def patch(self, canvas, rng):
        """Lays a picture without a face on to the canvas: an edge around something does not make it a face."""
        side = np.exp(rng.uniform(np.log(12), np.log(160)))
        nobody = np.full(16, -1e4)
        nobody[:4] = SIZE / 2, SIZE / 2, SIZE / 1.5, SIZE / 1.5
        return self.lay(canvas, self.background(rng), nobody, rng, side)[1]

    def lay(self, canvas, picture, face, rng, size=None):
        """Lays a rendered picture on to the canvas, its face at a size drawn evenly in octaves. Gives the face as it lies
        there, and what of the canvas is now covered, 0 to 255."""
        size = size or np.exp(rng.uniform(np.log(9), np.log(230)))
        scale = size / face[2:4].max()
        turn = rng.uniform(-1.05, 1.05) if rng.random() < 0.5 else rng.normal() * 0.15
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        linear = np.array([[c, -s], [s, c]])
        room = max(SIZE / 2 - size / 2, SIZE * 0.12)
        target = SIZE / 2 + rng.uniform(-room, room, 2)
        affine = np.column_stack([linear, target - linear @ face[:2]])
        height, width = picture.shape[:2]
        if scale < 0.5:
            small = (max(int(width * scale * 1.5), 8), max(int(height * scale * 1.5), 8))
            shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
            pixels = affine @ np.diag([width / small[0], height / small[1], 1])
        else:
            shrunk, pixels = picture, affine
        mask = np.full(shrunk.shape[:2], 255, np.uint8)
        warp = lambda image: cv2.warpAffine(image, pixels[:2], (SIZE, SIZE), flags=cv2.INTER_LINEAR)
        covered = warp(mask)
        if rng.random() < 0.5:
            # Soft edges, else every face has a frame around it that tells of it.
            covered = cv2.GaussianBlur(covered, (0, 0), 0.03 * size + 0.5)
        share = (covered.astype(np.float32) / 255)[..., None]
        canvas[:] = (canvas * (1 - share) + warp(shrunk) * share).astype(np.uint8)
        return through(affine, face), covered


def hide(faces, hidden, covered):
    """Moves the faces whose middle is covered from `faces` to `hidden`."""
    gone = [f for f in faces if covered[at(f[1]), at(f[0])] >= 128]
    hidden += gone
    faces[:] = [f for f in faces if not any(f is g for g in gone)]


def bars(canvas, rng):
    """Black above and below, as where a wide frame is searched as a square. Gives what they cover."""
    high = int(SIZE * rng.uniform(0.08, 0.24))
    covered = np.zeros(canvas.shape[:2], np.uint8)
    for part in (slice(0, high), slice(SIZE - high, SIZE)):
        canvas[part], covered[part] = 0, 255
    return covered


def at(v):
    return int(np.clip(v, 0, SIZE - 1))


def mirrored(face):
    out = face.copy()
    out[[0, 4, 6, 8, 10, 12, 14]] = SIZE - face[[0, 4, 6, 8, 10, 12, 14]]
    return out[[0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 11, 14, 15, 12, 13]]


def loader(folders, backgrounds, batch, workers, seed):
    return torch.utils.data.DataLoader(
        Scenes(folders, backgrounds, seed), batch_size=batch, num_workers=workers, collate_fn=collate,
        prefetch_factor=4 if workers else None,
    )  # fmt: skip


def collate(scenes):
    """Pictures (n, SIZE, SIZE, 3) bytes, and for each cell of each picture: 1 where a face is to be told of, -1 where
    nothing is asked, else 0; and the face."""
    wanted = np.zeros((len(scenes), CELLS, CELLS), np.float32)
    faces = np.zeros((len(scenes), CELLS, CELLS, 16), np.float32)
    for k, (_, found, hidden) in enumerate(scenes):
        for face in hidden:
            assign(wanted[k], faces[k], face)
        wanted[k][wanted[k] > 0] = -1
        for face in sorted(found, key=lambda f: -f[2:4].max()):
            assign(wanted[k], faces[k], face)
    images = torch.from_numpy(np.stack([image for image, _, _ in scenes]))
    return {"image": images, "wanted": torch.from_numpy(wanted), "face": torch.from_numpy(faces)}


def assign(wanted, faces, face):
    """The cells near a face's middle tell of it; around them nothing is asked, for a step aside is no error."""
    size = face[2:4].max()
    centres = (np.arange(CELLS) + 0.5) * STRIDE
    away = np.hypot(centres[None, :] - face[0], centres[:, None] - face[1])
    near = away <= max(0.12 * size, 0.75 * STRIDE)
    around = (away <= max(0.3 * size, 1.5 * STRIDE)) & ~near & (wanted == 0)
    wanted[around] = -1
    wanted[near] = 1
    faces[near] = face

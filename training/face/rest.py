#!/usr/bin/env python3
"""Write how the network itself sees people at rest, beside faces of theirs: what it is told of them from then on, in training and in
`evaluate`.

    R='facetrackd render-faces --assets PACK --count 4096 --seed 1'
    $R --out faces
    $R --out resting --at-rest                                # the same people and light
    python -m face.rest ../models/face.onnx faces resting     # faces/faces-00000.rest.npy and so on

What a tracker knows of a person at rest is what the network saw of them, and where it is off for a person it is off alike when they
move.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from dataset import DatasetError, Shard, shard_paths
from face import crops
from face.data import as_input, cut, nudged, rest_path
from face.evaluate import one
from loop import device

# A tracker's is the mean over many frames.
VIEWS = 4


@torch.no_grad()
def seen(net, shard, rng):
    """(n, 478, 3) of the shard's faces as the network sees them, in the head's frame."""
    out = []
    for i, label in enumerate(shard.labels):
        roi, picture = crops.roi_around(label["landmarks"][:, :2]), shard.picture(i)
        views = [cut(picture, crops.crop_from_picture(*nudged(roi, rng))) for _ in range(VIEWS)]
        landmarks = net(as_input(torch.from_numpy(np.stack(views))).to(device()))["landmarks"]
        out.append(net.head_frame(landmarks).to_head(landmarks).mean(0).cpu().numpy())
    return np.stack(out)


def check(faces, resting):
    """Raises `DatasetError` unless the second shard shows the people of the first, one after the other, at rest."""
    if resting.labels["blendshapes"].any():
        raise DatasetError(f"{resting.path} shows faces that are not at rest: render them with --at-rest")
    if not np.array_equal(faces.labels["identity"], resting.labels["identity"]):
        raise DatasetError(f"{resting.path} does not show the people of {faces.path}: render both with the same --seed, --count and --shard")


def write(path, neutrals):
    """A run that is stopped leaves no half of a file."""
    new = path.with_suffix(".new")
    with open(new, "wb") as file:
        np.save(file, neutrals.astype(np.float16))
    new.replace(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=Path, help="the network: a checkpoint, RUN/model.pt or an exported one")
    p.add_argument("faces", type=Path, help="folder of .ftfaces")
    p.add_argument("resting", type=Path, help="folder of the same people at rest")
    a = p.parse_args()
    net, rng = one(a.model)[0].to(device()).eval(), np.random.default_rng(0)
    try:
        for path in shard_paths(a.resting):
            faces, resting = Shard(a.faces / path.name), Shard(path)
            check(faces, resting)
            write(rest_path(faces.path), seen(net, resting, rng))
            print(f"{rest_path(faces.path)}: {len(faces)} faces", flush=True)
    except (DatasetError, OSError) as e:
        raise SystemExit(str(e)) from e


if __name__ == "__main__":
    main()

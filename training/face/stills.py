#!/usr/bin/env python3
"""Measure any face tracker on rendered faces, beside others: as it is used, on pictures, with all that it does to them.

    python -m face.stills write FACES DIR                      # a PNG for each face
    facetrackd --source DIR --jsonl ours.jsonl                 # and any other program that writes such lines
    python -m face.stills score FACES ours.jsonl theirs.jsonl
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from dataset import DatasetError, Shard, shard_paths
from expression.coefficients import NAMES
from face import crops
from face.evaluate import correlation, degrees_between, turn_between

# Beside pictures that were not written from .ftfaces; see script_heads.py.
LABELS = "labels.npz"
# Above this an eye hardly shows where it looks.
SHUT = 0.5


def write(faces, out):
    """Pictures in the order of the faces."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for shard in map(Shard, shard_paths(faces)):
        for i in range(len(shard)):
            cv2.imwrite(str(out / f"{count:06}.png"), cv2.cvtColor(shard.picture(i), cv2.COLOR_RGB2BGR))
            count += 1
    print(f"{count} pictures in {out}")


def truths(faces):
    """The labels, as arrays. A still's camera is not known: head and gaze are told to one that looks straight at the face."""
    if (faces / LABELS).exists():
        return dict(np.load(faces / LABELS))
    labels = [label for shard in map(Shard, shard_paths(faces)) for label in shard.labels]
    seen = []
    for label in labels:
        centre, side, _ = crops.roi_around(label["landmarks"][:, :2])
        seen.append(crops.targets(label, crops.crop_from_picture(centre, side, 0.0)))
    return {name: np.stack([s[name] for s in seen]) for name in ("blendshapes", "rotation", "gaze")}


def largest(faces):
    """What a track says of the largest face of a picture, or None."""
    return max(faces, key=lambda f: (f["box"][2] - f["box"][0]) * (f["box"][3] - f["box"][1]), default=None)


def said(track, count):
    """The face that a track has of each picture, or None."""
    lines = [json.loads(line) for line in track.read_text().splitlines() if line.strip()]
    if len(lines) != count:
        raise SystemExit(f"{track} has {len(lines)} pictures, not {count}: track the folder that `write` made of these faces")
    return [largest(line["faces"]) for line in lines]


def compared(told, truth):
    """Figures of a track, and its correlation and error of each coefficient. Faces that were not found count for `found` alone."""
    found = np.array([f is not None for f in told])
    faces = [f for f in told if f]
    if not faces:
        return {"found": 0.0}, None, None
    values = np.array([[f.get("blendshapes", {}).get(name, 0.0) for name in NAMES] for f in faces])
    right = {name: values[found] for name, values in truth.items()}
    r, error = correlation(values, right["blendshapes"]), np.abs(values - right["blendshapes"]).mean(0)
    out = {
        "found": found.mean(),
        "correlation": r.mean(),
        "correlation_min": r.min(),
        "coefficient_error": error.mean(),
    }
    if all(f.get("head") for f in faces):
        out["rotation_deg"] = without_offset(np.array([f["head"]["rotation"] for f in faces]), right["rotation"]).mean()
    if all(f.get("gaze") for f in faces):
        gaze = np.array([[f["gaze"]["left"], f["gaze"]["right"]] for f in faces])
        blinks = right["blendshapes"][:, [NAMES.index("eyeBlinkLeft"), NAMES.index("eyeBlinkRight")]]
        out["gaze_deg"] = degrees_between(gaze, right["gaze"])[blinks < SHUT].mean()
    return {k: float(v) for k, v in out.items()}, r, error


def without_offset(rotations, truth):
    """Degrees between rotations after one constant turn, which is a matter of where a head's front is said to be."""
    u, _, v = np.linalg.svd(np.einsum("nji,njk->ik", rotations, truth))
    offset = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    return turn_between(rotations @ offset, truth)


def score(faces, tracks, as_json):
    truth = truths(faces)
    found = {str(t): compared(said(t, len(truth["blendshapes"])), truth) for t in tracks}
    if as_json:
        each = lambda values: None if values is None else dict(zip(NAMES, map(float, values)))
        print(json.dumps({t: {"figures": f, "correlation": each(r), "error": each(e)} for t, (f, r, e) in found.items()}))
        return
    width = max(len(Path(t).stem) for t in found) + 2
    row = lambda name, cells: print(f"{name:20}" + "".join(f"{c:>{max(width, 14)}}" for c in cells))
    row("", [Path(t).stem for t in found])
    for name in ("found", "correlation", "correlation_min", "coefficient_error", "rotation_deg", "gaze_deg"):
        row(name, [f"{f[name]:.3f}" if name in f else "-" for f, _, _ in found.values()])
    for i, name in enumerate(NAMES):
        row(name, ["-" if r is None else f"{r[i]:.2f} +-{e[i]:.3f}" for _, r, e in found.values()])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    w = commands.add_parser("write", help="write the faces as pictures")
    w.add_argument("faces", type=Path, help="folder of .ftfaces")
    w.add_argument("out", type=Path, help="folder for the pictures")
    s = commands.add_parser("score", help="compare tracks of these pictures with the labels")
    s.add_argument("faces", type=Path, help="folder of .ftfaces, or what face.script_heads wrote")
    s.add_argument("tracks", nargs="+", type=Path, help="JSON lines of facetrackd's format, one a picture")
    s.add_argument("--json", action="store_true")
    a = p.parse_args()
    try:
        if a.command == "write":
            write(a.faces, a.out)
        else:
            score(a.faces, a.tracks, a.json)
    except DatasetError as e:
        raise SystemExit(str(e)) from e


if __name__ == "__main__":
    main()

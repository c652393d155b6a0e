#!/usr/bin/env python3
"""What a picture's own points move by where landmarks are said to jitter: a face that is said to be still may not be.

    facetrackd --source CLIP.mp4 --raw --jsonl TRACK.jsonl
    python -m face.own_motion TRACK.jsonl CLIP.mp4 --frames 4 40

Both are root mean squares of second differences over time, in percent of the distance of the eyes' outer corners. The picture's points are
the landmarks, followed by optical flow (Lucas and Kanade) from each frame to the one before and to the one after.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from face.stills import largest

PARTS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
# Outer corners of the eyes.
CORNERS = 36, 45
# Side of the window that is looked for, of the eyes' distance.
WINDOW = 0.22


def landmarks(track, first, last):
    """(frames, 68, 2) of the largest face."""
    faces = [largest(json.loads(line)["faces"]) for line in track.read_text().splitlines()[first : last + 1]]
    if len(faces) < last - first + 1 or not all(faces):
        raise SystemExit(f"{track} has no face in every frame from {first} to {last}")
    return np.array([f["landmarks68"] for f in faces])


def pictures(clip, first, last):
    """The frames' luma."""
    capture, found = cv2.VideoCapture(str(clip)), []
    while len(found) <= last:
        there, frame = capture.read()
        if not there:
            raise SystemExit(f"{clip} ends before frame {last}")
        found.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    return found[first:]


def flows(frames, points, eyes):
    """(frames - 2, 68, 2): second differences over time of what the picture shows at the points."""
    side = max(9, int(WINDOW * eyes)) | 1
    options = {"winSize": (side, side), "maxLevel": 2, "criteria": (3, 60, 1e-4)}
    found = []
    for i in range(1, len(frames) - 1):
        # Their mean over five frames: what the landmarks jitter by is not to move what is looked for.
        here = points[max(0, i - 2) : i + 3].mean(0).astype(np.float32)[:, None]
        before, after = (cv2.calcOpticalFlowPyrLK(frames[i], frames[i + step], here, None, **options)[0] for step in (-1, 1))
        found.append((before + after - 2 * here)[:, 0])
    return np.array(found)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("track", type=Path, help="JSON lines of facetrackd's format, one a frame")
    p.add_argument("clip", type=Path)
    p.add_argument("--frames", type=int, nargs=2, required=True, metavar=("FIRST", "LAST"), help="where the face is still, both among them")
    a = p.parse_args()
    if a.frames[1] - a.frames[0] < 2:
        p.error("--frames: second differences take three frames at least")
    points = landmarks(a.track, *a.frames)
    eyes = np.median(np.linalg.norm(np.subtract(*points[:, CORNERS].transpose(1, 0, 2)), axis=1))
    told, shown = np.diff(points, 2, axis=0), flows(pictures(a.clip, *a.frames), points, eyes)
    percent = lambda moved: 100 * np.sqrt((moved**2).sum(2).mean()) / eyes
    print(f"{'':8} landmarks  picture  together")
    for name, (first, last) in {"all": (0, 68), **PARTS}.items():
        ours, theirs = told[:, first:last], shown[:, first:last]
        # As one: what a part of the face moves by, in both.
        together = np.corrcoef(ours.mean(1).ravel(), theirs.mean(1).ravel())[0, 1]
        print(f"{name:8} {percent(ours):8.2f} % {percent(theirs):6.2f} % {together:9.2f}")


if __name__ == "__main__":
    main()

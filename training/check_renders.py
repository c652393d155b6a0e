"""Do the renderer's labels agree with its pictures? MediaPipe, which has never seen them, is asked.

    facetrackd render-faces --assets PACK --count 400 --out DIR --yaw-max 45 --no-occluders
    python check_renders.py DIR [--limit N]

prints the share of faces under 45 degrees of yaw that it finds (crops are padded to a frame's size first) and the error of its
68 points against ours, over the distance between the outer eye corners. Needs mediapipe 0.10 and OpenCV.
"""

import argparse
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np

from correspondence.ibug import NEAREST
from dataset import Shard, shard_paths

HEAVY = 2 + 8 + 16 + 32  # tinted glass, cap, microphone, hand


def yaw_degrees(label):
    """Turn of the head against the line to the camera."""
    to_camera = -label["translation_mm"] / np.linalg.norm(label["translation_mm"])
    x, _, z = label["rotation"].T @ to_camera
    return abs(np.degrees(np.arctan2(x, z)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=10_000)
    args = parser.parse_args()
    mesh = mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True, min_detection_confidence=0.5)
    asked = found = 0
    errors, groups, missed = [], [], []
    for path in shard_paths(args.folder):
        shard = Shard(path)
        for i in range(len(shard)):
            label = shard.labels[i]
            if asked >= args.limit or yaw_degrees(label) > 45 or label["flags"] & HEAVY:
                continue
            asked += 1
            picture = shard.picture(i)
            pad = picture.shape[1] // 2
            result = mesh.process(cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE))
            if not result.multi_face_landmarks:
                missed.append(int(label["index"]))
                continue
            found += 1
            size = np.array([picture.shape[1] + 2 * pad, picture.shape[0] + 2 * pad])
            points = np.array([[p.x, p.y] for p in result.multi_face_landmarks[0].landmark]) * size - pad
            ours = label["landmarks"][:, :2]
            # In space, not in the picture: a turned head's eye corners come close together.
            scale = np.linalg.norm(label["head_mm"][33].astype(float) - label["head_mm"][263].astype(float))
            px_per_mm = np.linalg.norm(label["picture_from_frame"][:, 0]) * label["focal_px"] / label["translation_mm"][2]
            error = np.linalg.norm(points[NEAREST] - ours[NEAREST], axis=1) / (scale * px_per_mm)
            errors.append(error.mean())
            groups.append([error[a:b].mean() for a, b in [(0, 17), (17, 27), (27, 36), (36, 48), (48, 68)]])
    print(f"under 45 degrees of yaw, without heavy occluders: {asked} faces, {100 * found / max(asked, 1):.1f} % found")
    print(f"missed: {missed[:40]}")
    if errors:
        print(f"68-point error over the eye distance: median {100 * np.median(errors):.2f} %, mean {100 * np.mean(errors):.2f} %")
        names = ["jaw", "brows", "nose", "eyes", "mouth"]
        print("median of", ", ".join(f"{n} {100 * v:.2f} %" for n, v in zip(names, np.median(groups, 0))))


if __name__ == "__main__":
    main()

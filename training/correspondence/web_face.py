"""The face that clients/web draws: landmarks of the canonical head, and triangles between them.

`python -m correspondence.web_face` (in training/) writes clients/web/face.json. The triangles are Delaunay's in the front view,
with the mouth open, so that no triangle joins the lips; mouth and eyes are left as holes.
"""

import json
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

ROOT = Path(__file__).resolve().parents[2]
# Contours in order; the upper and the lower lip share their corners.
UPPER_LIP = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_LIP = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
RIGHT_EYE = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]
LEFT_EYE = [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249]
SKIN = 468  # the rest are irises


def inside(points, polygon):
    """Mask of the points within a polygon, by crossings."""
    result = np.zeros(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0)):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        at = a[0] + (points[:, 1] - a[1]) / np.where(a[1] == b[1], 1e-9, b[1] - a[1]) * (b[0] - a[0])
        result ^= crosses & (points[:, 0] < at)
    return result


def is_below_mouth(points):
    """1 below the line between the lips, 0 above it, between the two beside the mouth."""
    line = np.interp(points[:, 0], points[UPPER_LIP, 0], (points[UPPER_LIP, 1] + points[LOWER_LIP, 1]) / 2)
    beside = np.abs(points[:, 0]) >= abs(points[78, 0])
    softly = 1 / (1 + np.exp((points[:, 1] - line) / 6))
    return np.where(beside, softly, points[:, 1] < line)


def main():
    points = np.array(json.loads((ROOT / "models/canonical_head.json").read_text())["points"])[:SKIN]
    flat = points[:, :2].copy()
    flat[:, 1] -= 15 * is_below_mouth(points)
    triangles = Delaunay(flat).simplices
    # Outside the outline Delaunay fills dents with slivers.
    edges = flat[triangles] - np.roll(flat[triangles], 1, axis=1)
    keep = np.linalg.norm(edges, axis=2).max(axis=1) < 28
    middle = flat[triangles].mean(axis=1)
    for hole in (UPPER_LIP + LOWER_LIP[-2:0:-1], RIGHT_EYE, LEFT_EYE):
        keep &= ~inside(middle, flat[hole])
    triangles = triangles[keep]
    # Counter-clockwise from in front.
    a, b, c = (flat[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    face = {
        "about": "The skin's landmarks of models/canonical_head.json, head space, mm, and triangles between them; made by training/correspondence/web_face.py",
        "points": np.round(points, 2).tolist(),
        "triangles": triangles.tolist(),
    }
    (ROOT / "clients/web/face.json").write_text(json.dumps(face, separators=(",", ":")) + "\n")
    print(len(points), "points", len(triangles), "triangles")


if __name__ == "__main__":
    main()

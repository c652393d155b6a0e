#!/usr/bin/env python3
"""Find where the 68 iBUG points lie among the landmarks: the table `IBUG68` of src/face.rs.

Annotators put the 68 points elsewhere than MediaPipe's mesh has its own: the jaw's lie beyond its rim, the brows' lower. Each is looked for
on the line through two landmarks that are near each other, the first of the same contour, where its mean distance from the
annotations of stills is least; both sides of the face share one answer. Prints the table, and what the error is on stills that had no
part in it.

    facetrackd --source STILLS --jsonl stills.jsonl
    python -m correspondence.ibug stills.jsonl LABELS.npz      # some ten seconds

LABELS.npz holds `pts68` (n, 68, 2) in pixels and `abs_yaw` (n,) in degrees, in the order of the stills' names.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from expression.coefficients import LANDMARK_MIRROR

HEAD = Path(__file__).resolve().parents[2] / "models/canonical_head.json"
MESH, FOLDS = 468, 4
# The landmark next to each of the 68, where one will do.
NEAREST = [
    127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356, 70, 63, 105, 66, 107, 336, 296, 334, 334, 300,
    168, 197, 5, 4, 75, 99, 2, 326, 305, 246, 160, 158, 173, 153, 144, 398, 385, 386, 466, 373, 380,
    61, 39, 37, 0, 267, 269, 292, 404, 314, 17, 84, 180, 62, 38, 12, 268, 308, 317, 14, 87,
]
# A share is told in twentieths: more is not known of where annotators click.
STEP = 0.05
# How much a point's shares cost: those far outside of their two landmarks carry on the noise of both.
NOISE = 5e-5
# Eye distances between the two landmarks of a line at most, on the jaw and elsewhere.
REACH_JAW, REACH = 0.39, 0.29
# Of the face's size. What is worse was not the same face.
MISS_MAX = 0.15

_UPPER_LID, _LOWER_LID = [246, 161, 160, 159, 158, 157, 173], [7, 163, 144, 145, 153, 154, 155]
_JAW, _BROW = [127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152], [70, 63, 105, 66, 107, 46, 53, 52, 65, 55]
_BRIDGE, _NOSTRIL = [168, 6, 197, 195, 5, 4, 1], [98, 97, 60, 75, 99, 240, 20, 238, 242, 141]
_OUTER_UPPER, _OUTER_LOWER = [185, 40, 39, 37, 74, 73, 72], [146, 91, 181, 84, 90, 180, 85]
# Points of the subject's right and of the middle, the landmarks whose contour they are of, and how far the shares go.
CONTOURS = [
    (range(9), _JAW, (-0.6, 0.5)), (range(17, 22), _BROW, (-0.3, 0.3)), (range(27, 31), _BRIDGE, (-0.3, 0.3)),
    ([31, 32], _NOSTRIL, (-0.3, 0.3)), ([33], [2, 94, 164, 19], (-0.3, 0.3)), ([36], [33, 246, 7], (-0.2, 0.2)),
    ([37, 38], _UPPER_LID, (-0.2, 0.2)), ([39], [133, 173, 155], (-0.2, 0.2)), ([40, 41], _LOWER_LID, (-0.2, 0.2)),
    ([48], [61, 76, 62, 185, 146], (-0.2, 0.2)), ([49, 50], _OUTER_UPPER, (-0.2, 0.2)), ([51], [0, 11, 12], (-0.2, 0.2)),
    ([57], [17, 16, 15], (-0.2, 0.2)), ([58, 59], _OUTER_LOWER, (-0.2, 0.2)), ([60], [78, 62, 191, 95], (-0.2, 0.2)),
    ([61], [80, 81, 82, 42, 41, 38], (-0.2, 0.2)), ([62], [13, 12], (-0.2, 0.2)), ([66], [14, 15], (-0.2, 0.2)),
    ([67], [87, 88, 178, 179, 86], (-0.2, 0.2)),
]  # fmt: skip
MIRROR68 = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


def stills(lines, labels):
    """Landmarks (n, 468, 2) and points (n, 68, 2) in units of the face's size, and the yaws."""
    landmarks, points, yaws = [], [], []
    for line, wanted, yaw in zip(lines, labels["pts68"].astype(float), labels["abs_yaw"], strict=True):
        size, middle = np.sqrt(np.ptp(wanted, 0).prod()), wanted.mean(0)
        for face in json.loads(line)["faces"]:
            if np.linalg.norm(np.array(face["landmarks68"]) - wanted, axis=1).mean() < MISS_MAX * size:
                landmarks.append((np.array(face["landmarks"])[:MESH, :2] - middle) / size)
                points.append((wanted - middle) / size)
                yaws.append(yaw)
                break
    return np.array(landmarks), np.array(points), np.array(yaws)


def neighbours(of, head, reach):
    """Landmarks within `reach` eye distances of this one, on its side of the face or in the middle."""
    eyes = np.linalg.norm(head[33] - head[263])
    away = np.linalg.norm(head - head[of], axis=1)
    side = np.sign(head[of, 0]) * (abs(head[of, 0]) > 0.01 * eyes)
    near = (away < reach * eyes) & (head[:, 0] * side > -0.01 * eyes) & (away > 0)
    # A point of the middle stays there.
    return np.flatnonzero(near if side else near & (LANDMARK_MIRROR[:MESH] == np.arange(MESH)))


def both_sides(landmarks, points, point):
    """(2, 2n, 468) and (2, 2n): what is seen and wanted of the point and of its mirror image, x and y."""
    here, there = landmarks.transpose(2, 0, 1), landmarks[:, LANDMARK_MIRROR[:MESH]].transpose(2, 0, 1)
    return np.concatenate([here, there], 1), np.concatenate([points[:, point], points[:, MIRROR68[point]]]).T


def place(landmarks, points, point, contour, shares, head):
    """(first, second, share): the line and how far along it."""
    seen, wanted = both_sides(landmarks, points, point)
    offset = seen - wanted[:, :, None]
    first = contour[int(np.linalg.norm(offset[:, :, contour], axis=0).mean(0).argmin())]
    miss = np.linalg.norm(offset[:, :, first], axis=0)
    others = {first: neighbours(first, head, REACH_JAW if contour is _JAW else REACH) for first in contour}
    lines = [first for first in contour if MIRROR68[point] != point or LANDMARK_MIRROR[first] == first]
    for _ in range(3):
        # The mean of distances, by weighted squares.
        weight = 1 / np.maximum(miss, 0.01)
        _, *found = min(candidate(seen, wanted, weight, first, others[first], shares) for first in lines)
        miss = np.linalg.norm(at(seen, *found) - wanted, axis=0)
    return found


def candidate(seen, wanted, weight, first, others, shares):
    """The cost of the best of the lines from `first`, and which it is."""
    way, aim = seen[:, :, others] - seen[:, :, [first]], wanted - seen[:, :, first]
    length = np.einsum("cnl,cnl,n->l", way, way, weight)
    along = np.einsum("cnl,cn,n->l", way, aim, weight)
    share = (along / (length + 2 * NOISE * weight.sum() + 1e-9)).clip(*shares)
    share = np.round(share / STEP) * STEP
    cost = np.einsum("cn,cn,n", aim, aim, weight) - 2 * share * along + share**2 * length
    cost = cost + NOISE * weight.sum() * (share**2 + (1 - share) ** 2)
    i = int(cost.argmin())
    return float(cost[i]), first, int(others[i]), round(float(share[i]), 2)


def at(landmarks, first, second, share):
    return landmarks[..., first] + share * (landmarks[..., second] - landmarks[..., first])


def table(landmarks, points, head):
    """(first, second, share) of all 68."""
    rows = [None] * 68
    for those, contour, shares in CONTOURS:
        for point in those:
            first, second, share = place(landmarks, points, point, contour, shares, head)
            rows[point] = first, second, share
            if MIRROR68[point] != point:
                rows[MIRROR68[point]] = int(LANDMARK_MIRROR[first]), int(LANDMARK_MIRROR[second]), share
    return rows


def misses(rows, landmarks, points):
    """(n,): the mean error of each still, in percent."""
    found = np.stack([at(landmarks.transpose(0, 2, 1), *row) for row in rows], 1)
    return 100 * np.linalg.norm(found - points, axis=2).mean(1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stills", type=Path, help="JSON lines with all landmarks, one for each still")
    p.add_argument("labels", type=Path, help=".npz with pts68 and abs_yaw")
    a = p.parse_args()
    landmarks, points, yaws = stills(a.stills.read_text().splitlines(), np.load(a.labels))
    head = np.array(json.loads(HEAD.read_text())["points"])[:MESH]
    unseen = np.zeros(len(landmarks))
    for fold in np.array_split(np.random.default_rng(1).permutation(len(landmarks)), FOLDS):
        rest = np.setdiff1d(np.arange(len(landmarks)), fold)
        unseen[fold] = misses(table(landmarks[rest], points[rest], head), landmarks[fold], points[fold])
    rows = table(landmarks, points, head)
    seen = misses(rows, landmarks, points)
    for low, high in ((0, 30), (30, 60), (60, 91)):
        these = (yaws >= low) & (yaws < high)
        print(f"{low:2} to {high} degrees: {seen[these].mean():.2f} %, of stills that had no part {unseen[these].mean():.2f} %")
    for first in range(0, 68, 6):
        print("    " + " ".join(f"({i}, {j}, {share:.4g})," for i, j, share in rows[first : first + 6]))


if __name__ == "__main__":
    main()

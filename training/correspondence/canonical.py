"""The canonical head: the 478 landmarks of the mean head in head space, and how they vary from person to person.

The identity modes are the principal components of the landmarks under the head model's own distribution of people, head
space's origin taken out of each. A person is points + sum of coefficient times mode, coefficients of unit variance.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from render.pack import IRIS_RADIUS_MM, MM_PER_UNIT, Pack

from .surface import OUTER_CORNERS, Landmarks478

#: Iris points (centre, rim) of the subject's right and left eye.
IRISES = {"right": (468, range(469, 473)), "left": (473, range(474, 478))}
#: The eye turns about a point 10.3 mm behind the plane of the iris's rim: 13.5 mm behind the cornea's apex (Fry and Hill
#: 1962), less 3.2 mm from apex to limbus. The head model's own eyeball is too large: its rim is 16 mm before its centre.
ROTATION_TO_IRIS_MM = 10.3


def head_space(landmarks, vertices):
    """Landmarks of a face at rest in head space, millimetres, iris centres in the plane of their rim."""
    points = landmarks.on(vertices) * MM_PER_UNIT
    for centre, rim in IRISES.values():
        points[centre] = points[list(rim)].mean(0)
    return points - points[list(OUTER_CORNERS)].mean(0)


def eyes(points):
    """Rotation centre and the axis through the iris of each eye that looks straight ahead."""
    out = {}
    for side, (centre, rim) in IRISES.items():
        right, up, left, down = points[list(rim)]
        axis = np.cross(right - left, up - down)
        axis /= np.linalg.norm(axis)
        out[side] = {"centre": points[centre] - axis * ROTATION_TO_IRIS_MM, "axis": axis}
    return out


def identity_modes(pack, landmarks, count):
    """Modes (count, 478, 3) in mm of unit variance, and the share of variance that they hold."""
    mean = head_space(landmarks, pack.neutral)
    columns = [head_space(landmarks, pack.neutral + mode) - mean for mode in pack.identity.astype(float)]
    matrix = np.array(columns).reshape(len(columns), -1)
    _, size, directions = np.linalg.svd(matrix, full_matrices=False)
    modes = (size[:count, None] * directions[:count]).reshape(count, -1, 3)
    # The sign of a component is arbitrary: let the strongest coordinate be positive, so that reruns agree.
    strongest = np.take_along_axis(modes.reshape(count, -1), np.abs(modes.reshape(count, -1)).argmax(1)[:, None], 1)
    return modes * np.sign(strongest)[:, :, None], np.cumsum(size**2)[count - 1] / (size**2).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    parser.add_argument("--landmarks", type=Path, required=True, help="landmarks478.json")
    parser.add_argument("--out", type=Path, required=True, help="canonical_head.json")
    parser.add_argument("--modes", type=int, default=20, help="identity modes (default 20)")
    args = parser.parse_args()

    pack, landmarks = Pack(args.assets), Landmarks478(args.landmarks)
    points = head_space(landmarks, pack.neutral)
    modes, share = identity_modes(pack, landmarks, args.modes)
    rounded = lambda a: np.round(a, 3).tolist()
    columns = {
        "about": "MediaPipe's 478 face landmarks of the mean head at rest, head space, millimetres; see canonical_head.md",
        "points": rounded(points),
        "eyes": {side: {k: np.round(v, 4).tolist() for k, v in e.items()} for side, e in eyes(points).items()},
        "iris_radius_mm": IRIS_RADIUS_MM, "rotation_to_iris_mm": ROTATION_TO_IRIS_MM,
        "mirror": landmarks.mirror.tolist(), "modes": rounded(modes),
    }
    args.out.write_text("{\n" + ",\n".join(f'"{k}":{json.dumps(v, separators=(",", ":"))}' for k, v in columns.items()) + "\n}\n")

    apart = lambda a, b: np.linalg.norm(points[a] - points[b])
    print(f"iris to iris {apart(468, 473):.1f} mm, outer corners {apart(*OUTER_CORNERS):.1f} mm, iris width {apart(469, 471):.2f} mm")
    print(f"face height 10 to 152 {apart(10, 152):.1f} mm, width 234 to 454 {apart(234, 454):.1f} mm, nose tip {points[1].round(1)}")
    print(f"{args.modes} modes hold {share:.1%} of the variance; RMS mm of each: {np.sqrt((modes**2).sum(2).mean(1)).round(2)}")


if __name__ == "__main__":
    main()

"""Where a crop lies in a rendered picture, and what the labels become in it.

`crop` is the network's input square: x right, y down, 0 to 1. The crop's own camera looks along the ray through the
square's middle and is turned with it, so that a face looks the same wherever in the frame it stands; rotation, gaze and
light are given in that camera. `src/infer/face.rs` holds the way back.
"""

import numpy as np

from expression.align import align, tilt
from expression.coefficients import LANDMARK_MIRROR, MIRROR

# Side of the square over the longer side of the landmarks' box; `src/infer/face.rs` cuts alike.
MARGIN = 1.35


def roi_around(points):
    """Centre, side and turn of the upright square around landmarks (n, 2), as a tracker cuts it."""
    low, high = points.min(0), points.max(0)
    return 0.5 * (low + high), MARGIN * float((high - low).max()), tilt(points)


def crop_from_picture(centre, side, turn):
    """(2, 3) affine map into the unit square."""
    c, s = np.cos(turn) / side, np.sin(turn) / side
    linear = np.array([[c, s], [-s, c]])
    return np.column_stack([linear, 0.5 - linear @ centre])


def compose(second, first):
    """The affine map that applies `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def apply(affine, points):
    return points @ affine[:, :2].T + affine[:, 2]


def targets(label, matrix):
    """What the network is to say of a face seen through `matrix`, the crop_from_picture of this view."""
    crop_from_frame = compose(matrix, label["picture_from_frame"].astype(np.float64))
    turn, depth, origin = camera_of(label, crop_from_frame)
    rotation = turn @ label["rotation"]
    # Depth along the crop's ray: along the frame's axis it would grow to one side, which the crop cannot know.
    away = label["head_mm"].astype(np.float64) @ rotation[2] / (1000 * np.exp(depth))
    return {
        "landmarks": np.column_stack([apply(matrix, label["landmarks"][:, :2].astype(np.float64)), away]).astype(np.float32),
        "blendshapes": label["blendshapes"].astype(np.float32),
        "rotation": rotation.astype(np.float32),
        "place": np.array([*origin, depth], np.float32),
        "gaze": (label["gaze"] @ turn.T).astype(np.float32),
        "openness": label["eye_openness_mm"].astype(np.float32) / 10,
        "light": turned_sh(label["light_sh"], turn).astype(np.float32),
        "identity": label["identity"].astype(np.float32),
        "visible": label["visible"].astype(np.float32) / 255,
    }


def camera_of(label, crop_from_frame):
    """Of the crop's camera: its rotation from the frame's camera, the logarithm of the crop's side in metres at the
    head's depth, and where the head's origin is seen."""
    focal, principal = float(label["focal_px"]), label["principal_px"].astype(np.float64)
    frame_from_crop = np.linalg.inv(crop_from_frame[:, :2])
    middle = frame_from_crop @ (np.array([0.5, 0.5]) - crop_from_frame[:, 2])
    ray = np.append((middle - principal) / focal, 1.0)
    roll = np.arctan2(crop_from_frame[1, 0], crop_from_frame[0, 0])
    turn = _about_z(roll) @ _onto_z(ray / np.linalg.norm(ray))
    place = turn @ label["translation_mm"].astype(np.float64)
    # A frame's pixels grow with the distance from its middle: this is the scale at the ray.
    side_px = 1.0 / np.hypot(crop_from_frame[0, 0], crop_from_frame[1, 0])
    focal_here = focal * np.linalg.norm(ray)
    origin = 0.5 + place[:2] / place[2] * focal_here / side_px
    return turn, np.log(place[2] * side_px / focal_here / 1000), origin


def _about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _onto_z(ray):
    """The smallest rotation that takes a unit vector to (0, 0, 1)."""
    x, y, z = ray
    k = 1.0 / (1.0 + z)
    return np.array([[1 - k * x * x, -k * x * y, -x], [-k * x * y, 1 - k * y * y, -y], [x, y, z]])


def _sh_basis(d):
    x, y, z = d.T
    return np.column_stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])


_DIRECTIONS = np.random.default_rng(1).normal(size=(24, 3))
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
_FIT = np.linalg.pinv(_sh_basis(_DIRECTIONS))


def turned_sh(light, turn):
    """(9, 3) spherical harmonics of the same light in a camera that is turned by `turn`."""
    return _FIT @ (_sh_basis(_DIRECTIONS @ turn) @ light)


def mirrored(picture, label, neutral):
    """The face in a mirror. Identity is not mirrored: the head model's codes have no mirror image; its loss is left
    out where `mirrored` is set."""
    width = picture.shape[1]
    out = {name: np.array(label[name]) for name in label.dtype.names}
    out["landmarks"] = out["landmarks"][LANDMARK_MIRROR] * [-1, 1, 1] + [width, 0, 0]
    out["visible"] = out["visible"][LANDMARK_MIRROR]
    out["head_mm"] = out["head_mm"][LANDMARK_MIRROR] * np.array([-1, 1, 1], np.float16)
    out["blendshapes"] = out["blendshapes"][MIRROR]
    flip = np.diag([-1.0, 1.0, 1.0])
    out["rotation"] = flip @ out["rotation"] @ flip
    out["translation_mm"] = out["translation_mm"] * [-1, 1, 1]
    out["gaze"] = out["gaze"][::-1] * [-1, 1, 1]
    out["eye_openness_mm"] = out["eye_openness_mm"][::-1]
    out["light_sh"] = out["light_sh"] * np.array([1, 1, 1, -1, -1, 1, 1, -1, 1])[:, None]
    # Frame and picture are both mirrored: x of the frame runs from its other side.
    affine = out["picture_from_frame"].astype(np.float64)
    a, b = affine[:, :2], affine[:, 2]
    frame_width = float(out["frame_px"][0])
    linear = flip[:2, :2] @ a @ flip[:2, :2]
    shift = flip[:2, :2] @ (a @ [frame_width, 0] + b) + [width, 0]
    out["picture_from_frame"] = np.column_stack([linear, shift])
    out["principal_px"] = np.array([frame_width - out["principal_px"][0], out["principal_px"][1]])
    return np.ascontiguousarray(picture[:, ::-1]), out, neutral[LANDMARK_MIRROR] * np.array([-1, 1, 1], np.float32)


def aligned_neutrals(labels):
    """(n, 478, 3) the persons at rest, as `solve::align` would give them from a view from far away."""
    return align(labels["neutral_mm"].astype(np.float64) * [1, -1, -1])[0]

"""The 52 ARKit coefficients in ARKit's order, as `src/face.rs` lists them; left and right are the subject's."""

import json
import re
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
NAMES = re.findall(r'[A-Z]\w+ = "(\w+)"', (_ROOT / "src/face.rs").read_text())
if len(NAMES) != 52:
    raise SystemExit(f"{len(NAMES)} blendshapes found in src/face.rs, 52 expected")
INDEX = {name: i for i, name in enumerate(NAMES)}


def _mirrored(name):
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


MIRROR = np.array([INDEX[_mirrored(n)] for n in NAMES])

_sets = json.loads((Path(__file__).parent / "landmark_sets.json").read_text())
# The landmark on the other side of the face, found on the mean of rendered faces; 28 lie on the midline.
LANDMARK_MIRROR = np.array(_sets["mirrored"])
# Landmarks that the network looks at: eyes, irises, brows, lips, nose, jaw and a grid on the cheeks; symmetric.
INPUT_LANDMARKS = np.array(_sets["input"])

# Parts of the face that move by themselves, with the coefficients that move them; LOWER is all the rest.
RIGHT_EYE = np.array(_sets["right_eye"])
LEFT_EYE = LANDMARK_MIRROR[RIGHT_EYE]
BROWS = np.array(_sets["brows"])
LOWER = np.setdiff1d(np.arange(len(LANDMARK_MIRROR)), np.concatenate([LEFT_EYE, RIGHT_EYE, BROWS]))


def _named(*stems, side=""):
    return np.array([i for n, i in INDEX.items() if n.startswith(stems) and n.endswith(side)])


PARTS = [
    (LEFT_EYE, _named("eye", side="Left")),
    (RIGHT_EYE, _named("eye", side="Right")),
    (BROWS, _named("brow")),
    (LOWER, _named("jaw", "mouth", "cheek", "nose", "tongue")),
]


def ict_names(name):
    """The ICT shapes that one ARKit coefficient drives; browInnerUp and cheekPuff drive both sides."""
    if name in ("browInnerUp", "cheekPuff"):
        return [name + "_L", name + "_R"]
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return [name]
    for side in ("Left", "Right"):
        if name.endswith(side):
            return [f"{name.removesuffix(side)}_{side[0]}"]
    return [name]

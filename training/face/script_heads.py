#!/usr/bin/env python3
"""Heads as the sample script beside the head asset pack draws them, with what they do: the measure that the goals for renders were set on.

    python -m face.script_heads reference/sample_render.py packs/measure DIR      # DIR/000000.png and so on, DIR/labels.npz
    facetrackd --source DIR --jsonl ours.jsonl
    python -m face.stills score DIR ours.jsonl

The script is not in this repository. It takes the pack that stands beside its folder; here it is given the one that is named.
"""

import argparse
import importlib.util
import tempfile
from pathlib import Path

import cv2
import numpy as np

from expression.coefficients import NAMES
from face.stills import LABELS
from render.pack import LOOK_DOWN_RAD, LOOK_SIDEWAYS_RAD, LOOK_UP_RAD

# From the script's axes, y up and z towards the camera, to the camera's, y down and z away.
TO_CAMERA = np.diag([1.0, -1, -1])
TELL_EVERY = 100


def loaded(script, pack):
    """The script as a module, with this pack."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "assets").symlink_to(pack.resolve())
        (folder / "reference").mkdir()
        copy = folder / "reference" / script.name
        copy.write_bytes(script.read_bytes())
        spec = importlib.util.spec_from_file_location("sample_script", copy)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # The folder goes, and textures are read as they are needed.
        module.A = str(pack)
        return module


def coefficients(shapes, names):
    """The 52 of the pack's shapes (n, m) with these names. Both sides of what ARKit moves as one are alike."""
    column = {name: i for i, name in enumerate(names)}

    def of(name):
        sided = name.replace("Left", "_L").replace("Right", "_R")
        return next(column[n] for n in (name, sided, name + "_L") if n in column)

    return shapes[:, [of(name) for name in NAMES]].clip(0, 1)


def gaze(script, shape_of):
    """Where the eyes look in the head, as the script turns them: (2, 3), left first."""
    looks = []
    for eye, side in enumerate("LR"):
        out, inward, up, down = (shape_of(f"eyeLook{way}_{side}") for way in ("Out", "In", "Up", "Down"))
        yaw, pitch = LOOK_SIDEWAYS_RAD * (out - inward) * (1 - 2 * eye), LOOK_DOWN_RAD * down - LOOK_UP_RAD * up
        looks.append(script.rot(np.degrees(yaw), np.degrees(pitch), 0) @ [0, 0, 1])
    return np.stack(looks)


def draw(script, renderer, rng, path):
    """Draws one head, and says what it does, turns and looks in the camera's axes: all stand near its line of sight."""
    head = script.sample(renderer, rng)
    if head["hairstyle"] not in renderer.hair:
        head["hairstyle"] = None
    picture, _ = renderer.render(head)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    turn = TO_CAMERA @ head["R"]
    looks = gaze(script, lambda name: float(head["ex"][script.NAMES.index(name)]))
    return {"shapes": head["ex"], "rotation": turn, "gaze": looks @ turn.T}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("script", type=Path, help="the sample script")
    p.add_argument("pack", type=Path, help="head asset pack; `measure` of face.split_pack has skins, hair and light never learnt from")
    p.add_argument("out", type=Path, help="folder for the pictures and labels.npz")
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--size", type=int, default=384, help="pixels of a side")
    a = p.parse_args()
    if not (a.pack / "ict_light.npz").exists():
        p.error(f"{a.pack} is no head asset pack: it has no ict_light.npz")
    script = loaded(a.script, a.pack)
    renderer, rng = script.Renderer(a.size), np.random.default_rng(a.seed)
    a.out.mkdir(parents=True, exist_ok=True)
    heads = []
    for i in range(a.count):
        heads.append(draw(script, renderer, rng, a.out / f"{i:06}.png"))
        if (i + 1) % TELL_EVERY == 0:
            print(f"{i + 1}/{a.count} heads", flush=True)
    told = {name: np.stack([head[name] for head in heads]) for name in heads[0]}
    told["blendshapes"] = coefficients(told.pop("shapes"), script.NAMES)
    np.savez(a.out / LABELS, **told)


if __name__ == "__main__":
    main()

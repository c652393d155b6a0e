#!/usr/bin/env python3
"""Divide a head asset pack in two: one to learn from, one with skins, hair and light that are kept for measuring.

Heads differ too: the held-out renders take another seed, and no two seeds draw the same identity.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

# Each kind is held out in part; dark and light, male and female skins, long and short hair, indoors and outdoors.
HELD_OUT = {
    "skins": ("old_darkskinned_male", "young_lightskinned_female3", "middleage_lightskinned_male2"),
    "hair": ("short02", "ponytail01"),
    "backgrounds": ("lobby", "park", "workshop"),
    "iris": ("bluegreen", "brownlight"),
    "brows": ("eyebrow004", "eyebrow009"),
}
SHARED = ("arkit_motion.npz", "ict_light.npz", "torso.npz")


def stem(path):
    return path.stem.removesuffix("_face").removesuffix("_head")


def divide(pack, out, held_out):
    """Copies what belongs to one side. Skins, hair and so on are whole folders; lights are the arrays of one file."""
    out.mkdir(parents=True)
    for name in SHARED:
        shutil.copy(pack / name, out / name)
    for folder, kept in HELD_OUT.items():
        (out / folder).mkdir()
        names = {stem(p) for p in (pack / folder).iterdir()}
        missing = set(kept) - names
        if missing:
            raise SystemExit(f"{pack / folder} has no {', '.join(sorted(missing))}; is it another version of the pack?")
        for path in (pack / folder).iterdir():
            if (stem(path) in kept) == held_out:
                shutil.copy(path, out / folder / path.name)
    with np.load(pack / "hdri.npz") as lights:
        chosen = {n: lights[n] for n in lights.files if (n in HELD_OUT["backgrounds"]) == held_out}
    np.savez_compressed(out / "hdri.npz", **chosen)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("pack", type=Path, help="the head asset pack")
    p.add_argument("out", type=Path, help="folder for `learn` and `measure`; must not exist")
    a = p.parse_args()
    for name, held_out in (("learn", False), ("measure", True)):
        divide(a.pack, a.out / name, held_out)
        size = sum(f.stat().st_size for f in (a.out / name).rglob("*") if f.is_file())
        print(f"{a.out / name}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

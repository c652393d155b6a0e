#!/usr/bin/env python3
"""Write tests/fixtures/aligned_landmarks.json: two rendered faces and how align.py aligns them. Run export.py afterwards."""

import argparse
import json
from pathlib import Path

import numpy as np
from align import align, tilt
from dataset import read_shard

OUT = Path(__file__).resolve().parents[2] / "tests/fixtures/aligned_landmarks.json"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("expressive", type=Path, help="shard whose last face is taken")
    p.add_argument("calm", type=Path, help="shard whose first face is taken")
    a = p.parse_args()
    faces = []
    for path, k in ((a.expressive, -1), (a.calm, 0)):
        landmarks = read_shard(path)[0][k].round(2)
        aligned, _ = align(landmarks[None])
        rows = lambda values: [[round(float(v), 6) for v in row] for row in values]
        faces.append({"landmarks": rows(landmarks), "aligned": rows(aligned[0]), "tilt_rad": round(tilt(landmarks[:, :2]), 6)})
    OUT.write_text(json.dumps(faces, separators=(",", ":")))


if __name__ == "__main__":
    main()

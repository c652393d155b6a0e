"""How far expressions move each landmark: what the head pose may lean on, and what not.

    python -m correspondence.mobility --assets DIR --landmarks ../models/landmarks478.json --out ../models/landmark_mobility.json

Root mean square over the frames of the pack's ARKit recording, on the mean head, millimetres, both halves of the face
averaged. The irises have 0 here: the recording's eyes turn, but no shape of the pack moves them.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from render.pack import MM_PER_UNIT, Pack

from .surface import Landmarks478


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    parser.add_argument("--landmarks", type=Path, required=True, help="landmarks478.json")
    parser.add_argument("--out", type=Path, required=True, help="landmark_mobility.json")
    args = parser.parse_args()

    pack, landmarks = Pack(args.assets), Landmarks478(args.landmarks)
    still = landmarks.on(pack.neutral)
    shapes = np.array([landmarks.on(pack.neutral + shape.astype(float)) - still for shape in pack.expression]) * MM_PER_UNIT
    motion = dict(np.load(args.assets / "arkit_motion.npz"))
    names = [str(n) for n in motion["names"][:52]]
    weights = np.array([pack.shapes_from_arkit(dict(zip(names, row))) for row in motion["frames"][:, :52]])
    # The sum over frames of a squared length needs only the second moments of the weights.
    moments = weights.T.astype(float) @ weights / len(weights)
    rms = np.sqrt(np.einsum("ij,inx,jnx->n", moments, shapes, shapes))
    rms = (rms + rms[landmarks.mirror]) / 2
    args.out.write_text(json.dumps({"expression_rms_mm": np.round(rms, 2).tolist()}, separators=(",", ":")) + "\n")
    print(f"median {np.median(rms):.2f} mm; nose bridge {rms[168]:.2f}, outer eye corner {rms[33]:.2f}, forehead {rms[10]:.2f}, "
          f"upper lid {rms[159]:.2f}, brow {rms[105]:.2f}, cheek {rms[117]:.2f}, lip {rms[17]:.2f}, chin {rms[152]:.2f}")


if __name__ == "__main__":
    main()

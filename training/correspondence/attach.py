"""Turns observations into a fixed place on the head model for each of MediaPipe's 478 landmarks.

A landmark starts at the robust mean of where it hit the mean head, over the pictures in which that skin faces the camera. Then
it is moved to where it lands closest to MediaPipe's landmarks in all pictures at once (robust least squares over the views,
which also fixes its depth where the skin is seen edge-on), averaged with its mirrored partner, and brought back to the skin;
this is repeated. At the end the contours of lids and inner lips go to the margin of their own lid or lip: pictures of open
eyes and mouths do not tell how far in they lie, and a contour off the margin would not meet its partner when the eye or the
mouth shuts. Iris points are not measured: they are the middle and the rim of the model's iris. Every fifth picture is kept
apart and scores the result.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from render.camera import Camera
from render.pack import IRIS_RADIUS_MM, MM_PER_UNIT, Pack

from .surface import at_texture, attach, attach_to_edges, positions, rings

MESH_POINTS = 468
#: Iris points in MediaPipe's order: centre, then towards the image's right, up, the image's left, down of an upright face.
#: The subject's left is the image's right.
RIM = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1))
IRIS_PARTS = "scr", "scl"
IRIS_MIRROR = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]
#: Pack units a step of one in the eye's texture covers at its middle, measured on the mesh.
EYE_UNITS_PER_UV = 5.106
#: Skin turned away further than this (cosine) is a silhouette, where a pixel says little about the place.
FACING_MIN, FACING_MIN_RELAXED = 0.35, 0.12
SAMPLES_MIN = 40
#: Huber's threshold of the robust mean.
HUBER_MM = 2.0
#: A view in which the landmark's own skin is hidden counts this much: FaceMesh guesses there, but guesses well.
HIDDEN_WEIGHT = 0.2
#: A hit further from the landmark's place than this is of something that stands before it.
SAME_PLACE_MM = 12.0
REFINEMENTS = 6
#: Depth that the views hardly tell stays where it is: a share of what a view adds where it sees a move squarely.
DAMPING = 0.01
#: The inner contour of the lips without its corners, MediaPipe's `FACEMESH_LIPS`. Shut lips touch, so the nearest skin may be
#: the wrong lip's: these are held to their own.
INNER_LIPS = {"lower": [95, 88, 178, 87, 14, 317, 402, 318, 324], "upper": [191, 80, 81, 82, 13, 312, 311, 310, 415]}
#: Contours of the lids without their corners, MediaPipe's `FACEMESH_RIGHT_EYE` and `FACEMESH_LEFT_EYE`.
LIDS = [
    [246, 161, 160, 159, 158, 157, 173], [7, 163, 144, 145, 153, 154, 155],
    [466, 388, 387, 386, 385, 384, 398], [249, 390, 373, 374, 380, 381, 382],
]
#: Rows of edges from the skin's border to the margin: on the lids the edge where the lashes begin, which meets the other
#: lid's when the eye is shut; on the lips the line along which they touch, that of the model's own iBUG points.
LID_ROW, LIP_ROW = 4, 7
#: The eyes' and the mouth's openings lie next to these places, pack units.
EYE_OPENINGS, MOUTH_OPENING = ([-3.2, 3.5, 9.1], [3.2, 3.5, 9.1]), [0.0, -3.4, 10.3]
#: The pictures tell a contour's height and width better than its depth.
MARGIN_STRETCH = np.array([1.0, 1.0, 0.25])
#: A triangle belongs to the lower lip if an opening jaw takes it along by more than this share of the way.
JAW_SHARE = 0.45


def robust_place(place, facing):
    """Robust mean (3) of one landmark's hits (n, 3)."""
    seen = ~np.isnan(place[:, 0])
    good = seen & (facing > FACING_MIN)
    if good.sum() < SAMPLES_MIN:
        good = seen & (facing > FACING_MIN_RELAXED)
    hits, weight = place[good], facing[good]
    mean = np.median(hits, 0)
    for _ in range(30):
        distance = np.linalg.norm(hits - mean, axis=1) * MM_PER_UNIT
        w = weight * np.minimum(1, HUBER_MM / np.maximum(distance, 1e-6))
        mean = (hits * w[:, None]).sum(0) / w.sum()
    return mean


def mirror_pairs(observations):
    """For each mesh landmark its partner on the other half of the face (itself on the midline), from the landmarks'
    own mean shape in the head's axes: pictures with an open mouth keep upper and lower lip apart there.
    """
    points = observations["landmarks"].astype(float)
    shapes = []
    for p, rotation in zip(points, observations["rotation"].astype(float)):
        head = (p - p[1]) @ rotation  # image axes are the camera's; z of FaceMesh points away from it as well
        shapes.append(head / np.linalg.norm(head[33] - head[263]))
    mean = np.mean(shapes, 0)[:MESH_POINTS]
    cost = np.linalg.norm(mean[:, None] * [-1, 1, 1] - mean[None], axis=2)
    cost = cost**2 + (cost**2).T
    partner = linear_sum_assignment(cost)[1]
    unpaired = np.nonzero(partner[partner] != np.arange(MESH_POINTS))[0]
    if len(unpaired):
        raise SystemExit(f"no mirrored partner for landmarks {unpaired}: use more pictures")
    return partner


def iris_points(pack):
    """The ten iris points: vertex indices, barycentrics, part."""
    step = IRIS_RADIUS_MM / MM_PER_UNIT / EYE_UNITS_PER_UV
    found = [(part, *at_texture(pack, part, (0.5 + u * step, 0.5 + v * step))) for part in IRIS_PARTS for u, v in RIM]
    return [f[1] for f in found], [f[2] for f in found], [f[0] for f in found]


class Views:
    """The pictures as cameras: where a point of the head model lands in each, against FaceMesh's landmarks."""

    def __init__(self, pack, observations, rows):
        size = int(observations["size"])
        self.camera = Camera(size, size, float(observations["fov_rad"]))
        self.rows, self.observations = rows, observations
        self.vertices = np.array([pack.vertices(observations["identity"][k], observations["shapes"][k]) for k in rows], np.float32)
        self.rotation = observations["rotation"][rows].astype(float)
        self.translation = observations["translation_mm"][rows].astype(float)
        #: millimetres of a pixel at the head's depth
        self.pixel_mm = self.translation[:, 2] / self.camera.focal_px

    def offsets(self, index, weights):
        """FaceMesh minus attached landmark, mm at the head's depth (views, n, 2), and the attached ones in camera space."""
        found = self.observations["landmarks"][self.rows][:, : len(index), :2]
        head = (positions(self.vertices, index, weights) - self.observations["origin"][self.rows][:, None]) * MM_PER_UNIT
        seen = np.einsum("vij,vnj->vni", self.rotation, head) + self.translation[:, None]
        return (found - self.camera.project(seen)) * self.pixel_mm[:, None, None], seen

    def step(self, offsets, seen, weight):
        """The move (n, 3; pack units) that brings the landmarks closest to FaceMesh's: one robust Gauss-Newton step."""
        scale = (self.pixel_mm * self.camera.focal_px)[:, None] / seen[..., 2]
        slope = -seen[..., :2] / seen[..., 2:]
        turn = self.rotation[:, None] * MM_PER_UNIT
        jacobian = scale[..., None, None] * (turn[..., :2, :] + slope[..., None] * turn[..., 2:, :])
        w = weight * np.minimum(1, HUBER_MM / np.maximum(np.linalg.norm(offsets, axis=2), 1e-6))
        normal = np.einsum("vn,vnki,vnkj->nij", w, jacobian, jacobian)
        normal += np.eye(3) * DAMPING * MM_PER_UNIT**2 * w.sum(0)[:, None, None]
        return np.linalg.solve(normal, np.einsum("vn,vnki,vnk->ni", w, jacobian, offsets)[..., None])[..., 0]


def attach_to_skin(pack, points):
    """The closest skin to each mesh landmark, for the inner lips that of the right lip."""
    skin = pack.triangles[pack.of_parts(("face", "head"))]
    index, weights = attach(points, pack.neutral, skin)
    drop = pack.expression[pack.expression_names.index("jawOpen")][:, 1]
    lower = drop[skin].mean(1) < JAW_SHARE * drop[pack.landmarks68[57]]
    for lip, triangles in (("lower", skin[lower]), ("upper", skin[~lower])):
        index[INNER_LIPS[lip]], weights[INNER_LIPS[lip]] = attach(points[INNER_LIPS[lip]], pack.neutral, triangles)
    return index, weights


def hold_to_margins(pack, points, index, weights):
    """Moves the contours of lids and inner lips along the skin to the nearest place on their margin."""
    margins = []
    for number, lids in enumerate(LIDS):
        row = rings(pack, EYE_OPENINGS[number // 2], LID_ROW + 1)[LID_ROW]
        middle = pack.neutral[row].mean((0, 1))[1]
        above = pack.neutral[row][..., 1] >= middle
        margins.append((lids, row[(above if number % 2 == 0 else ~above).any(1)]))
    row = rings(pack, MOUTH_OPENING, LIP_ROW + 1)[LIP_ROW]
    drop = pack.expression[pack.expression_names.index("jawOpen")][:, 1]
    lower = drop[row] < JAW_SHARE * drop[pack.landmarks68[57]]
    margins += [(INNER_LIPS["lower"], row[lower.all(1)]), (INNER_LIPS["upper"], row[~lower.any(1)])]
    for contour, edges in margins:
        index[contour], weights[contour] = attach_to_edges(pack, points[contour], edges, MARGIN_STRETCH)
    return index, weights


def refine(pack, views, place, facing, index, weights, partner):
    """Moves the attached points as the views ask, back on the skin each time."""
    for _ in range(REFINEMENTS):
        points = positions(pack.neutral, index, weights)
        near = np.linalg.norm(place - points, axis=2) * MM_PER_UNIT < SAME_PLACE_MM
        visible = np.where(near & (facing > FACING_MIN_RELAXED), 1.0, HIDDEN_WEIGHT)
        points = points + views.step(*views.offsets(index, weights), visible)
        if partner is not None:
            points = (points + points[partner] * [-1, 1, 1]) / 2
        index, weights = attach_to_skin(pack, points)
    return points, index, weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    parser.add_argument("--observations", type=Path, required=True, help="what correspondence.observe wrote")
    parser.add_argument("--out", type=Path, required=True, help="landmarks478.json")
    parser.add_argument("--no-symmetry", action="store_true", help="leave left and right as they were measured")
    args = parser.parse_args()

    pack, observations = Pack(args.assets), dict(np.load(args.observations))
    apart = np.arange(len(observations["place"])) % 5 == 4
    place, facing = observations["place"][~apart, :MESH_POINTS].astype(float), observations["facing"][~apart, :MESH_POINTS]
    partner = mirror_pairs(observations)
    points = np.array([robust_place(place[:, i], facing[:, i]) for i in range(MESH_POINTS)])
    index, weights = attach_to_skin(pack, points)
    scored = Views(pack, observations, np.nonzero(apart)[0])
    before = np.linalg.norm(scored.offsets(index, weights)[0], axis=2)
    views = Views(pack, observations, np.nonzero(~apart)[0])
    points, index, weights = refine(pack, views, place, facing, index, weights, None if args.no_symmetry else partner)

    index, weights = hold_to_margins(pack, points, index, weights)
    to_skin = np.linalg.norm(points - positions(pack.neutral, index, weights), axis=1) * MM_PER_UNIT
    part_of = {tuple(t): pack.part_names[p] for t, p in zip(pack.triangles, pack.triangle_part)}
    iris_index, iris_weights, iris_parts = iris_points(pack)
    parts = [part_of[tuple(t)] for t in index] + iris_parts
    index, weights = np.concatenate([index, iris_index]), np.concatenate([weights, iris_weights])
    error = np.linalg.norm(scored.offsets(index, weights)[0], axis=2)
    columns = {
        "about": "MediaPipe's 478 face landmarks on the ICT-FaceKit surface; see canonical_head.md",
        "triangle": index.tolist(), "barycentric": np.round(weights, 4).tolist(), "part": parts,
        "mirror": np.concatenate([partner, IRIS_MIRROR]).tolist(),
        "residual_rms_mm": np.round(np.sqrt((error**2).mean(0)), 2).tolist(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("{\n" + ",\n".join(f'"{k}":{json.dumps(v, separators=(",", ":"))}' for k, v in columns.items()) + "\n}\n")
    still = ~observations["shapes"][apart].any(1)
    report(error, before, still, to_skin)


def report(error, before, still, to_skin):
    """Prints how good the correspondence is; `error` and `before` are (views, landmarks) of the pictures kept apart."""
    mesh = error[:, :MESH_POINTS]
    print(f"{len(error)} pictures kept apart, {still.sum()} of them with a still face; distance in the image, mm at the head's depth")
    print(f"hits alone:   median {np.median(before):.2f}, mean {before.mean():.2f}")
    print(f"refined:      median {np.median(mesh):.2f}, mean {mesh.mean():.2f}; still faces median {np.median(mesh[still]):.2f}")
    print(f"iris points:  median {np.median(error[:, MESH_POINTS:]):.2f}, mean {error[:, MESH_POINTS:].mean():.2f}")
    print(f"off the skin before the last return to it: median {np.median(to_skin):.2f}, worst {to_skin.max():.2f} (landmark {to_skin.argmax()})")
    worst = np.median(error, 0)
    print(f"worst landmarks (median): {[(int(i), round(float(worst[i]), 1)) for i in np.argsort(-worst)[:14]]}")


if __name__ == "__main__":
    main()

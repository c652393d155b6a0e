"""Reads the head asset pack: geometry, shapes, hair, textures. Pack units are centimetres, x to the subject's left, y up,
z out of the face; the pack's own README describes each array.
"""

from pathlib import Path

import numpy as np

from .camera import rot_x, rot_y

#: Head space is in millimetres. With this scale the mean head has 62.0 mm between its eyes' centres (adults: 63.4 mm,
#: Dodgson 2004) and 89.2 mm between the outer eye corners (adults: 87.8 to 91.2 mm, Farkas 1994).
MM_PER_UNIT = 10.0

#: A human iris is 11.7 mm wide, and hardly varies; the pack's textures paint one of 12.4 mm.
IRIS_RADIUS_MM = 5.85
PAINTED_IRIS_RADIUS_MM = 6.2

#: Parts that are drawn, by material. The others (inner eye, tear line, eye blend and occlusion) are left out.
FACE, SKIN, MOUTH, EYES, LASHES = ("face",), ("head", "msock", "esl", "esr"), ("gums", "tongue", "teeth"), ("scl", "scr"), ("lal", "lar")

#: ICT's `eyeLook*` shapes move the lids only. Radians of the eyeball for a coefficient of one, fitted by the pack's authors.
LOOK_SIDEWAYS_RAD, LOOK_UP_RAD, LOOK_DOWN_RAD = 0.60, 0.43, 0.61

#: The model's eyeball is too large: its iris lies 16.2 mm before the centre that it turns about, a human's 10.3 mm. Turned by
#: the true angle, the iris would move 1.6 times too far; this share of it puts the iris where a human eye has it.
EYEBALL_SHARE = 10.3 / 16.2

#: Height below which a vertex begins to stay with the shoulders, height below which it fully does, and what the head turns about.
NECK_TOP, NECK_BASE, NECK_PIVOT = -8.5, -16.0, np.array([0.0, -8.0, -1.0])


class Pack:
    """The head model. Vertices are (26719, 3) in pack space."""

    def __init__(self, folder):
        self.folder = Path(folder)
        data = np.load(self.folder / "ict_light.npz")
        self.neutral = data["neutral"].astype(np.float64)
        self.identity = data["identity"].astype(np.float32)
        self.expression = data["expression"].astype(np.float32)
        self.expression_names = [str(n) for n in data["expression_names"]]
        self.triangles, self.triangles_uv = data["tri"].astype(int), data["tri_uv"].astype(int)
        self.uv, self.lash_uv = data["uv"], data["lash_uv"]
        self.triangle_part, self.part_names = data["tri_part"], [str(n) for n in data["part_names"]]
        self.occlusion_shut, self.occlusion_open = data["ao"] / 255.0, data["ao_open"] / 255.0
        self.landmarks68, self.eye_centre, self.eye_range = data["landmarks68"], data["eye_centre"].astype(float), data["eye_range"]
        torso = np.load(self.folder / "torso.npz")
        self.torso, self.torso_triangles, self.torso_bind = torso["verts"], torso["tri"].astype(int), torso["bind_idx"]
        self.skins = sorted(p.name[: -len("_face.jpg")] for p in self.folder.glob("skins/*_face.jpg"))
        self.brows = sorted(p.stem for p in self.folder.glob("brows/*.png"))
        self.irises = sorted(p.stem for p in self.folder.glob("iris/*.jpg"))
        self.hairs = {p.stem: dict(np.load(p)) for p in sorted(self.folder.glob("hair/*.npz"))}
        self._shape = {name: i for i, name in enumerate(self.expression_names)}

    def of_parts(self, names):
        """Mask over the triangles of these parts."""
        return np.isin(self.triangle_part, [self.part_names.index(n) for n in names])

    def shapes_from_arkit(self, coefficients):
        """The pack's expression vector from {ARKit name: value}; browInnerUp and cheekPuff drive both sides."""
        shapes = np.zeros(len(self.expression_names), np.float32)
        for name, value in coefficients.items():
            name = name[0].lower() + name[1:]
            stem = name.removesuffix("Left").removesuffix("Right")
            side = {"Left": "_L", "Right": "_R"}.get(name[len(stem):], "")
            known = [n for n in ((stem + side, ) if side else (name, name + "_L", name + "_R")) if n in self._shape]
            if name in self._shape:  # jawLeft, mouthRight and their like are whole names
                known = [name]
            if not known:
                raise KeyError(f"no shape of the pack answers to {name}")
            for n in known:
                shapes[self._shape[n]] = value
        return shapes

    def identity_vertices(self, identity):
        """The person without expression; `identity` holds up to 100 unit-variance coefficients."""
        return self.neutral + np.tensordot(np.asarray(identity, np.float32), self.identity[: len(identity)], 1)

    def vertices(self, identity, shapes):
        """The person with an expression, eyeballs turned."""
        person = self.identity_vertices(identity)
        out = person + np.tensordot(shapes, self.expression, 1)
        for (first, last), centre, rotation in zip(self.eye_range, self.eye_centres(identity), self.eye_rotations(shapes, EYEBALL_SHARE)):
            out[first:last] = (out[first:last] - centre) @ rotation.T + centre
        return out

    def stay_behind(self, vertices, neutral, shoulders_from_head):
        """Lets neck and shoulders keep their own direction while the head turns: vertices below the jaw are turned about the
        neck by `shoulders_from_head` (3x3, pack axes), the neck between by a share. `neutral` tells how low a vertex is.
        """
        t = np.clip((NECK_TOP - neutral[:, 1]) / (NECK_TOP - NECK_BASE), 0, 1)
        share = (t * t * (3 - 2 * t))[:, None]
        return vertices + share * ((vertices - NECK_PIVOT) @ (shoulders_from_head - np.eye(3)).T)

    def eye_centres(self, identity):
        """Rotation centres of the left and the right eyeball (2, 3)."""
        moved = [np.tensordot(identity, self.identity[: len(identity), a:b].mean(1), 1) for a, b in self.eye_range]
        return self.eye_centre + np.array(moved)

    def eye_rotations(self, shapes, share=1.0):
        """Turn of the left and the right eye in pack space, from the eyeLook shapes; `share` shortens it."""
        turns = []
        for side, outward in (("L", 1), ("R", -1)):
            g = lambda name: float(shapes[self._shape[f"{name}_{side}"]])
            yaw = outward * LOOK_SIDEWAYS_RAD * (g("eyeLookOut") - g("eyeLookIn"))
            up = LOOK_UP_RAD * g("eyeLookUp") - LOOK_DOWN_RAD * g("eyeLookDown")
            turns.append(rot_x(-up * share) @ rot_y(yaw * share))
        return turns

    def occlusion(self, shapes):
        """Ambient occlusion per vertex, for how far the mouth stands open."""
        open_by = shapes[self._shape["jawOpen"]] / 0.35 + 0.3 * shapes[self._shape["mouthUpperUp_L"]]
        g = np.clip(open_by, 0, 1)
        return self.occlusion_shut + (self.occlusion_open - self.occlusion_shut) * g

    def outer_corners_origin(self, vertices):
        """Midway between the outer eye corners (iBUG 36 and 45): head space's origin, before landmarks are known."""
        return vertices[self.landmarks68[[36, 45]]].mean(0)


def vertex_normals(vertices, triangles):
    """Area-weighted normals."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.stack(
        [sum(np.bincount(triangles[:, k], face[:, axis], len(vertices)) for k in range(3)) for axis in range(3)], 1
    )
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-9)

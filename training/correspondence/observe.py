"""Draws many heads, lets MediaPipe's FaceMesh find its landmarks on them, and notes which place of the head model each
landmark hit.

Written: per picture and landmark the place on the mean head in pack units (`place`, NaN where nothing usable was hit), the
cosine of facing, the landmarks in pixels, and the scene (identity, shapes, rotation, translation_mm, origin), so that the
correspondence can be scored on pictures it was not made from.
"""

import argparse
from pathlib import Path

import mediapipe as mp
import numpy as np

from render.camera import Camera, Pose, head_rotation
from render.pack import Pack
from render.renderer import SURFACE_PARTS, Renderer
from render.scene import Scene, random_light, random_looks

SIZE = 512
#: A landmark just off the skin (on the eyeball, in the open mouth, past the cheek) belongs to the nearest skin, if it is
#: no further than this many samples, half a pixel each.
REACH = 8
SKIN_CODES = [1 + list(SURFACE_PARTS).index(n) for n in ("face", "head")]
#: FaceMesh tracks from picture to picture; after this many looks at the same one its region of interest has settled.
LOOKS_AT_EACH = 4


def random_scene(pack, panoramas, motion, rng):
    """Near-frontal to 40 degrees of yaw; two thirds with a still face, one third with a mild real expression."""
    yaw, pitch, roll = np.radians([rng.uniform(-40, 40), rng.uniform(-14, 14), rng.normal() * 5])
    identity = (rng.normal(size=100) * 0.8).astype(np.float32)
    shapes = np.zeros(len(pack.expression_names), np.float32)
    if rng.random() < 1 / 3:
        row = motion["frames"][rng.integers(len(motion["frames"]))][:52]
        shapes = pack.shapes_from_arkit(dict(zip(motion["names"][:52], row))) * rng.uniform(0.3, 0.7)
    translation = np.array([rng.normal() * 15, rng.normal() * 12 + 15, rng.uniform(480, 650)])
    return Scene(
        identity=identity, shapes=shapes, pose=Pose(head_rotation(yaw, pitch, roll), translation),
        looks=random_looks(pack, rng), light=random_light(panoramas, rng),
        origin=pack.outer_corners_origin(pack.identity_vertices(identity)),
    )


def find_landmarks(mesh, image):
    """Landmarks (478, 3) in pixels, or None."""
    for _ in range(LOOKS_AT_EACH):
        faces = mesh.process(image).multi_face_landmarks
    if not faces:
        return None
    return np.array([[p.x * image.shape[1], p.y * image.shape[0], p.z * image.shape[1]] for p in faces[0].landmark])


def places_hit(surface, pixels, supersample):
    """Place on the mean head (n, 3) and facing (n) under these pixels; NaN where no skin is near."""
    place, part, facing = surface
    skin = np.isin(part, SKIN_CODES)
    out, out_facing = np.full((len(pixels), 3), np.nan), np.zeros(len(pixels))
    for i, (x, y) in enumerate(pixels * supersample - 0.5):
        cx, cy = int(round(x)), int(round(y))
        x0, y0 = max(cx - REACH, 0), max(cy - REACH, 0)
        ys, xs = np.nonzero(skin[y0: cy + REACH + 1, x0: cx + REACH + 1])
        if not len(xs):
            continue
        distance = np.hypot(xs + x0 - x, ys + y0 - y)
        k = distance.argmin()
        if distance[k] <= REACH:
            out[i] = place[ys[k] + y0, xs[k] + x0]
            out_facing[i] = facing[ys[k] + y0, xs[k] + x0]
    return out, out_facing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    parser.add_argument("--out", type=Path, required=True, help="observations, .npz")
    parser.add_argument("--count", type=int, default=400, help="pictures (default 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="also write every 20th picture with its landmarks here")
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    pack = Pack(args.assets)
    camera = Camera(SIZE, SIZE, np.radians(34))
    renderer = Renderer(pack, camera)
    motion = dict(np.load(args.assets / "arkit_motion.npz"))
    mesh = mp.solutions.face_mesh.FaceMesh(static_image_mode=False, refine_landmarks=True)
    rows = []
    for n in range(args.count):
        scene = random_scene(pack, list(renderer.panoramas), motion, rng)
        image = renderer.render(scene)
        landmarks = find_landmarks(mesh, image)
        if landmarks is None:
            continue
        place, facing = places_hit(renderer.surface(scene), landmarks[:, :2], renderer.supersample)
        rows.append(dict(
            place=place, facing=facing, landmarks=landmarks, identity=scene.identity, shapes=scene.shapes,
            rotation=scene.pose.rotation, translation_mm=scene.pose.translation_mm, origin=scene.origin,
        ))
        if args.pictures and n % 20 == 0:
            save_picture(args.pictures / f"{n:04}.png", image, landmarks)
    columns = {k: np.array([r[k] for r in rows], np.float32) for k in rows[0]}
    np.savez_compressed(args.out, size=SIZE, fov_rad=camera.fov_rad, **columns)
    print(f"{len(rows)} of {args.count} pictures with a face -> {args.out}")


def save_picture(path, image, landmarks):
    """The picture at twice its size with the landmarks on it."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    large = cv2.resize(image, None, fx=2, fy=2)[:, :, ::-1].copy()
    for x, y, _ in landmarks * 2:
        cv2.circle(large, (int(x * 4), int(y * 4)), 6, (80, 255, 80), -1, cv2.LINE_AA, 2)
    cv2.imwrite(str(path), large)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Draw random heads, let MediaPipe's landmark network look at them, and write a shard for each head.

A head has 2 calm faces and 10 expressions under one light and lens. Shards that exist are left as they are, so a stopped
run goes on where it was, and several runs with different seeds can fill one folder.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from coefficients import NAMES  # noqa: E402
from expressions import calm, close_lids, compose, expression, look, possible, resting_face, turn_deg  # noqa: E402
from render.camera import Camera, Pose, head_rotation  # noqa: E402
from render.pack import LOOK_DOWN_RAD, LOOK_SIDEWAYS_RAD, LOOK_UP_RAD, MM_PER_UNIT, Pack  # noqa: E402
from render.renderer import Renderer  # noqa: E402
from render.scene import Scene, random_light, random_looks  # noqa: E402

SIZE = 352
CALM, EXPRESSIONS = 2, 10
#: Landmarks and iBUG points of eye corners, mouth corners and nose tip: how wrong a found face may be, as a share of its size.
CHECKED, CHECKED_IBUG, MISS_MAX = [33, 133, 362, 263, 61, 291, 1], [36, 39, 42, 45, 48, 54, 30], 0.10


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    p.add_argument("--out", type=Path, required=True, help="folder for the shards")
    p.add_argument("--heads", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--pictures", type=Path, help="also write each head's faces in one picture here")
    a = p.parse_args()
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
    cv2.setNumThreads(1)
    pack = Pack(a.assets)
    renderer = Renderer(pack, Camera(SIZE, SIZE, 1.0), supersample=1)
    motion = recorded(a.assets)
    a.out.mkdir(parents=True, exist_ok=True)
    for number in range(a.heads):
        path = a.out / f"{a.seed:03}_{number:05}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([a.seed, number])
        faces, pictures = [], []
        for row, picture, truth68 in draw_head(renderer, motion, rng):
            landmarks = find(mesh, picture)
            pictures.append(picture)
            if landmarks is not None and miss(landmarks, truth68) < MISS_MAX:
                faces.append((landmarks, *row))
        if faces:
            columns = zip(("landmarks", "coefficients", "calm", "turn_deg"), zip(*faces))
            unfinished = path.with_suffix(".tmp")
            with unfinished.open("wb") as f:
                np.savez(f, **{k: np.array(v, bool if k == "calm" else np.float32) for k, v in columns})
            unfinished.replace(path)
        if a.pictures:
            a.pictures.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(a.pictures / f"{path.stem}.png"), np.hstack(pictures)[:, :, ::-1])
        if number % 20 == 19:
            print(f"{number + 1} heads", flush=True)


def recorded(assets):
    """The pack's ARKit recording as (frames, 52) in ARKit's order."""
    data = np.load(assets / "arkit_motion.npz")
    names = [str(n)[0].lower() + str(n)[1:] for n in data["names"]]
    return data["frames"][:, [names.index(n) for n in NAMES]].astype(np.float32)


def draw_head(renderer, motion, rng):
    """Yields ((coefficients, calm, turn_deg), picture, iBUG points in pixels) for each face of one random head."""
    pack = renderer.pack
    identity = (rng.normal(size=100) * 0.85).astype(np.float32)
    rest, looks, light = resting_face(rng), random_looks(pack, rng), random_light(list(renderer.panoramas), rng)
    fov_rad = np.radians(np.exp(rng.uniform(np.log(20), np.log(70))))
    renderer.camera = Camera(SIZE, SIZE, fov_rad)
    head_mm, brightness = 270.0, rng.uniform(75, 150)
    distance_mm = max(head_mm / (2 * np.tan(fov_rad / 2)) / rng.uniform(0.8, 1.3) + 80, 300.0)
    aside = rng.normal(size=2) * 5
    origin = pack.outer_corners_origin(pack.identity_vertices(identity))
    for k in range(CALM + EXPRESSIONS):
        is_calm = k < CALM
        e, turn = calm(rng) if is_calm else expression(motion, rng), turn_deg(rng, is_calm)
        if not is_calm and rng.random() < 0.35:
            e = look_at_camera(e, turn)
        face = compose(e, rest)
        shapes = pack.shapes_from_arkit(dict(zip(NAMES, face)))
        shapes = close_lids(pack, identity, shapes, face[[NAMES.index("eyeBlinkLeft"), NAMES.index("eyeBlinkRight")]])
        place = np.array([*(aside + rng.normal(size=2) * 3 + [0, 15]), distance_mm])
        scene = Scene(identity, shapes, Pose(head_rotation(*np.radians(turn)), place), looks, light, origin)
        points = scene.pose.to_camera((pack.vertices(identity, shapes)[pack.landmarks68] - origin) * MM_PER_UNIT)
        pixels = renderer.camera.project(points)
        yield (e, is_calm, turn), camera_like(expose(renderer.render(scene), pixels, brightness), rng), pixels


def look_at_camera(e, turn):
    """The eyes stay with the camera while the head turns."""
    x, y, z = head_rotation(*np.radians(turn)).T @ [0, 0, -1.0]
    sideways, up = np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))
    look(e, float(sideways / LOOK_SIDEWAYS_RAD), float(up / (LOOK_UP_RAD if up > 0 else LOOK_DOWN_RAD)))
    return possible(e)


def expose(picture, pixels, brightness):
    """A camera's automatic exposure: the face is never lost in the dark."""
    (x0, y0), (x1, y1) = pixels.min(0).clip(0, SIZE - 1).astype(int), pixels.max(0).clip(0, SIZE - 1).astype(int)
    mean = picture[y0 : y1 + 1, x0 : x1 + 1].mean()
    return (picture.astype(np.float32) * np.clip(brightness / max(mean, 1), 0.6, 4)).clip(0, 255)


def camera_like(picture, rng):
    """Blur, noise and JPEG of a webcam."""
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.4))
    if rng.random() < 0.12:
        picture = cv2.filter2D(picture, -1, motion_blur(rng.integers(3, 8), rng.uniform(0, np.pi)))
    if rng.random() < 0.7:
        picture = picture + rng.normal(size=picture.shape) * rng.uniform(0.5, 5)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))]
    _, packed = cv2.imencode(".jpg", picture.clip(0, 255).astype(np.uint8)[:, :, ::-1], quality)
    return np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[:, :, ::-1])


def motion_blur(size, angle):
    kernel = np.zeros((size, size), np.float32)
    for t in np.linspace(-1, 1, 4 * size) * (size - 1) / 2:
        kernel[round((size - 1) / 2 + np.sin(angle) * t), round((size - 1) / 2 + np.cos(angle) * t)] = 1
    return kernel / kernel.sum()


def find(mesh, picture):
    """Landmarks (478, 3) in pixels, or None. The second look follows the region of interest of the first, as in tracking."""
    for _ in range(2):
        found = mesh.process(picture).multi_face_landmarks
    return np.array([[p.x * SIZE, p.y * SIZE, p.z * SIZE] for p in found[0].landmark], np.float32) if found else None


def miss(landmarks, truth68):
    """Mean distance of a few points from where they are, as a share of the face's size."""
    size = np.linalg.norm(truth68[36] - truth68[45]) + 0.5 * np.linalg.norm(truth68[27] - truth68[8])
    return np.linalg.norm(landmarks[CHECKED, :2] - truth68[CHECKED_IBUG], axis=1).mean() / size


if __name__ == "__main__":
    main()

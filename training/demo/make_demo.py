"""Draws the demonstration clip and writes what is true in it.

    python -m demo.make_demo --assets DIR --out ../assets/demo

writes demo.avi and truth.json; the card in assets/demo/README.md says what they hold. The same seed gives the same truth;
pixels may differ in the last bit between OpenGL drivers.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from correspondence.canonical import IRISES
from correspondence.ibug import NEAREST
from correspondence.surface import Landmarks478
from render.camera import Camera, Pose, head_rotation, rot_y
from render.pack import MM_PER_UNIT, Pack
from render.renderer import Renderer
from render.scene import HAIR_COLOURS, Light, Looks, Scene

from . import motion
from .avi import avi

WIDTH, HEIGHT, FOV_DEG = 640, 480, 60.0
#: Sensor noise of a webcam in a lit room, standard deviation in grey levels.
NOISE = 0.8
#: A webcam's own picture setting: contrast about middle grey, brightness in grey levels, saturation.
CONTRAST, BRIGHTNESS, SATURATION = 1.1, 8.0, 1.08

LOOKS = Looks(
    skin="young_lightskinned_female3", brow="eyebrow008", iris="brownlight", hair="long01",
    hair_colour=HAIR_COLOURS[3], cloth=np.array([.05, .11, .16]), gloss=.09,
)
LIGHT = Light(panorama="lobby", turn=rot_y(np.radians(20)), exposure=1.45, background_shift=0.45, background_blur=1.0)
#: A moderate identity: recognisably somebody, nothing extreme.
IDENTITY_STRENGTH = 0.45


def scenes(pack, landmarks, seed):
    """Per frame the scene and its ARKit coefficients."""
    rng = np.random.default_rng(seed)
    identity = (rng.normal(size=100) * IDENTITY_STRENGTH).astype(np.float32)
    origin = landmarks.origin(pack.identity_vertices(identity))
    angles, translations = motion.poses(rng)
    recorded = np.load(pack.folder / "arkit_motion.npz")
    for k, values in enumerate(motion.coefficients(recorded)):
        pose = Pose(head_rotation(*angles[k]), translations[k])
        shoulders = head_rotation(*(angles[k] * motion.SHOULDERS_FOLLOW))
        yield Scene(identity, pack.shapes_from_arkit(values), pose, LOOKS, LIGHT, origin, pose.rotation.T @ shoulders), values


def truth_of(pack, landmarks, camera, scene, values):
    """One frame's entry in truth.json."""
    vertices = pack.vertices(scene.identity, scene.shapes)
    points = landmarks.on(vertices)
    for centre, rim in IRISES.values():
        points[centre] = points[list(rim)].mean(0)
    image = camera.project(scene.pose.to_camera((points - scene.origin) * MM_PER_UNIT))
    left, right = (scene.pose.rotation @ turn @ [0, 0, 1] for turn in pack.eye_rotations(scene.shapes))
    flat = lambda a, digits: np.round(np.asarray(a, float), digits).ravel().tolist()
    return {
        "coefficients": [round(v, 4) for v in values.values()],
        "rotation": flat(scene.pose.rotation, 5), "translation_mm": flat(scene.pose.translation_mm, 2),
        "gaze_left": flat(left, 4), "gaze_right": flat(right, 4),
        "ibug68": flat(image[NEAREST], 1), "iris": flat(image[[468, 473]], 1),
    }


def shut_events(frames, names):
    """Every closing of an eye: from the first to the last frame with a coefficient of at least 0.5, and its fullest frame."""
    events = []
    for side in ("Left", "Right"):
        values = np.array([f["coefficients"][names.index(f"eyeBlink{side}")] for f in frames])
        shut = np.concatenate([[0], values >= 0.5, [0]]).astype(int)
        for first, after in zip(np.nonzero(np.diff(shut) == 1)[0], np.nonzero(np.diff(shut) == -1)[0]):
            events.append({"eye": side.lower(), "first": int(first), "last": int(after) - 1, "fullest": int(first + values[first:after].argmax())})
    return sorted(events, key=lambda e: (e["first"], e["eye"]))


def jpeg(image, quality, rng):
    """A camera's JPEG: its tone curve, sensor noise, 4:2:0, standard Huffman tables in the file."""
    toned = (image.astype(np.float32) - 118) * CONTRAST + 118 + BRIGHTNESS
    grey = toned.mean(2, keepdims=True)
    toned = grey + (toned - grey) * SATURATION
    noisy = toned + rng.normal(size=(*image.shape[:2], 1)) * NOISE + rng.normal(size=image.shape) * NOISE * 0.5
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    return cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8)[:, :, ::-1], options)[1].tobytes()


def drawn(renderer, scene, kept):
    """The frame, from the file `kept` if it is there; left there otherwise."""
    if kept and kept.exists():
        return cv2.imread(str(kept))[:, :, ::-1]
    image = renderer.render(scene)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(kept), image[:, :, ::-1])
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the head asset pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for demo.avi and truth.json")
    parser.add_argument("--landmarks", type=Path, default=Path(__file__).parents[2] / "models/landmarks478.json")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--quality", type=int, default=68, help="JPEG quality (default 68)")
    parser.add_argument("--frames", type=Path, help="keep the drawn frames here as PNG, and take them from here where they are")
    parser.add_argument("--only", type=int, nargs="*", help="draw only these frames, as PNG, and write no truth")
    args = parser.parse_args()

    pack, landmarks = Pack(args.assets), Landmarks478(args.landmarks)
    camera = Camera(WIDTH, HEIGHT, np.radians(FOV_DEG))
    renderer = Renderer(pack, camera)
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    frames, jpegs, names = [], [], None
    for k, (scene, values) in enumerate(scenes(pack, landmarks, args.seed)):
        if args.only is not None:
            if k in args.only:
                cv2.imwrite(str(args.out / f"{k:03}.png"), renderer.render(scene)[:, :, ::-1])
            continue
        names = list(values)
        frames.append(truth_of(pack, landmarks, camera, scene, values))
        jpegs.append(jpeg(drawn(renderer, scene, args.frames and args.frames / f"{k:03}.png"), args.quality, rng))
    if args.only is None:
        (args.out / "demo.avi").write_bytes(avi(jpegs, WIDTH, HEIGHT, int(motion.FPS)))
        write_truth(args.out / "truth.json", camera, names, frames)


def write_truth(path, camera, names, frames):
    """One line a frame, so that the file can be read and compared."""
    head = {
        "about": "what is true in demo.avi; see README.md", "fps": motion.FPS, "width": camera.width, "height": camera.height,
        "fov_deg": FOV_DEG, "focal_px": round(float(camera.focal_px), 4), "center_px": [camera.width / 2, camera.height / 2],
        "names": names, "ibug68_landmarks": NEAREST, "eyes_shut": shut_events(frames, names),
    }
    dump = lambda v: json.dumps(v, separators=(",", ":"))
    lines = ",\n".join(f"{dump(k)}:{dump(v)}" for k, v in head.items())
    path.write_text("{\n" + lines + ',\n"frames":[\n' + ",\n".join(map(dump, frames)) + "\n]}\n")


if __name__ == "__main__":
    main()

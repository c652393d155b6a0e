"""The demo's performance: what the head does in ten seconds.

Mouth, jaw and cheeks speak as in a real recording of ARKit coefficients (MIT, see the card), resampled to the clip's rate.
Over it, keyed gestures are laid that a viewer can name: blinks, winks, smiles, a pucker, raised brows, an open jaw. Head
pose and gaze are keyed as well, for the recording has no head motion.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from render.pack import LOOK_DOWN_RAD, LOOK_SIDEWAYS_RAD, LOOK_UP_RAD

FPS, SECONDS = 30.0, 10.0
FRAMES = int(FPS * SECONDS)
#: Rows a second of the recording: what the app that made it writes. Its blinks and syllables then last as long as people's.
MOTION_FPS = 60.0
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")

#: Stretches of the recording that are spoken: start in the clip (s), first and last row, strength.
SPEECH = ((0.9, 5232, 5424, 0.55), (6.9, 3520, 3600, 0.6), (8.45, 3660, 3730, 0.6))
#: What is taken from it. Eyes and brows are keyed instead, so that blinks and gaze are where the truth says.
SPOKEN = ("jaw", "mouth", "cheek", "nose")
#: How a spoken stretch fades in and out.
SPEECH_FADE_S = 0.25


def smooth(x):
    """Minimum-jerk step: 0 before 0, 1 after 1, no jump in speed or acceleration."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x * x)


@dataclass(frozen=True)
class Gesture:
    """Coefficients that rise to `peak` from `start_s`, hold until `until_s` and fall again."""

    start_s: float
    until_s: float
    peak: dict
    rise_s: float = 0.28
    fall_s: float = 0.34
    quietens: float = 0.0  #: how much of the speech and of other gestures it drowns

    def envelope(self, t):
        return smooth((t - self.start_s) / self.rise_s) * (1 - smooth((t - self.until_s) / self.fall_s))


def blink(at_s, sides=BLINKS, hold_s=0.04):
    """Lids shut in 0.1 s and open in 0.17 s; spontaneous blinks last 0.1 to 0.4 s."""
    return Gesture(at_s - 0.1, at_s + hold_s, dict.fromkeys(sides, 1.0), 0.1, 0.17)


def wink(at_s, side):
    """One eye shuts for a quarter of a second, its cheek helping."""
    return Gesture(at_s - 0.15, at_s + 0.2, {f"eyeBlink{side}": 1.0, f"cheekSquint{side}": 0.5, f"mouthSmile{side}": 0.2}, 0.15, 0.22)


def both(**peaks):
    """The same value left and right."""
    return {f"{name}{side}": value for name, value in peaks.items() for side in ("Left", "Right")}


GESTURES = (
    blink(0.55), blink(2.15), blink(3.95), blink(7.15), blink(9.45),
    Gesture(0.1, 0.7, both(mouthSmile=0.3, cheekSquint=0.1)),
    Gesture(1.5, 2.3, {"browInnerUp": 0.75, **both(browOuterUp=0.65, eyeWide=0.25)}),
    Gesture(4.25, 5.15, {"jawOpen": 0.14, **both(mouthSmile=0.85, cheekSquint=0.45, eyeSquint=0.2, mouthUpperUp=0.25)}, quietens=0.9),
    wink(5.55, "Left"), wink(6.3, "Right"),
    Gesture(5.3, 6.5, both(mouthSmile=0.35, cheekSquint=0.15)),
    Gesture(7.4, 7.75, both(browDown=0.6)),
    Gesture(7.75, 8.1, {"jawOpen": 0.8, "browInnerUp": 0.6, **both(browOuterUp=0.5, eyeWide=0.4)}, quietens=0.9),
    Gesture(8.75, 9.15, {"mouthPucker": 0.9, "mouthFunnel": 0.15}, quietens=0.95),
    Gesture(9.5, 11.0, both(mouthSmile=0.45, cheekSquint=0.2), quietens=0.5),
)

#: Head pose by key: seconds, yaw, pitch, roll (degrees), x, y, z (mm, camera space: right, down, forward).
POSE_KEYS = np.array([
    (0.0, 0, 0, 0, 0, 15, 540), (0.6, 0, 0, 0, 0, 15, 540), (1.4, 14, -6, 4, 25, 5, 520), (2.3, 30, 2, 7, 70, 15, 540),
    (3.2, -6, 14, -4, 10, 45, 530), (3.9, -30, -3, -8, -85, 20, 570), (4.7, -4, -4, 3, -15, 10, 480), (5.5, 5, 2, 5, 5, 20, 456),
    (6.3, -6, 3, -7, -5, 25, 462), (7.0, 10, -15, 2, 55, -25, 620), (7.9, 2, -5, 0, 0, -10, 790), (8.5, -16, 5, -12, -70, 30, 700),
    (9.0, 8, 4, 11, 30, 30, 560), (9.6, 0, 0, 1, 5, 18, 520), (10.0, 0, -1, 0, 0, 16, 515),
])
#: How much of the head's yaw, pitch and roll the shoulders follow.
SHOULDERS_FOLLOW = np.array([0.25, 0.2, 0.2])

#: Gaze by key, degrees about the head's axes beside straight ahead: seconds, to the subject's left, up. Eyes step from one to
#: the next in 0.06 s, as saccades do.
GAZE_KEYS = np.array([
    (0.0, 0, 0), (1.3, -8, 3), (1.9, -14, 0), (2.45, 8, -2), (2.9, 2, 8), (3.5, 20, 2), (4.1, 12, 2), (4.45, 2, 2), (5.4, -3, -1), (6.6, -14, 6),
    (7.3, 0, -12), (7.75, 0, 4), (8.3, 9, -4), (8.9, -4, -3), (9.3, 0, 0),
])
SACCADE_S = 0.06


def coefficients(motion):
    """List of {ARKit name: value}, one for each frame, every value within 0..1."""
    names = [str(n)[0].lower() + str(n)[1:] for n in motion["names"][:52]]
    t = np.arange(FRAMES) / FPS
    out = {n: np.zeros(FRAMES) for n in names}
    hush = np.prod([1 - g.quietens * g.envelope(t) for g in GESTURES], 0)
    for start, first, last, strength in SPEECH:
        seconds = (last - first) / MOTION_FPS
        row = first + (t - start) * MOTION_FPS
        inside = smooth((t - start) / SPEECH_FADE_S) * (1 - smooth((t - start - seconds + SPEECH_FADE_S) / SPEECH_FADE_S))
        for k, name in enumerate(names):
            if name.startswith(SPOKEN):
                recorded = motion["frames"][first: last + 1, k]
                out[name] += strength * inside * hush * np.interp(row, np.arange(first, last + 1), recorded)
    for gesture in GESTURES:
        for name, peak in gesture.peak.items():
            # Laid over, not added: the louder of speech and gesture wins without a kink.
            out[name] = 1 - (1 - out[name]) * (1 - peak * gesture.envelope(t))
    for name, value in gaze_coefficients().items():
        out[name] = np.maximum(out[name], value)
    return [{n: float(np.clip(v[k], 0, 1)) for n, v in out.items()} for k in range(FRAMES)]


def gaze_coefficients():
    """eyeLook coefficients (frames) from the gaze keys; `render.pack` turns the eyes by the same slopes."""
    t = np.arange(FRAMES) / FPS
    steps = [smooth((t - s) / SACCADE_S)[:, None] * (key - before) for s, key, before in zip(GAZE_KEYS[1:, 0], GAZE_KEYS[1:, 1:], GAZE_KEYS[:-1, 1:])]
    left, up = np.radians(GAZE_KEYS[0, 1:] + sum(steps)).T
    sideways = left / LOOK_SIDEWAYS_RAD
    out = {"eyeLookOutLeft": sideways, "eyeLookInRight": sideways, "eyeLookInLeft": -sideways, "eyeLookOutRight": -sideways}
    for side in ("Left", "Right"):
        out[f"eyeLookUp{side}"], out[f"eyeLookDown{side}"] = up / LOOK_UP_RAD, -up / LOOK_DOWN_RAD
    return {n: np.clip(v, 0, 1) for n, v in out.items()}


def poses(rng):
    """Rotation angles (frames, 3; radians: yaw, pitch, roll) and translation (frames, 3; mm), with a living head's small sway."""
    t = np.arange(FRAMES) / FPS
    keyed = CubicSpline(POSE_KEYS[:, 0], POSE_KEYS[:, 1:], bc_type="clamped")(t)
    # A few slow sines: nobody holds the head quite still.
    for column, size in enumerate((0.8, 0.6, 0.5, 1.5, 1.0, 2.0)):
        for hz in (0.31, 0.57, 0.93):
            keyed[:, column] += size / 3 * np.sin(2 * np.pi * (hz * t + rng.random()))
    return np.radians(keyed[:, :3]), keyed[:, 3:]

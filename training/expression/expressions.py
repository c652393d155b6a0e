"""Random faces: expressions, resting faces, turns of the head, lids that close.

All of them are vectors of the 52 ARKit coefficients, 0 to 1. An expression is relative to the head's resting face, which
`compose` puts beneath it: narrow eyes, a frowning mouth or raised brows at rest belong to the person and are no expression.
"""

import numpy as np
from coefficients import INDEX as I
from coefficients import MIRROR, NAMES

SIDES = ("Left", "Right")
STEMS = sorted({n.removesuffix("Left") for n in NAMES if n.endswith("Left")} - {"jaw", "mouth"})
PAIRS = [s for s in STEMS if not s.startswith("eyeLook")]
SINGLES = [n for n in NAMES if not n.endswith(SIDES) and n not in ("tongueOut", "mouthClose")]
#: Each can move by itself; of the last two only one side at a time.
MOVES = PAIRS + SINGLES + ["jaw", "mouth"]


def both(e, stem, value, other=None):
    e[I[stem + "Left"]], e[I[stem + "Right"]] = value, value if other is None else other


def look(e, sideways, up):
    """Turns both eyes: `sideways` > 0 to the subject's left, in units of the coefficients."""
    for stem in ("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"):
        both(e, stem, 0)
    outer, inner = ("Left", "Right") if sideways > 0 else ("Right", "Left")
    e[I["eyeLookOut" + outer]] = e[I["eyeLookIn" + inner]] = min(abs(sideways), 1)
    both(e, "eyeLookUp" if up > 0 else "eyeLookDown", min(abs(up), 1))


def _move(e, move, rng):
    """One movement: both sides alike, one side, or each by itself."""
    value = rng.uniform(0.15, 1) if rng.random() < 0.75 else 1.0
    if move in SINGLES:
        e[I[move]] = max(e[I[move]], value)
        return
    side, other = SIDES if rng.random() < 0.5 else SIDES[::-1]
    kind = rng.random()
    if move in ("jaw", "mouth"):
        e[I[move + side]], e[I[move + other]] = value, 0
    elif kind < 0.6:
        e[I[move + side]], e[I[move + other]] = value, np.clip(value * rng.uniform(0.85, 1.1), 0, 1)
    elif kind < 0.9:
        e[I[move + side]], e[I[move + other]] = value, 0 if rng.random() < 0.7 else value * rng.uniform(0, 0.4)
    else:
        e[I[move + side]], e[I[move + other]] = value, rng.uniform(0.15, 1)


def _recorded(e, motion, rng):
    e[:] = motion[rng.integers(len(motion))] * rng.uniform(0.6, 1.2)
    if rng.random() < 0.5:
        e[:] = e[MIRROR]
    e.clip(0, 1, out=e)
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 3)):
            _move(e, rng.choice(MOVES), rng)


def _sparse(e, rng):
    count = rng.choice([1, 2, 3, 4, 5, 6], p=[0.28, 0.26, 0.2, 0.13, 0.08, 0.05])
    for move in rng.choice(MOVES, count, replace=False):
        _move(e, move, rng)
    if e[I["jawOpen"]] > 0 and rng.random() < 0.3:
        e[I["mouthClose"]] = e[I["jawOpen"]] * rng.uniform(0.3, 1)


def _eyes(e, rng):
    kind = rng.random()
    for _ in range(rng.integers(0, 3)):
        if rng.random() < 0.6:
            _move(e, rng.choice(MOVES), rng)
    if kind < 0.3:
        both(e, "eyeBlink", rng.uniform(0.9, 1))
    elif kind < 0.5:
        _wink(e, rng)
    elif kind < 0.75:
        value = rng.uniform(0.1, 0.9)
        both(e, "eyeBlink", value, np.clip(value + rng.normal() * 0.08, 0, 1))
    elif kind < 0.85:
        both(e, "eyeBlink", rng.random(), rng.random())
    else:
        both(e, "eyeBlink", 0)
        both(e, "eyeWide", rng.uniform(0.3, 1))


def _wink(e, rng):
    """One eye; cheek, brow and mouth of its side may join in, the other eye may narrow."""
    side, other = SIDES if rng.random() < 0.5 else SIDES[::-1]
    e[I["eyeBlink" + side]], e[I["eyeBlink" + other]] = rng.uniform(0.85, 1), 0
    if rng.random() < 0.6:
        for stem, most in (("cheekSquint", 0.9), ("eyeSquint", 0.6), ("mouthSmile", 0.6), ("browDown", 0.5)):
            e[I[stem + side]] = rng.uniform(0, most)
        e[I["eyeBlink" + other]], e[I["eyeSquint" + other]] = rng.uniform(0, 0.25), rng.uniform(0, 0.3)


def _mouth(e, rng):
    kind, jaw = rng.random(), I["jawOpen"]
    if kind < 0.28:
        e[I["tongueOut"]] = rng.uniform(0.5, 1) if rng.random() < 0.85 else rng.uniform(0.1, 0.5)
        e[jaw] = rng.uniform(0.35, 0.8)
    elif kind < 0.42:
        e[I["cheekPuff"]], e[I["mouthPucker"]] = rng.uniform(0.3, 1), rng.uniform(0, 0.4)
        both(e, "mouthPress", rng.uniform(0, 0.5))
    elif kind < 0.6:
        e[I["mouthPucker"]], e[jaw] = rng.random(), rng.uniform(0, 0.4)
        e[I["mouthFunnel"]] = rng.random() * (1 - 0.6 * e[I["mouthPucker"]])
    else:
        e[jaw] = rng.uniform(0.1, 1)
        both(e, "mouthSmile", rng.random() * (rng.random() < 0.6))
        if rng.random() < 0.4:
            e[I["mouthClose"]] = e[jaw] * rng.uniform(0.4, 1)
        for stem in ("mouthUpperUp", "mouthLowerDown", "mouthStretch"):
            if rng.random() < 0.4:
                value = rng.uniform(0, 0.9)
                both(e, stem, value, value * rng.uniform(0.7, 1))


ACTS = [
    {"mouthSmile": 1, "cheekSquint": 0.6, "eyeSquint": 0.4, "mouthDimple": 0.3, "mouthUpperUp": 0.25},
    {"noseSneer": 0.9, "mouthUpperUp": 0.7, "browDown": 0.8, "eyeSquint": 0.5},
    {"mouthFrown": 0.9, "mouthStretch": 0.3, "eyeBlink": 0.15, "browInnerUp": 0.8, "mouthShrugLower": 0.6},
    {"browOuterUp": 0.9, "eyeWide": 0.8, "mouthLowerDown": 0.3, "browInnerUp": 1, "jawOpen": 0.5},
]


def _act(e, rng):
    """Smile with cheeks, snarl, sadness, surprise."""
    strength = rng.uniform(0.3, 1)
    for name, share in ACTS[rng.integers(len(ACTS))].items():
        value = strength * share * rng.uniform(0.6, 1.2)
        if name in I:
            e[I[name]] = value
        else:
            both(e, name, value, value * rng.uniform(0.8, 1.15))


def expression(motion, rng):
    """A random expression. `motion` is (frames, 52) of recorded coefficients."""
    e = np.zeros(52, np.float32)
    kind = rng.random()
    if kind < 0.35:
        _recorded(e, motion, rng)
        return possible(e)
    draw = _sparse if kind < 0.72 else _eyes if kind < 0.86 else _mouth if kind < 0.97 else _act
    draw(e, rng)
    sideways, up = (rng.normal() * s if rng.random() < 0.7 else rng.uniform(-1, 1) for s in (0.3, 0.2))
    look(e, sideways, up)
    return possible(e)


def calm(rng):
    """Nearly nothing: what a frame of a neutral face looks like."""
    e = np.zeros(52, np.float32)
    for name in rng.choice([n for n in NAMES if not n.startswith(("eyeLook", "tongue", "mouthClose"))], rng.integers(2, 9)):
        e[I[name]] = abs(rng.normal()) * 0.05
    look(e, rng.normal() * 0.08, rng.normal() * 0.08)
    return possible(e.clip(0, 0.2))


def possible(e):
    """Takes out what no face can do at once."""
    e = e.clip(0, 1)
    for side in SIDES:
        blink = e[I["eyeBlink" + side]]
        e[I["eyeWide" + side]] *= (1 - blink) ** 2
        e[I["eyeSquint" + side]] *= 0.7 if blink > 0.6 else 1
        if e[I["mouthPucker"]] > 0.5:
            e[I["mouthSmile" + side]] *= 0.4
            e[I["mouthStretch" + side]] *= 0.4
    e[I["mouthClose"]] = min(e[I["mouthClose"]], e[I["jawOpen"]])
    if e[I["tongueOut"]] > 0:  # at less than this the pack's tongue cuts through the teeth
        e[I["jawOpen"]] = max(e[I["jawOpen"]], 0.3 + 0.1 * e[I["tongueOut"]])
        e[I["mouthClose"]] = 0
        for name, share in (("mouthFunnel", 0.5), ("mouthPucker", 0.4), ("mouthRollLower", 0.3)):
            e[I[name]] *= share
    return e


def resting_face(rng):
    """What this person's face does at rest."""
    e = np.zeros(52, np.float32)

    def maybe(chance, name, most, asymmetry=0.15):
        if rng.random() >= chance:
            return False
        value = rng.uniform(0, most)
        if name in I:
            e[I[name]] = value
        else:
            both(e, name, *(value * (1 + asymmetry * rng.normal()) for _ in SIDES))
        return True

    maybe(0.45, "eyeBlink", 0.42) or maybe(0.27, "eyeWide", 0.6)
    maybe(0.4, "eyeSquint", 0.4)
    maybe(0.4, "browDown", 0.5) or (maybe(0.5, "browInnerUp", 0.35) and maybe(1, "browOuterUp", 0.35))
    maybe(0.25, "mouthSmile", 0.25) or maybe(0.4, "mouthFrown", 0.4)
    for chance, name, most in ((0.3, "mouthPress", 0.4), (0.25, "jawOpen", 0.08), (0.15, "mouthFunnel", 0.2), (0.2, "mouthShrugLower", 0.3),
                               (0.25, "cheekPuff", 0.35), (0.15, "jawForward", 0.6), (0.2, "mouthRollLower", 0.3)):  # fmt: skip
        maybe(chance, name, most)
    return e.clip(0, 1)


#: What takes a resting movement away: raising the brows smooths a frown, wide eyes lift drooping lids.
OPPOSITES = (("eyeBlink", "eyeWide"), ("eyeWide", "eyeBlink"), ("mouthFrown", "mouthSmile"), ("mouthSmile", "mouthFrown"))


def compose(e, rest):
    """The face that is drawn: an expression of 1 goes all the way, whatever the resting face does."""
    out = e + rest * (1 - e)
    for side in SIDES:
        for stem, opposite in OPPOSITES:
            i, j = I[stem + side], I[opposite + side]
            out[i] = e[i] + rest[i] * (1 - e[i]) * (1 - e[j])
        i = I["browDown" + side]
        out[i] = e[i] + rest[i] * (1 - e[i]) * (1 - e[I["browInnerUp"]])
    out[I["mouthClose"]] = e[I["mouthClose"]]
    return out.clip(0, 1)


#: iBUG points of the upper and the lower lid, two pairs an eye: left, right.
LIDS = (((43, 47), (44, 46)), ((37, 41), (38, 40)))


def close_lids(pack, identity, shapes, blink):
    """Sets the pack's eyeBlink weights so that `blink` (left, right) of the gap that all else leaves is shut.

    The pack's own shape closes some heads' lids halfway only and others' beyond each other.
    """
    points, names = pack.landmarks68, pack.expression_names
    person = pack.neutral[:, 1] + np.tensordot(identity, pack.identity[: len(identity), :, 1], 1)
    for side, pairs, share in zip("LR", LIDS, blink):
        k = names.index("eyeBlink_" + side)
        shapes[k] = 0
        gap = lambda y: np.mean([y[points[upper]] - y[points[lower]] for upper, lower in pairs])
        left_open = gap(person) + sum(shapes[i] * gap(pack.expression[i][:, 1]) for i in np.flatnonzero(shapes))
        shapes[k] = np.clip(share * max(left_open, 0) / -gap(pack.expression[k][:, 1]), 0, 1.6)
    return shapes


def turn_deg(rng, is_calm):
    """Yaw, pitch, roll of a head before a webcam."""
    if is_calm:
        return (rng.normal(size=3) * [7, 6, 4]).clip(-18, 18)
    yaw = rng.normal() * 12 if rng.random() < 0.55 else rng.uniform(-42, 42)
    pitch = rng.normal() * 8 if rng.random() < 0.6 else rng.uniform(-26, 26)
    return np.array([yaw, pitch, np.clip(rng.normal() * 6, -16, 16)])

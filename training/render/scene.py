"""What is drawn: one head in its place, its looks, its light."""

from dataclasses import dataclass, field

import numpy as np

from .camera import Pose, rot_y

#: Hair colours, linear-ish RGB before the shader's gamma: black to blond, red, grey.
HAIR_COLOURS = np.array([[.04, .035, .03], [.07, .05, .04], [.16, .10, .07], [.27, .17, .11], [.42, .29, .18], [.62, .48, .30], [.5, .2, .1], [.55, .55, .55]])

#: Styles that leave the whole face free, so that landmarks can be seen.
FREE_HAIR = ("short01", "short02", "short04", "ponytail01")


@dataclass
class Looks:
    """Everything about a person that is not shape."""

    skin: str
    brow: str
    iris: str
    hair: str | None
    hair_colour: np.ndarray
    skin_tint: np.ndarray = field(default_factory=lambda: np.ones(3))
    cloth: np.ndarray = field(default_factory=lambda: np.array([.1, .12, .16]))
    gloss: float = 0.1


@dataclass
class Light:
    """A panorama of the pack and how it is used."""

    panorama: str
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))
    exposure: float = 1.0
    background_shift: float = 0.0  #: 0..1, which part of the panorama stands behind
    background_blur: float = 1.0
    shadow: float = 1.0  #: 0 casts no shadow
    softness_mm: float = 8.0  #: radius of the shadow's edge


@dataclass
class Scene:
    """One picture."""

    identity: np.ndarray  #: up to 100 unit-variance coefficients
    shapes: np.ndarray  #: the pack's expression vector
    pose: Pose  #: camera_from_head, millimetres
    looks: Looks
    light: Light
    origin: np.ndarray  #: the head's origin in pack space
    shoulders_from_head: np.ndarray = field(default_factory=lambda: np.eye(3))  #: turn of the shoulders beside the head's


def random_looks(pack, rng):
    """A person's looks; dark skins go with dark hair and eyes."""
    skin = str(rng.choice(pack.skins))
    dark = "dark" in skin
    irises = [i for i in pack.irises if "brown" in i] if dark else pack.irises
    tone = rng.uniform(.85, 1.25) if dark else rng.uniform(.55, 1.08)
    return Looks(
        skin=skin, brow=str(rng.choice(pack.brows)), iris=str(rng.choice(irises)),
        hair=[None, *FREE_HAIR][rng.integers(len(FREE_HAIR) + 1)],
        hair_colour=(HAIR_COLOURS[rng.integers(2 if dark else 8)] * rng.uniform(.8, 1.25)).clip(0, 1),
        skin_tint=tone ** np.array([1, 1.3, 1.6]), cloth=rng.uniform(.02, .6) * rng.uniform(.4, 1, 3),
        gloss=rng.uniform(.04, .16),
    )


def random_light(panoramas, rng):
    """Any panorama, turned at random."""
    return Light(
        panorama=str(rng.choice(panoramas)), turn=rot_y(rng.uniform(0, 2 * np.pi)), exposure=rng.uniform(.8, 1.25),
        background_shift=rng.random(), background_blur=rng.random(),
    )

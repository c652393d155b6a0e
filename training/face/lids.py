"""Lashes, mascara and eyeliner heavier than the renderer's. On (n, n, 3) bytes.

A real eye that is shut is a dark line, often as thick as a slit that one looks through; a rendered one is skin with a thin line. A
network that has seen no more takes the line for a slit."""

import cv2
import numpy as np

from expression.coefficients import LANDMARK_MIRROR
from face.keypoints import RIGHT_LIDS

# From the outer corner to the inner one; of the subject's right eye.
LOWER, UPPER = np.array(RIGHT_LIDS[:9]), np.array(RIGHT_LIDS[:1] + RIGHT_LIDS[:7:-1])
# An eye that is open is about so many of its widths high.
OPEN = 0.3
# Lines are drawn so many times as large.
FINE = 4
# Eyes that are narrower, in pixels, show no line.
NARROW = 6.0


def line_lids(image, landmarks, visible, rng):
    """Draws a line along the rims of both eyes' lids, alike on either side: `landmarks` (478, 2 or 3) are 0 to 1 across the
    picture, `visible` (478,) 0 to 1."""
    image = image.copy()
    ink = Ink(rng)
    above = Line(ink, 0.13, 1.0, rng)
    below = Line(ink, 0.05, 0.8, rng) if rng.random() < 0.35 else None
    for side in (lambda lid: lid, lambda lid: LANDMARK_MIRROR[lid]):
        upper, lower = (image.shape[0] * landmarks[side(lid), :2] for lid in (UPPER, LOWER))
        above.draw(image, upper, lower, visible[side(UPPER)])
        if below:
            below.draw(image, lower, upper, visible[side(LOWER)])
    return image


class Ink:
    """Of the skin's brightness so much, how much of the skin it hides, and how far it is smeared, in widths of the eye."""

    def __init__(self, rng):
        self.shade, self.opaque, self.blur = rng.uniform([0.03, 0.4, 0.0], [0.45, 1.0, 0.03])


class Line:
    """How thick, in widths of the eye, and where it lies: along the rim, off it, beyond the corner."""

    def __init__(self, ink, thick, opaque, rng):
        self.ink = ink
        self.thick, self.opaque = rng.uniform(0.015, thick), ink.opaque * opaque * rng.uniform(0.7, 1)
        # Lashes of a shut eye hang below the rim, those of an open one stand above.
        self.hang, self.stand = rng.uniform(-0.02, 0.08), rng.uniform(-0.02, 0.05)
        # At the outer corner, in the middle and at the inner one.
        self.taper = rng.uniform([0.3, 0.7, 0.0], [1, 1, 0.7])
        self.wing = rng.uniform(0.05, 0.25) if rng.random() < 0.25 else 0.0

    def draw(self, image, rim, other, visible):
        """Draws it along `rim`; `other` is that of the other lid, both (9, 2) in pixels."""
        width = float(np.hypot(*(rim[-1] - rim[0])))
        if width < NARROW or visible.mean() < 0.5:
            return
        outline = self.outline(rim, other, visible, width)
        low = np.maximum(np.floor(outline.min(0) - 3), 0).astype(int)
        high = np.minimum(np.ceil(outline.max(0) + 3), image.shape[0]).astype(int)
        if (high - low < 1).any():
            return
        size = tuple((high - low).tolist())
        mask = np.zeros((FINE * size[1], FINE * size[0]), np.uint8)
        cv2.fillPoly(mask, [(16 * FINE * (outline - low)).astype(np.int32)], 255, cv2.LINE_AA, 4)
        if self.ink.blur * width > 0.2:
            mask = cv2.GaussianBlur(mask, (0, 0), FINE * self.ink.blur * width)
        share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)[..., None] * (self.opaque / 255)
        part = image[low[1] : high[1], low[0] : high[0]]
        # Of the skin around it: a line in the dark is no brighter.
        part[:] = part * (1 - share) + share * self.ink.shade * part.mean((0, 1))

    def outline(self, rim, other, visible, width):
        """The polygon that the line fills, of an eye of this width."""
        along = rim[-1] - rim[0]
        # Towards the other lid.
        across = np.array([-along[1], along[0]]) / width
        gap = float(np.mean((other - rim)[1:-1] @ across))
        if gap < 0:
            across, gap = -across, -gap
        shut = 1 - min(gap / (OPEN * width), 1)
        middle = rim + (shut * self.hang - (1 - shut) * self.stand) * width * across
        thick = self.thick * width * np.interp(np.linspace(0, 1, len(rim)), [0, 0.5, 1], self.taper) * visible
        if self.wing:
            tip = middle[0] - self.wing * (along + 0.4 * width * across)
            middle, thick = np.vstack([tip, middle]), np.append(0, thick)
        half = 0.5 * thick[:, None] * across
        return np.vstack([middle - half, (middle + half)[::-1]])

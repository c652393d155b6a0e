"""Lashes, mascara and eyeliner heavier than the renderer's. On (n, n, 3) bytes.

A real eye that is shut is a dark line, often as thick as a slit that one looks through; a rendered one is skin with a thin line. A
network that has seen no more takes the line for a slit."""

import cv2
import numpy as np

from expression.coefficients import LANDMARK_MIRROR

# From the outer corner to the inner one; of the subject's right eye.
UPPER = np.array([33, 246, 161, 160, 159, 158, 157, 173, 133])
LOWER = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133])
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
    lines = [Line(rng, 0.13, 1.0)] + ([Line(rng, 0.05, 0.8)] if rng.random() < 0.35 else [])
    shade, opaque, blur = rng.uniform([0.03, 0.4, 0.0], [0.45, 1.0, 0.03])
    for side in (lambda lid: lid, lambda lid: LANDMARK_MIRROR[lid]):
        upper, lower = (image.shape[0] * landmarks[side(lid), :2] for lid in (UPPER, LOWER))
        for line, rim, other, lid in zip(lines, (upper, lower), (lower, upper), (UPPER, LOWER)):
            draw(image, line, rim, other, visible[side(lid)], (shade, opaque, blur))
    return image


class Line:
    """How thick, in widths of the eye, and where it lies: along the rim, off it, beyond the corner."""

    def __init__(self, rng, thick, opaque):
        self.thick, self.opaque = rng.uniform(0.015, thick), opaque * rng.uniform(0.7, 1)
        # Lashes of a shut eye hang below the rim, those of an open one stand above.
        self.hang, self.stand = rng.uniform(-0.02, 0.08), rng.uniform(-0.02, 0.05)
        # At the outer corner, in the middle and at the inner one.
        self.taper = rng.uniform([0.3, 0.7, 0.0], [1, 1, 0.7])
        self.wing = rng.uniform(0.05, 0.25) if rng.random() < 0.25 else 0.0


def draw(image, line, rim, other, visible, ink):
    shade, opaque, blur = ink
    along = rim[-1] - rim[0]
    width = float(np.hypot(*along))
    if width < NARROW or visible.mean() < 0.5:
        return
    # Towards the other lid.
    across = np.array([-along[1], along[0]]) / width
    gap = float(np.mean((other - rim)[1:-1] @ across))
    if gap < 0:
        across, gap = -across, -gap
    shut = 1 - min(gap / (OPEN * width), 1)
    middle = rim + (shut * line.hang - (1 - shut) * line.stand) * width * across
    thick = line.thick * width * np.interp(np.linspace(0, 1, len(rim)), [0, 0.5, 1], line.taper) * visible
    if line.wing:
        tip = middle[0] - line.wing * (along + 0.4 * width * across)
        middle, thick = np.vstack([tip, middle]), np.append(0, thick)
    half = 0.5 * thick[:, None] * across
    outline = np.vstack([middle - half, (middle + half)[::-1]])
    low = np.maximum(np.floor(outline.min(0) - 3), 0).astype(int)
    high = np.minimum(np.ceil(outline.max(0) + 3), image.shape[0]).astype(int)
    if (high - low < 1).any():
        return
    size = tuple((high - low).tolist())
    mask = np.zeros((FINE * size[1], FINE * size[0]), np.uint8)
    cv2.fillPoly(mask, [(16 * FINE * (outline - low)).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if blur * width > 0.2:
        mask = cv2.GaussianBlur(mask, (0, 0), FINE * blur * width)
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)[..., None] * (opaque * line.opaque / 255)
    part = image[low[1] : high[1], low[0] : high[0]]
    # Of the skin around it: a line in the dark is no brighter.
    part[:] = part * (1 - share) + share * shade * part.mean((0, 1))

"""Turns a panorama into light: order-2 irradiance (spherical harmonics) and one key light for the brightest part."""

import numpy as np

#: Constants of the real spherical harmonics, and of their convolution with a cosine lobe over pi (Ramamoorthi 2001).
BASIS = np.array([0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274])
COSINE = np.array([1, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4])

#: The brightest 1.5 % of a panorama is taken for the key light: sun, window or lamp.
KEY_QUANTILE = 0.985


def split(panorama, turn):
    """Returns irradiance coefficients 9x3, the key light's direction (3) and colour (3) of a linear equirectangular
    panorama (H, W, 3; row 0 up, middle column towards +z) turned by the 3x3 `turn`. Axes: x left, y up, z front.
    """
    height, width = panorama.shape[:2]
    polar = (np.arange(height) + 0.5) / height * np.pi
    azimuth = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    sin = np.sin(polar)[:, None]
    up = np.repeat(np.cos(polar)[:, None], width, 1)
    direction = np.stack([sin * np.sin(azimuth), up, sin * np.cos(azimuth)], 2) @ turn.T
    solid_angle = sin * (np.pi / height) * (2 * np.pi / width)

    luminance = panorama.mean(2)
    threshold = np.quantile(luminance, KEY_QUANTILE)
    key = np.maximum(panorama - threshold, 0) * (luminance > threshold)[..., None]
    key_colour = (key * solid_angle[..., None]).sum((0, 1)) / np.pi
    key_direction = (direction * (key.mean(2) * solid_angle)[..., None]).sum((0, 1))
    key_direction /= np.linalg.norm(key_direction) + 1e-9

    x, y, z = direction[..., 0], direction[..., 1], direction[..., 2]
    harmonics = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    rest = panorama - key
    sums = [(rest * (h * solid_angle)[..., None]).sum((0, 1)) for h in harmonics]
    return (BASIS * BASIS * COSINE)[:, None] * np.array(sums), key_direction, key_colour


def exposure(irradiance, key_direction, key_colour):
    """Gain that brings a face turned to +z to a middle tone, whatever the panorama's own scale."""
    front_normal = np.array([0.0, 0.2, 0.98])
    front = (irradiance[0] + irradiance[2] * 0.98 + irradiance[1] * 0.2 + 2 * irradiance[6]).mean()
    front += key_colour.mean() * max(key_direction @ front_normal, 0)
    return 0.62 / max(0.7 * front + 0.3 * irradiance[0].mean() + 0.12 * key_colour.mean(), 1e-4)

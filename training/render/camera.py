"""Spaces and rotations, as the crate's `geom` module has them.

camera: millimetres, x right, y down, z forward. head: millimetres, origin midway between the outer eye corners, x to the
subject's left, y up, z out of the face. A transform is named `to_from`.
"""

from dataclasses import dataclass

import numpy as np

#: camera_from_head of a head that faces the camera.
NEUTRAL = np.diag([1.0, -1.0, -1.0])


def rot_x(rad):
    """Right-handed turn about x."""
    c, s = np.cos(rad), np.sin(rad)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rot_y(rad):
    """Right-handed turn about y."""
    c, s = np.cos(rad), np.sin(rad)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rot_z(rad):
    """Right-handed turn about z."""
    c, s = np.cos(rad), np.sin(rad)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def head_rotation(yaw_rad, pitch_rad, roll_rad):
    """camera_from_head: yaw > 0 turns to the subject's left, pitch > 0 looks down, roll > 0 raises the left ear."""
    return NEUTRAL @ rot_y(yaw_rad) @ rot_x(pitch_rad) @ rot_z(roll_rad)


@dataclass(frozen=True)
class Camera:
    """A pinhole without distortion, its axis through the middle of the image."""

    width: int
    height: int
    fov_rad: float  #: across the longer side

    @property
    def focal_px(self):
        return 0.5 * max(self.width, self.height) / np.tan(0.5 * self.fov_rad)

    def project(self, points_mm):
        """Camera-space points (..., 3) to image pixels (..., 2); (0, 0) is the corner of the first pixel."""
        xy = points_mm[..., :2] / points_mm[..., 2:] * self.focal_px
        return xy + np.array([self.width, self.height]) * 0.5

    def clip_from_camera(self, near_mm=60.0, far_mm=6000.0):
        """OpenGL's clip space (y up) from camera space."""
        fx, fy = 2 * self.focal_px / self.width, 2 * self.focal_px / self.height
        depth = (far_mm + near_mm) / (far_mm - near_mm), -2 * far_mm * near_mm / (far_mm - near_mm)
        return np.array([[fx, 0, 0, 0], [0, -fy, 0, 0], [0, 0, *depth], [0, 0, 1, 0]])


@dataclass(frozen=True)
class Pose:
    """Where a head is: `camera_from_head`."""

    rotation: np.ndarray  #: 3x3
    translation_mm: np.ndarray  #: the head's origin in camera space

    def to_camera(self, points_mm):
        """Head-space points (..., 3) to camera space."""
        return points_mm @ self.rotation.T + self.translation_mm

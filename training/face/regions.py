"""Eyes with their brows, and the mouth with the jaw, seen as if the head faced the camera."""

import torch
from torch import nn

from expression.coefficients import LANDMARK_MIRROR
from face import keypoints
from face.keypoints import Keypoints
from face.layers import convolution, enlarged, hidden
from face.operators import sampled

# Rows and columns. Of a face that fills its crop of 192 a cell is 1.3 pixels at the eyes, 1.9 at the mouth.
EYE, MOUTH = (40, 48), (48, 56)
EYE_FEATURES, MOUTH_FEATURES = 48, 96
FEATURES = 2 * EYE_FEATURES + MOUTH_FEATURES
# Left eye, right eye, mouth: the order of all that is told.
POINTS = keypoints.EYE + LANDMARK_MIRROR[keypoints.EYE].tolist() + keypoints.MOUTH


class Sheet:
    """A grid over part of the face in the head's frame, from its upper edge down."""

    def __init__(self, x, y, depth):
        self.x, self.y, self.depth = x, y, depth

    def points(self, rows, columns):
        """(rows * columns, 3): the middles of so many cells."""
        between = lambda ends, share: ends[0] + (ends[1] - ends[0]) * share
        x, y = between(self.x, keypoints.cells(rows, columns)[:, 0]), between(self.y, keypoints.cells(rows, columns)[:, 1])
        return torch.stack([x, y, self.depth(x)], 1)


LEFT_EYE = Sheet((0.0, 0.76), (0.44, -0.2), lambda x: 0.2 - 0.33 * x)
# As far down as the chin of an open mouth.
LIPS = Sheet((-0.62, 0.62), (-0.28, -1.408), lambda x: 0.34 - 0.9 * x * x)


class Look(nn.Module):
    """(n, 3, rows, columns) of what lies under a sheet -> (n, features), (n, 3, k) points on it in the head's frame, and
    the maps that they are read off."""

    def __init__(self, sheet, size, features, points):
        super().__init__()
        rows, columns = size
        self.second, self.fourth, self.eighth = convolution(3, 16, 3, 2), convolution(16, 32, 3, 2), convolution(32, 56, 3, 2)
        self.eighth_up, self.fourth_up = convolution(56, 32, 1, relu=False), convolution(16, 16, 1, relu=False)
        self.mix_fourth, self.mix_second = convolution(32, 16), convolution(16, 16, 1)
        self.points = Keypoints(16, points, sheet.points(rows // 2, columns // 2))
        cells = (rows // 8) * (columns // 8)
        self.features = nn.Sequential(convolution(56, 24, 1), nn.Flatten(), hidden(24 * cells, features))

    def forward(self, pixels):
        second = self.second(pixels)
        fourth = self.fourth(second)
        eighth = self.eighth(fourth)
        features = self.features(eighth)
        fourth = self.mix_fourth(torch.relu(fourth + enlarged(self.eighth_up(eighth))))
        return features, *self.points(self.mix_second(torch.relu(second + enlarged(self.fourth_up(fourth)))))


class Regions(nn.Module):
    """`pixels` -> (n, FEATURES) of what is seen on sheets that are fixed to the head, and (n, 3, k) places of POINTS on them. And for
    each sheet the maps (n, k, cells) of its points and where in the head its cells are, (3, cells).

    Turn, place and size of the head are taken away before anything is learnt: a raised brow or a jaw moved aside is then
    something that is elsewhere in the picture. Both eyes are looked at by one network, the right one in a mirror."""

    def __init__(self):
        super().__init__()
        mirror = torch.tensor([-1.0, 1, 1])
        left = LEFT_EYE.points(*EYE)
        self.register_buffer("sheets", torch.cat([left, left * mirror, LIPS.points(*MOUTH)]).T.contiguous(), persistent=False)
        self.register_buffer("mirror", mirror[:, None], persistent=False)
        self.eye = Look(LEFT_EYE, EYE, EYE_FEATURES, len(keypoints.EYE))
        self.mouth = Look(LIPS, MOUTH, MOUTH_FEATURES, len(keypoints.MOUTH))

    def expect(self, neutral):
        """Starts from the mean person at rest, (478, 3) in the head's frame."""
        for look, indices in ((self.eye, keypoints.EYE), (self.mouth, keypoints.MOUTH)):
            look.points.expect(neutral[indices], 0.12)

    def forward(self, pixels):
        n, each = len(pixels), EYE[0] * EYE[1]
        left, right, mouth = pixels.split([each, each, MOUTH[0] * MOUTH[1]], 2)
        # The left eyes, then the right ones.
        eyes = torch.cat([left, right]).reshape(2 * n, 3, *EYE)
        eyes, at_eyes, eye_maps = self.eye(eyes)
        mouth, at_mouth, mouth_maps = self.mouth(mouth.reshape(n, 3, *MOUTH))
        features = torch.cat([eyes[:n].float(), eyes[n:].float(), mouth.float()], 1)
        left, lips = self.eye.points.places, self.mouth.points.places
        maps = [(eye_maps[:n], left), (eye_maps[n:], left * self.mirror), (mouth_maps, lips)]
        return features, torch.cat([at_eyes[:n], at_eyes[n:] * self.mirror, at_mouth], 2), maps

    def pixels(self, image, frame):
        """(n, 3, k): what lies under the sheets, as `forward` takes it."""
        with torch.autocast(image.device.type, enabled=False):
            return sampled(image, self.sheets, frame.crop_from_head, frame.shift)

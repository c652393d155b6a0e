"""Eyes with their brows, and the mouth with the jaw, seen as if the head faced the camera."""

import torch
from torch import nn

from face.layers import convolution, sampled

# Rows and columns of pixels, which a crop of 192 hardly resolves better.
EYE, MOUTH = (40, 48), (40, 56)
EYE_FEATURES, MOUTH_FEATURES = 80, 128
REGIONS = 2 * EYE_FEATURES + MOUTH_FEATURES


def sheet(size, x, y, depth):
    """(rows * columns, 3): a grid over part of the face in the head's frame, from its upper edge down."""
    rows, columns = size
    across, down = torch.linspace(*x, columns), torch.linspace(*y, rows)
    points = [torch.stack([u, v, depth(u)]) for v in down for u in across]
    return torch.stack(points)


def look(size, features):
    """(n, 3, *size) pixels -> (n, features)."""
    rows, columns = size
    return nn.Sequential(
        convolution(3, 16, 3, 2), convolution(16, 24, 3, 2), convolution(24, 24), convolution(24, 64, 3, 2), nn.Flatten(),
        nn.Sequential(nn.Linear(64 * (rows // 8) * (columns // 8), features, bias=False), nn.BatchNorm1d(features), nn.ReLU()),
    )  # fmt: skip


class Regions(nn.Module):
    """(n, REGIONS) of what is seen on sheets that are fixed to the head.

    Turn, place and size of the head are taken away before anything is learnt: a raised brow or a jaw moved aside is then
    something that is elsewhere in the picture. Both eyes are looked at by one network, the right one in a mirror."""

    def __init__(self):
        super().__init__()
        left = sheet(EYE, (0.0, 0.76), (0.44, -0.2), lambda x: 0.2 - 0.33 * x)
        mouth = sheet(MOUTH, (-0.62, 0.62), (-0.28, -1.22), lambda x: 0.34 - 0.9 * x * x)
        right = left * torch.tensor([-1.0, 1, 1])
        self.register_buffer("sheets", torch.cat([left, right, mouth]).T.contiguous(), persistent=False)
        self.eye, self.mouth = look(EYE, EYE_FEATURES), look(MOUTH, MOUTH_FEATURES)

    def forward(self, image, frame):
        pixels = self.pixels(image, frame)
        n, each = len(image), EYE[0] * EYE[1]
        left, right, mouth = pixels.split([each, each, MOUTH[0] * MOUTH[1]], 2)
        eyes = torch.stack([left, right], 1).reshape(2 * n, 3, *EYE)
        seen = self.eye(eyes).reshape(n, 2 * EYE_FEATURES)
        return torch.cat([seen, self.mouth(mouth.reshape(n, 3, *MOUTH))], 1)

    def pixels(self, image, frame):
        with torch.autocast(image.device.type, enabled=False):
            return sampled(image, frame.to_crop(self.sheets)[:, :2])

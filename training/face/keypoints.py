"""Points whose place is read off maps, and which ones they are in MediaPipe's indexing."""

import torch
from torch import nn

from expression.coefficients import LANDMARK_MIRROR
from face.operators import soft_argmax

# Around the subject's right eye: the lower lid from the outer corner, then the upper one from the inner.
RIGHT_LIDS = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
_RIGHT_BROW = [70, 63, 105, 66, 107, 46, 53, 52, 65, 55]
# The subject's left eye with its brow: lids, iris, brow, and the fold above the lid.
EYE = LANDMARK_MIRROR[RIGHT_LIDS + [468, 469, 470, 471, 472] + _RIGHT_BROW + [27]].tolist()
# Lips outside and inside, the chin and what is below the nose.
MOUTH = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 78, 95, 88, 178, 87, 14,
         317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 152, 199, 200, 2]  # fmt: skip
_OVAL = [109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148]
_RIGHT = [*_OVAL, 98, 64, 129, 198, 70, 63, 105, 66, 107, 55, 46, 33, 133, 159, 145, 160, 153, 61, 37, 84, 50, 205, 187]
_MIDDLE = [10, 152, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 0, 17, 13, 14]
# All over the face, its outline above all.
FACE = [*_RIGHT, *LANDMARK_MIRROR[_RIGHT].tolist(), *_MIDDLE]


# A softmax that picks one cell of hundreds wants large numbers, to which weights come slowly.
SHARPNESS = 8.0


class Keypoints(nn.Module):
    """(n, channels, rows, columns) -> (n, d, k) places of k points: for each the mean of the cells' places, (cells, d),
    weighed by the softmax of a map of its own (Nibali et al. 2018). And these maps before their softmax, (n, k, cells).

    A point that is elsewhere is a map that is moved: nothing need be learnt anew for each place it can be in.
    """

    def __init__(self, channels, count, places):
        super().__init__()
        self.sharpness = SHARPNESS
        self.maps = nn.Conv2d(channels, count, 1, bias=False)
        nn.init.normal_(self.maps.weight, std=0.2 / SHARPNESS)
        # Where points are before anything is seen.
        self.prior = nn.Parameter(torch.zeros(count, len(places)))
        self.register_buffer("places", places.T.contiguous(), persistent=False)

    def expect(self, means, spread):
        """Starts from points (k, d) that stray by `spread`."""
        with torch.no_grad():
            self.prior.copy_(-torch.cdist(means, self.places.T).square() / (2 * spread**2))

    def forward(self, x):
        # Half precision would put points on a grid.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() if self.sharpness == 1 else self.sharpness * x.float()
            maps = self.maps(x)
            return soft_argmax(maps, self.prior, self.places), maps.flatten(2) + self.prior


def sharpen(net, sharpness=1.0):
    """Leaves that much of the sharpness out of the weights of a network's keypoints. ONNX Runtime would multiply for it where
    the weights can hold all."""
    for m in net.modules():
        if isinstance(m, Keypoints):
            with torch.no_grad():
                m.maps.weight.mul_(m.sharpness / sharpness)
            m.sharpness = sharpness


def cells(rows, columns):
    """(rows * columns, 2): middles of the cells of a map, x and y of 0 to 1."""
    x, y = (torch.arange(columns) + 0.5) / columns, (torch.arange(rows) + 0.5) / rows
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).view(-1, 2)

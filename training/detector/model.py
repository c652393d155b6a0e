"""The detector: bottlenecks down to strides of 8, 16 and 32 pixels, and up again to one map of stride 8."""

import torch
from torch import nn

from detector.data import CELLS, SIZE, STRIDE
from face.keypoints import cells
from face.layers import convolution, enlarged
from face.model import Bottleneck, fold


class Detector(nn.Module):
    """(n, 3, SIZE, SIZE) of 0 to 1 -> for each cell, row by row, 16 numbers of a box and its points, and a logit.

    Positions are pixels from the cell's centre, the size is in pixels: what the packaged detectors give too.
    """

    def __init__(self):
        super().__init__()
        self.near = nn.Sequential(
            convolution(3, 8, 3, 2), convolution(8, 16, 3, 2), Bottleneck(16, 32, 16, 2), Bottleneck(32, 32, 16)
        )
        self.middle = nn.Sequential(Bottleneck(32, 64, 24, 2), Bottleneck(64, 64, 24), Bottleneck(64, 64, 24))
        self.far = nn.Sequential(Bottleneck(64, 96, 32, 2), Bottleneck(96, 96, 32), Bottleneck(96, 96, 32))
        self.far_up, self.middle_up = convolution(96, 64, 1, relu=False), convolution(64, 32, 1, relu=False)
        self.mix_middle, self.mix_near = Bottleneck(64, 64, 24), Bottleneck(32, 48, 24)
        self.head = nn.Conv2d(48, 17, 1)
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[16] = -4.0
        self.register_buffer("centres", SIZE * cells(CELLS, CELLS), persistent=False)

    def forward(self, image):
        near = self.near((image - 0.5) * 4)
        middle = self.middle(near)
        far = self.far(middle)
        middle = self.mix_middle(torch.relu(middle + enlarged(self.far_up(far))))
        near = self.mix_near(torch.relu(near + enlarged(self.middle_up(middle))))
        out = self.head(near).flatten(2).transpose(1, 2).float()
        size = (out[:, :, 2:4].clamp(-4, 4)).exp() * 32
        # Points in sizes of a face: the same number for near and far ones.
        points = torch.cat([out[:, :, :2] * STRIDE, size, out[:, :, 4:16] * size.mean(2, keepdim=True)], 2)
        return points, out[:, :, 16]


def with_weights(weights):
    """A detector of these weights, with batch normalisation folded where theirs is."""
    net = Detector()
    if not any(name.endswith("running_mean") for name in weights):
        fold(net)
    net.load_state_dict({name: weights[name] for name in net.state_dict()})
    return net


class Exported(nn.Module):
    """What the product reads: `image` (1, 3, SIZE, SIZE) of -1 to 1, as the packaged detectors take it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image):
        boxes, scores = self.net(image * 0.5 + 0.5)
        return boxes, scores


INPUT_SHAPE = (1, 3, SIZE, SIZE)

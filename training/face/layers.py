"""Pieces that the parts of the network share."""

import torch
from torch import nn


def convolution(inputs, outputs, kernel=3, stride=1, relu=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def enlarged(x):
    """Twice the rows and columns."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def sampled(image, at):
    """(n, c, h, h) at (n, 2, k) places of 0 to 1, bilinearly, the edge repeated: (n, c, k)."""
    if not torch.onnx.is_in_onnx_export():
        grid = (at * 2 - 1).transpose(1, 2).unsqueeze(1)
        return nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
    # The same by gathering, pixel by pixel: faster in ONNX Runtime than its GridSample. One face at a time.
    side = image.shape[2]
    place = (at[0] * side - 0.5).clamp(0, side - 1)
    low = place.floor().clamp(0, side - 2)
    right, down = (place - low).unbind(0)
    left, up = 1 - right, 1 - down
    first = (low[1] * side + low[0]).long()
    rows = image[0].flatten(1).T[torch.cat([first, first + 1, first + side, first + side + 1])]
    # Places last again, or it multiplies them one by one.
    a, b, c, d = rows.T.split(at.shape[2], 1)
    return (a * (left * up) + b * (right * up) + c * (left * down) + d * (right * down)).unsqueeze(0)

"""Pieces that the parts of the network share."""

import torch
from torch import nn


def convolution(inputs, outputs, kernel=3, stride=1, relu=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def sampled(image, at):
    """(n, c, h, h) at (n, k, 2) places of 0 to 1, bilinearly, the edge repeated: (n, k, c)."""
    if not torch.onnx.is_in_onnx_export():
        grid = (at * 2 - 1).unsqueeze(1)
        values = nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return values[:, :, 0].transpose(1, 2)
    # The same by gathering rows: five times as fast in ONNX Runtime as its GridSample. One face at a time.
    side = image.shape[2]
    rows = image[0].flatten(1).transpose(0, 1)
    place = (at[0] * side - 0.5).clamp(0, side - 1)
    low = place.floor().clamp(0, side - 2)
    share = (place - low).unsqueeze(2)
    first = (low[:, 1] * side + low[:, 0]).long()
    right, down = share[:, 0], share[:, 1]
    upper = rows[first] * (1 - right) + rows[first + 1] * right
    lower = rows[first + side] * (1 - right) + rows[first + side + 1] * right
    return (upper * (1 - down) + lower * down).unsqueeze(0)

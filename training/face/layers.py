"""Pieces that the parts of the network share."""

import torch
from torch import nn


def convolution(inputs, outputs, kernel=3, stride=1, relu=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def hidden(inputs, outputs):
    """Normalised, or a few steps too far leave most units where no face reaches their ReLU, and without a gradient for good:
    what they are told is not centred, and each step moves all its weights."""
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())


def enlarged(x):
    """Twice the rows and columns."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")

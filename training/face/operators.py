"""What the exported network has operators of its own for, in training and as any ONNX Runtime does it.

facetrackd has quick ones (src/infer/operators.rs) where a runtime has slow ones or dozens of small ones. In face.onnx each is a
function of standard operators besides, so that any runtime runs the file.
"""

import io

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

DOMAIN, OPSET = "facetrackd", 17
# From the picture's axes, y down and z away, to the head's.
UPRIGHT = (1.0, -1.0, -1.0)


def in_pixels(points, crop_from_head, shift, side):
    """(n, 2, k): where points are in a picture of `side`, the middle of the first pixel being 0."""
    return side * crop_from_head[:, :2] @ points + (side * shift[:, :2] - 0.5)


def resampled(image, points, crop_from_head, shift):
    """(n, c, h, h) where points of the head, (3, k), are seen in it, bilinearly, the edge repeated: (n, c, k)."""
    at = in_pixels(points, crop_from_head, shift, image.shape[2])
    grid = ((2 * at + 1) / image.shape[2] - 1).transpose(1, 2).unsqueeze(1)
    return nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]


def gathered(image, points, crop_from_head, shift):
    """The same of one picture number by number: two fifths of the time of ONNX Runtime's GridSample."""
    side, channels = image.shape[2], image.shape[1]
    at = in_pixels(points, crop_from_head, shift, side).clamp(0, side - 1)
    low = at.floor().clamp(0, side - 2)
    (x, y), (right, down) = low.split(1, 1), (at - low).split(1, 1)
    # Upper left, lower left, upper right, lower right, for every channel.
    first = side * y + x
    index = torch.cat([first, first + side, first + 1, first + side + 1], 2).long()
    values = image.flatten(2).gather(2, torch.cat(channels * [index], 1))
    left, beside = values.view(1, channels, 2, 2, -1).split(1, 2)
    upper, lower = (left + right[:, :, None, None] * (beside - left)).split(1, 3)
    return (upper + down[:, :, None, None] * (lower - upper))[:, :, 0, 0]


def framed(landmarks, weights, middle):
    """Where landmarks (n, k, 3) in crops have the head's own frame: its turn (n, 3, 3), the same in the picture's axes and times
    the size, the origin (n, 3, 1) in the crop, and the size (n, 1, 1). `weights` (4, k) are what landmarks are multiplied by for
    the place that stands for the head and for where its axes point; `middle` (3) is that place in the head."""
    means = weights @ landmarks
    # Rows: where the head's axes point.
    axes = means[:, 1:] * means.new_tensor(UPRIGHT)
    turn = rotation_from_6d(axes[:, :2].flatten(1))
    size = (axes.flatten(1).norm(dim=1) / 3**0.5).clamp_min(1e-6)[:, None, None]
    turned = turn.new_tensor(UPRIGHT)[:, None] * turn
    crop_from_head = turned * size
    return turn, turned, crop_from_head, means[:, :1].transpose(1, 2) - crop_from_head @ middle[:, None], size


def rotation_from_6d(v):
    """(n, 6) -> (n, 3, 3): two columns made orthonormal, the third their cross product (Zhou et al. 2019)."""
    unit = lambda x: x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    a, b = unit(v[:, :3]), v[:, 3:]
    b = unit(b - (a * b).sum(1, keepdim=True) * a)
    return torch.stack([a, b, cross(a, b)], 2)


def cross(a, b):
    """As torch.cross, in operators that ONNX has."""
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]


def read_off(maps, prior, places):
    """(n, k, rows, columns) maps, (k, cells) added to them and (d, cells) places -> (n, d, k): the mean place by each map's softmax."""
    return ((maps.flatten(2) + prior).softmax(2) @ places.T).transpose(1, 2)


def operator(name, plain, shapes, trained=None):
    """What does as `trained`, or else `plain`, but in an exported graph is one node that gives tensors of these shapes, told from those
    that it takes."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(_, *inputs):
            return plain(*inputs)

        @staticmethod
        def symbolic(graph, *inputs):
            told = shapes(*(v.type().sizes() for v in inputs))
            out = graph.op(f"{DOMAIN}::{name}", *inputs, outputs=len(told))
            typed = lambda value, shape: value.setType(inputs[0].type().with_sizes(shape))
            return typed(out, told[0]) if len(told) == 1 else tuple(map(typed, out, told))

    return lambda *inputs: (Own.apply if torch.onnx.is_in_onnx_export() else trained or plain)(*inputs)


sampled = operator("Sample", gathered, lambda image, points, *_: [[1, image[1], points[1]]], resampled)
head_frame = operator("HeadFrame", framed, lambda *_: [[1, 3, 3]] * 3 + [[1, 3, 1], [1, 1, 1]])
soft_argmax = operator("SoftArgmax", read_off, lambda maps, _, places: [[maps[0], places[0], maps[1]]])


class Plain(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def functions(net, image):
    """What our operators stand for in a network that takes an image of this shape."""
    frame = net.head_frame
    head = [torch.zeros(1, 3, 3), torch.zeros(1, 3, 1)]
    return [
        traced("Sample", gathered, [torch.zeros(image), net.regions.sheets, *head], 1),
        traced("HeadFrame", framed, [torch.zeros(1, frame.weights.shape[1], 3), frame.weights, frame.middle], 5),
        # For maps of any size: there are three.
        named(
            "SoftArgmax", ["maps", "prior", "places"], ["points"],
            [
                helper.make_node("Constant", [], ["shape"], value_ints=[0, 0, -1]),
                helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
                helper.make_node("Add", ["flat", "prior"], ["scores"]),
                helper.make_node("Softmax", ["scores"], ["shares"], axis=2),
                helper.make_node("Transpose", ["places"], ["cells"], perm=[1, 0]),
                helper.make_node("MatMul", ["shares", "cells"], ["means"]),
                helper.make_node("Transpose", ["means"], ["points"], perm=[0, 2, 1]),
            ],
        ),
    ]  # fmt: skip


def traced(name, function, example, gives):
    """An operator's function as PyTorch exports it for such inputs."""
    takes, out = [f"in{i}" for i in range(len(example))], [f"out{i}" for i in range(gives)]
    file = io.BytesIO()
    torch.onnx.export(
        Plain(function), tuple(example), file, input_names=takes, output_names=out, opset_version=OPSET, dynamo=False
    )
    graph = onnx.load_from_string(file.getvalue()).graph
    narrow(graph)
    constants = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    return named(name, takes, out, [*constants, *graph.node])


def named(name, takes, gives, nodes):
    return helper.make_function(DOMAIN, name, takes, gives, nodes, [helper.make_opsetid("", OPSET)])


def narrow(graph):
    """Pixels are gathered by 32-bit places: PyTorch knows 64-bit ones alone, which take a fiftieth of a run longer."""
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.INT64:
                attribute.i = TensorProto.INT32

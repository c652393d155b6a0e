"""The weights of an exported network, to train on from where the run that made it is gone."""

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from face.keypoints import SHARPNESS, sharpen
from face.model import FaceNet, fold


class ShippedError(ValueError):
    """The file is no face.onnx that `export.py` made of this network."""


def tensors(path):
    """What the graph holds, by PyTorch's names where the exporter kept them."""
    graph = onnx.load(path).graph
    values = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in graph.initializer}
    return {name.removeprefix("net.").removesuffix("_half"): t for name, t in values.items()}


def shipped(path):
    """The network in face.onnx, batch normalisation folded."""
    if any(n.op_type == "Mul" and "keypoints/" in n.name for n in onnx.load(path).graph.node):
        raise ShippedError(f"{path} is of an older export, whose maps' weights lack their sharpness; export it anew from its model.pt")
    weights = tensors(path)
    net = fold(FaceNet(neutral="neutral.weight" in weights))
    sharpen(net)
    expected = net.state_dict()
    # What the exporter turned about or picked rows from has lost its name, but not its shape.
    nameless = {tuple(t.shape): t for name, t in weights.items() if name not in expected}
    mean = torch.zeros_like(net.neutral_mean)
    try:
        mean[net.settled] = nameless[3, len(net.settled)].T
        mean[net.shaped] = nameless[len(net.shaped), 3]
        weights |= {"settle.weight": nameless[tuple(net.settle.weight.T.shape)].T, "neutral_mean": mean}
        # What training alone asks for is not in the file, and begins anew.
        net.load_state_dict({name: value if name.startswith("doubt.") else weights[name] for name, value in expected.items()})
    except (KeyError, RuntimeError) as error:
        raise ShippedError(f"{path} does not hold this network's weights ({error}); export it anew with face.export") from error
    sharpen(net, SHARPNESS)
    return net


@torch.no_grad()
def unfold_linear(net, images):
    """Gives linear layers their batch normalisation back, so that they can be trained on; `images` tell its means and
    deviations. The network says the same as before."""
    kept = {}
    layers = [m for m in net.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Linear) and isinstance(m[1], nn.Identity)]
    hooks = [m[0].register_forward_hook(lambda layer, inputs, _: kept.update({layer: inputs[0]})) for m in layers]
    net.eval()(images)
    for hook in hooks:
        hook.remove()
    for module in layers:
        old = module[0]
        new, norm = nn.Linear(old.in_features, old.out_features, bias=False), nn.BatchNorm1d(old.out_features)
        # The normalisation undoes any scale: that of fresh weights suits the learning rate.
        scale = new.weight.std() / old.weight.std(1, keepdim=True).clamp_min(1e-9)
        new.weight.copy_(old.weight * scale)
        out = new(kept[old].float())
        norm.running_mean.copy_(out.mean(0))
        norm.running_var.copy_(out.var(0))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale[:, 0])
        norm.bias.copy_(old.bias + norm.running_mean / scale[:, 0])
        module[0], module[1] = new, norm
    return net.eval()

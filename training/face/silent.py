"""Hidden units of the heads that say nothing of any face, and how they are woken. A step too far puts a unit where no face
reaches its ReLU; without a gradient it stays there, and its weights decay. `layers.hidden` says what keeps them from it."""

from contextlib import contextmanager

import torch
from torch import nn


def readers(net):
    """Each head's hidden layer with the layers that are told of it."""
    return {
        net.correction[0]: [net.correction[1]],
        net.pose[0]: [net.pose[1]],
        net.eyes[0]: [net.eyes[1], net.sided],
        net.expression[0]: [net.expression[1]],
        net.together[0]: [net.together[1]],
    }


@contextmanager
def listening(layers):
    """What layers are told in the meantime: their last inputs, by the layer."""
    inputs = {}
    hooks = [layer.register_forward_pre_hook(lambda layer, told: inputs.update({layer: told[0]})) for layer in layers]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def told(net, images):
    """What each hidden layer is told of the faces: its inputs, (n, inputs), by the layer."""
    with listening(readers(net)) as inputs:
        net.eval()(images)
    return inputs


def is_silent(layer, inputs):
    return (layer(inputs) <= 0).all(0)


@torch.no_grad()
def silent_share(net, images):
    """Share of the heads' hidden units that say nothing of all these faces."""
    units = torch.cat([is_silent(*item) for item in told(net, images).items()])
    return float(units.float().mean())


@torch.no_grad()
def revive(net, images):
    """Gives units that are silent on all of these faces fresh weights, and no say as yet: the network says the same as
    before. Gives how many there were."""
    count = 0
    for layer, inputs in told(net, images).items():
        silent = is_silent(layer, inputs)
        if not silent.any():
            continue
        linear, norm = layer[0], layer[1]
        fresh = nn.Linear(linear.in_features, int(silent.sum()), bias=False)
        out = fresh(inputs)
        linear.weight[silent] = fresh.weight
        norm.running_mean[silent], norm.running_var[silent] = out.mean(0), out.var(0)
        # Each speaks up on half of the faces.
        norm.weight[silent], norm.bias[silent] = 1, 0
        for reader in readers(net)[layer]:
            reader.weight[:, silent] = 0
        count += int(silent.sum())
    return count

"""The face network.

A trunk of bottlenecks with full 3 x 3 convolutions: counted in multiply-adds depthwise ones look cheaper, in ONNX Runtime
on one thread they are slower, and so they are to train (README.md has the figures). ReLU only: anything else throws the
runtime off its blocked layout.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from expression.align import PLACE, STABLE, WEIGHT
from expression.coefficients import LANDMARK_MIRROR
from face.data import SIZE
from face.layers import convolution, sampled
from face.regions import EYE_FEATURES, MOUTH_FEATURES, REGIONS, Regions

POINTS, COEFFICIENTS, IDENTITY = 478, 52, 100
FEATURES, LOCAL, SHAPE = 320, 192, 96
LIGHT = 9 * 3
# From the picture's axes, y down and z away, to the head's.
UPRIGHT = (1.0, -1.0, -1.0)
_RIGHT = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 468, 469, 470, 471, 472, 27, 23,
          70, 63, 105, 66, 107, 52, 50, 205, 98]  # fmt: skip
_MIDDLE = [0, 13, 14, 17, 37, 267, 40, 270, 61, 291, 78, 308, 80, 310, 82, 312, 84, 314, 87, 317, 88, 318, 91, 321,
           181, 405, 1, 6, 9, 18, 152, 164, 200, 43, 273]  # fmt: skip
# Lids, irises, brows, cheeks and nostrils of both sides, lips, nose and chin.
LOOKED_AT = sorted({*_RIGHT, *_MIDDLE, *LANDMARK_MIRROR[_RIGHT].tolist()})


class Bottleneck(nn.Module):
    """He et al. 2015, with the stride in the 3 x 3."""

    def __init__(self, inputs, outputs, middle, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, middle, 1), convolution(middle, middle, 3, stride), convolution(middle, outputs, 1, relu=False)
        )
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else convolution(inputs, outputs, 1, stride, relu=False)
        nn.init.zeros_(self.body[-1][1].weight)

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


class Trunk(nn.Module):
    """(n, 3, 192, 192) of -2 to 2 -> (n, FEATURES), and the maps of 48 x 48 and 24 x 24 on the way."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(
            convolution(3, 12, 3, 2), convolution(12, 28, 3, 2),
            Bottleneck(28, 28, 16),
            Bottleneck(28, 64, 32, 2), Bottleneck(64, 64, 32),
            Bottleneck(64, 128, 48, 2), Bottleneck(128, 128, 48),
        )  # fmt: skip
        self.coarse = Bottleneck(128, 192, 64, 2)
        # Where things are is read off the maps themselves; averaging them first would lose it. The finer map is for lids
        # and lips.
        self.fine_out, self.coarse_out = convolution(128, 16, 1), convolution(192, 32, 1)
        side = SIZE // 16
        inputs = 16 * side**2 + 32 * (side // 2) ** 2
        # Normalised, or the first steps, which pull all heads to the mean face, silence every feature for good.
        self.join = nn.Sequential(nn.Linear(inputs, FEATURES, bias=False), nn.BatchNorm1d(FEATURES))

    def forward(self, image):
        large = self.fine[:3](image)
        small = self.fine[3:5](large)
        fine = self.fine[5:](small)
        coarse = self.coarse(fine)
        maps = [self.fine_out(fine).flatten(1), self.coarse_out(coarse).flatten(1)]
        return torch.relu(self.join(torch.cat(maps, 1))), (large, small)


class Local(nn.Module):
    """What the maps hold at landmarks around eyes, brows, nose and mouth: (n, LOCAL).

    A lid's edge is looked at where the lid is, so that nothing need be learnt anew for each place it can be in."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("points", torch.tensor(LOOKED_AT))
        self.each = nn.ModuleList(nn.Linear(c, 12) for c in channels)
        inputs = 12 * len(channels) * len(LOOKED_AT)
        self.join = nn.Sequential(nn.Linear(inputs, LOCAL, bias=False), nn.BatchNorm1d(LOCAL))

    def forward(self, maps, landmarks):
        # Where to look is not learnt from what is seen there.
        at = landmarks.detach()[:, self.points, :2].transpose(1, 2)
        seen = torch.cat([each(sampled(m.float(), at).transpose(1, 2)) for each, m in zip(self.each, maps)], 2)
        return torch.relu(self.join(torch.relu(seen).flatten(1)))


class HeadFrame(nn.Module):
    """Where a crop's landmarks have the head's own frame: `solve::align` in one closed step, without its rounds against
    outliers."""

    def __init__(self):
        super().__init__()
        weight = torch.tensor(WEIGHT / WEIGHT.sum()).float()
        place = torch.tensor(PLACE).float()
        middle = weight @ place
        away = place - middle
        fit = torch.linalg.solve((away.T * weight) @ away, away.T * weight)
        for name, value in (("stable", torch.tensor(STABLE)), ("weight", weight), ("middle", middle), ("fit", fit)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, landmarks):
        stable = landmarks[:, self.stable] * landmarks.new_tensor(UPRIGHT)
        start = (self.weight[:, None] * stable).sum(1, keepdim=True)
        # Rows: where the head's axes point.
        axes = self.fit @ (stable - start)
        turn = rotation_from_6d(axes[:, :2].flatten(1))
        size = axes.square().sum((1, 2), keepdim=True).div(3).sqrt().clamp_min(1e-6)
        return Frame(start, turn, size, self.middle)


class Frame:
    """The way between crops and heads of a batch, (n, k, 3) each. In the head, turn, size and place are gone; what is left
    is who it is and what the face does."""

    def __init__(self, start, turn, size, middle):
        self.start, self.turn, self.size, self.middle = start, turn, size, middle
        self.upright = turn.new_tensor(UPRIGHT)
        # What a step in the head is in the crop.
        self.crop_from_head = self.upright[:, None] * turn * size

    def to_head(self, points):
        return (points * self.upright - self.start) @ self.turn / self.size + self.middle

    def to_crop(self, points):
        """As `to_head` back, but coordinates first: (n, 3, k). ONNX Runtime multiplies rows of three one by one."""
        shift = (self.start * self.upright).transpose(1, 2) - self.crop_from_head @ self.middle[:, None]
        return self.crop_from_head @ points + shift


def cross(a, b):
    """As torch.cross, in operators that ONNX has."""
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]


class FaceNet(nn.Module):
    """All heads on one trunk. `forward` gives what the losses need, `Exported` what the product reads."""

    def __init__(self, neutral=True):
        super().__init__()
        self.frozen = False
        self.trunk, self.local, self.regions, self.head_frame = Trunk(), Local((28, 64)), Regions(), HeadFrame()
        self.landmarks = nn.Linear(FEATURES, POINTS * 3)
        # What is seen at the landmarks puts them right: a step of supervised descent (Xiong and De la Torre 2013).
        self.refine = nn.Linear(LOCAL, POINTS * 3)
        # The same in the head's frame, from eyes and mouth seen from the front.
        self.settle = nn.Linear(REGIONS, POINTS * 3)
        self.log_sigma = nn.Linear(FEATURES, POINTS)
        self.pose = nn.Sequential(nn.Linear(FEATURES, 96), nn.ReLU(), nn.Linear(96, 6 + 3))
        self.eyes = nn.Sequential(nn.Linear(FEATURES + LOCAL + 2 * EYE_FEATURES, 96), nn.ReLU(), nn.Linear(96, 6 + 2))
        self.scene = nn.Linear(FEATURES, LIGHT)
        self.identity = nn.Linear(FEATURES, IDENTITY)
        self.presence = nn.Linear(FEATURES, 1)
        # A mouth drawn aside looks the same where it is; its place in the head tells. The person at rest tells a raised
        # brow from a high one.
        self.shape = nn.Linear(POINTS * 3, SHAPE)
        self.neutral = nn.Linear(POINTS * 3, SHAPE) if neutral else None
        self.expression = nn.Sequential(
            nn.Linear(FEATURES + LOCAL + REGIONS + (2 if neutral else 1) * SHAPE, 192), nn.ReLU(), nn.Linear(192, COEFFICIENTS)
        )
        self.register_buffer("neutral_mean", torch.zeros(POINTS, 3))
        with torch.no_grad():
            for head in (self.landmarks, self.log_sigma, self.scene, self.identity, self.presence, self.pose[-1], self.eyes[-1]):
                head.weight.mul_(0.1)
            for correction in (self.refine, self.settle):
                nn.init.zeros_(correction.weight)
                nn.init.zeros_(correction.bias)
            self.log_sigma.bias.fill_(-3.5)
            self.pose[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0, -1, 0, 0.5, 0.5, -1.5]))
            self.eyes[-1].bias.copy_(torch.tensor([0.0, 0, -1, 0, 0, -1, 0.8, 0.8]))

    def freeze_trunk(self):
        """Lets only heads and regions learn from now on, which costs less."""
        self.frozen = True
        self.trunk.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def start_from(self, landmarks, neutrals):
        """Sets the mean face (478, 3) that training starts from, and the mean neutral."""
        with torch.no_grad():
            self.landmarks.bias.copy_(landmarks.flatten())
            self.neutral_mean.copy_(neutrals)

    def forward(self, image, neutral=None, known=None):
        """`image` is (n, 3, 192, 192) of -2 to 2."""
        f, maps = self.trunk(image)
        # Half precision would put landmarks on a grid of half a pixel.
        with torch.autocast(image.device.type, enabled=False):
            f = f.float()
            coarse = self.landmarks(f).view(-1, POINTS, 3)
            # Where to look is not learnt from what is seen there.
            frame = self.head_frame(coarse.detach())
        regions = self.regions(image, frame)
        with torch.autocast(image.device.type, enabled=False):
            return self.heads(f, maps, regions.float(), coarse, frame, neutral, known)

    def heads(self, f, maps, regions, coarse, frame, neutral, known):
        n = len(f)
        local = self.local(maps, coarse)
        settled = self.settle(regions).view(n, POINTS, 3) @ frame.crop_from_head.transpose(1, 2)
        landmarks = coarse + self.refine(local).view(n, POINTS, 3) + settled
        near = torch.cat([f, local, regions], 1)
        pose, eyes = self.pose(f), self.eyes(near[:, : -MOUTH_FEATURES])
        return {
            "coarse": coarse,
            "landmarks": landmarks,
            "log_sigma": self.log_sigma(f),
            "rotation": pose[:, :6],
            "place": pose[:, 6:],
            "gaze": eyes[:, :6].view(n, 2, 3),
            "openness": eyes[:, 6:],
            "light": self.scene(f).view(n, 9, 3),
            "identity": self.identity(f),
            "presence": self.presence(f),
            "blendshapes": self.expression(torch.cat([near, *self.shapes(landmarks.detach(), neutral, known)], 1)),
        }

    def shapes(self, landmarks, neutral, known):
        """The face's shape against the mean person's and, where it is known, against the person's own at rest."""
        shape = self.head_frame(landmarks).to_head(landmarks)
        parts = [torch.relu(self.shape(10 * (shape - self.neutral_mean).flatten(1)))]
        if self.neutral is not None and neutral is None:
            parts.append(torch.zeros_like(parts[0]))
        elif self.neutral is not None:
            parts.append(torch.relu(self.neutral(10 * (shape - neutral).flatten(1) * known)) * known)
        return parts


def rotation_from_6d(v):
    """(n, 6) -> (n, 3, 3): two columns made orthonormal, the third their cross product (Zhou et al. 2019)."""
    a = nn.functional.normalize(v[:, :3], dim=1)
    b = v[:, 3:] - (a * v[:, 3:]).sum(1, keepdim=True) * a
    b = nn.functional.normalize(b, dim=1)
    return torch.stack([a, b, cross(a, b)], 2)


class Exported(nn.Module):
    """The network as the product sees it: fixed names, everything in its final range. Inputs: `image` (1, 3, 192, 192)
    of -2 to 2, `neutral` (1, 478, 3), `neutral_known` (1, 1)."""

    INPUTS = ("image", "neutral", "neutral_known")
    OUTPUTS = ("landmarks", "deviation", "blendshapes", "rotation", "place", "gaze", "openness", "light", "identity", "presence")

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image, neutral, neutral_known):
        o = self.net(image, neutral, neutral_known)
        gaze = o["gaze"] / o["gaze"].norm(dim=2, keepdim=True).clamp_min(1e-6)
        return (
            o["landmarks"], o["log_sigma"].exp(), squash(o["blendshapes"]), o["rotation"], o["place"], gaze,
            o["openness"].clamp_min(0), o["light"], o["identity"], o["presence"],
        )  # fmt: skip


def fold(net, linear=True):
    """Folds batch normalisation into the layers before it, for good: convolutions, and `linear` layers, whose weights are
    then too small to be trained on. Gives `net`, for evaluation."""
    net.eval()
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d) if linear else nn.BatchNorm2d
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], kinds):
            fuse = fuse_conv_bn_eval if isinstance(module[1], nn.BatchNorm2d) else fuse_linear_bn_eval
            module[0], module[1] = fuse(module[0], module[1]), nn.Identity()
    return net


def is_folded(weights):
    """Whether these are the weights of a network with folded convolutions."""
    return "trunk.fine.0.1.running_mean" not in weights


def squash(x):
    """Coefficients are 0 to 1, and most of them exactly 0 most of the time: a clamp, not a sigmoid."""
    return x.clamp(0, 1)

"""The face network.

A trunk of bottlenecks with full 3 x 3 convolutions: counted in multiply-adds depthwise ones look cheaper, in ONNX Runtime
on one thread they are slower, and so they are to train (README.md has the figures). ReLU only: anything else throws the
runtime off its blocked layout.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from expression.align import AXES_FIT, MIDDLE, STABLE, WEIGHT
from expression.coefficients import INDEX, NAMES
from face import keypoints, regions
from face.data import SIZE
from face.keypoints import Keypoints
from face.layers import convolution, enlarged, hidden
from face.operators import head_frame
from face.regions import Regions

POINTS, COEFFICIENTS, IDENTITY = 478, 52, 100
FEATURES, SHAPE, MODES, DEVIATION_MODES = 192, 96, 96, 32
LIGHT = 9 * 3
# Channels on the way back up to the map of keypoints.
WIDTH = 40
# What an eye and its brow do by themselves.
SIDED = (
    "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "browDown", "browOuterUp", "cheekSquint",
)  # fmt: skip
# Where the expression shows in the shape.
SHAPED = sorted({*keypoints.FACE, *regions.POINTS})


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
    """(n, 3, 192, 192) of -2 to 2 -> (n, FEATURES), and a map of 24 x 24 that has seen the whole face."""

    def __init__(self):
        super().__init__()
        # Full resolution is for the regions: here it is worth little, and half of it costs a ninth of a run less.
        self.near = nn.Sequential(nn.AvgPool2d(2), convolution(3, 32, 3, 2), Bottleneck(32, 64, 32, 2))
        self.middle = nn.Sequential(Bottleneck(64, 128, 48, 2), Bottleneck(128, 128, 48))
        self.far = Bottleneck(128, 192, 64, 2)
        self.join = nn.Sequential(
            convolution(192, 32, 1), nn.Flatten(), hidden(32 * (SIZE // 32) ** 2, FEATURES),
        )  # fmt: skip
        self.far_up, self.middle_side = convolution(192, WIDTH, 1, relu=False), convolution(128, WIDTH, 1, relu=False)
        self.middle_mix, self.near_side = Bottleneck(WIDTH, WIDTH, 16), convolution(64, WIDTH, 1, relu=False)
        self.near_mix = Bottleneck(WIDTH, WIDTH, 16)

    def forward(self, image):
        near = self.near(image)
        middle = self.middle(near)
        far = self.far(middle)
        wide = self.middle_mix(torch.relu(self.middle_side(middle) + enlarged(self.far_up(far))))
        return self.join(far), self.near_mix(torch.relu(self.near_side(near) + enlarged(wide)))


class HeadFrame(nn.Module):
    """The head's own frame by landmarks: `solve::align` in one closed step, without its rounds against outliers."""

    def __init__(self):
        super().__init__()
        # Of all landmarks, most of which tell nothing: the mean place of those that are stable, and where the axes point.
        weights = torch.zeros(4, POINTS)
        weights[:, STABLE] = torch.tensor(np.vstack([WEIGHT / WEIGHT.sum(), AXES_FIT])).float()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("middle", torch.tensor(MIDDLE).float(), persistent=False)

    def forward(self, landmarks):
        return Frame(*head_frame(landmarks, self.weights, self.middle))


class Frame(NamedTuple):
    """The way between crops and heads of a batch, (n, k, 3) each. In the head, turn, size and place are gone; what is left
    is who it is and what the face does."""

    turn: torch.Tensor
    # What a step in the head is in the crop, but for the size.
    turned: torch.Tensor
    crop_from_head: torch.Tensor
    # Where the head's origin is in the crop, (n, 3, 1).
    shift: torch.Tensor
    size: torch.Tensor

    def to_head(self, points):
        return (points - self.shift.transpose(1, 2)) @ (self.turned / self.size)

    def to_crop(self, points):
        """As `to_head` back, but coordinates first: (n, 3, k). ONNX Runtime multiplies rows of three one by one."""
        return self.crop_from_head @ points + self.shift


class Whole(NamedTuple):
    """What is known before eyes and mouth are looked at: the trunk's features, its keypoints around the crop's middle, the
    landmarks that follow, and where they have the head's frame."""

    f: torch.Tensor
    seen: torch.Tensor
    coarse: torch.Tensor
    frame: Frame


class FaceNet(nn.Module):
    """All heads on one trunk. `forward` gives what the losses need, `Exported` what the product reads."""

    def __init__(self, neutral=True):
        super().__init__()
        self.frozen = []
        self.trunk, self.regions, self.head_frame = Trunk(), Regions(), HeadFrame()
        side, points = SIZE // 8, 2 * len(keypoints.FACE)
        self.keypoints = Keypoints(WIDTH, len(keypoints.FACE), keypoints.cells(side, side))
        # All landmarks follow from some, with their depth; the rest of what is seen puts them right. Both by so many modes,
        # which all that faces do in a crop spans but for a tenth of a pixel.
        self.mesh = nn.Linear(points, MODES)
        self.correction = nn.Sequential(hidden(FEATURES + points, 96), nn.Linear(96, MODES))
        self.modes = nn.Linear(MODES, POINTS * 3)
        # How far each landmark follows the points that eyes and mouth were seen at from the front.
        self.settle = nn.Linear(len(regions.POINTS), POINTS, bias=False)
        # Points that are unsure are so in company: of 192 modes these hold all but .07 % of the weights' energy.
        self.log_sigma = nn.Sequential(nn.Linear(FEATURES, DEVIATION_MODES), nn.Linear(DEVIATION_MODES, POINTS))
        # The pose that the landmarks have, and what it is off by. The head's own axes and origin are not those of its landmarks.
        self.axes, self.origin = nn.Parameter(torch.eye(3)[:, :2].contiguous()), nn.Parameter(torch.zeros(3, 1))
        self.pose = nn.Sequential(hidden(FEATURES + points + 9, 96), nn.Linear(96, 6 + 3))
        eye = regions.EYE_FEATURES + 2 * len(keypoints.EYE)
        self.eyes = nn.Sequential(hidden(2 * eye, 96), nn.Linear(96, 3 + 1))
        self.sided = nn.Linear(96, len(SIDED))
        self.scene = nn.Linear(FEATURES, LIGHT)
        self.identity = nn.Linear(FEATURES, IDENTITY)
        self.presence = nn.Linear(FEATURES, 1)
        # A mouth drawn aside looks the same where it is; its place in the head tells. The person at rest tells a raised
        # brow from a high one.
        self.shape = nn.Linear(len(SHAPED) * 3, SHAPE)
        self.neutral = nn.Linear(len(SHAPED) * 3, SHAPE) if neutral else None
        told = FEATURES + regions.FEATURES + 2 * len(regions.POINTS) + (2 if neutral else 1) * SHAPE
        self.expression = nn.Sequential(hidden(told, 192), nn.Linear(192, COEFFICIENTS))
        # What goes together in faces puts right what each movement looks like by itself, but for eyes and brows, which do as they
        # please: told by the company that a movement keeps, a wink and a frown over an open mouth are lost.
        self.together = nn.Sequential(hidden(COEFFICIENTS, 128), nn.Linear(128, COEFFICIENTS))
        # Logarithm of each coefficient's deviation, which training alone asks for: the exported network does not tell it.
        self.doubt = nn.Sequential(hidden(told, 64), nn.Linear(64, COEFFICIENTS))
        self.register_buffer("neutral_mean", torch.zeros(POINTS, 3))
        self.register_buffer("settled", torch.tensor(regions.POINTS), persistent=False)
        at = torch.tensor([INDEX[name + side] for side in ("Left", "Right") for name in SIDED])
        self.register_buffer("where_sided", nn.functional.one_hot(at, COEFFICIENTS).float(), persistent=False)
        lower = torch.tensor([not name.startswith(("eye", "brow")) for name in NAMES])
        self.register_buffer("put_right", lower.float(), persistent=False)
        self.register_buffer("shaped", torch.tensor(SHAPED), persistent=False)
        self.reset()

    def reset(self):
        """What heads say before they have learnt."""
        with torch.no_grad():
            for head in (self.log_sigma[-1], self.scene, self.identity, self.presence, self.pose[-1], self.eyes[-1]):
                head.weight.mul_(0.1)
            nn.init.zeros_(self.correction[-1].weight)
            nn.init.zeros_(self.correction[-1].bias)
            for layer in (self.settle, self.sided, self.together[-1], self.doubt[-1]):
                nn.init.zeros_(layer.weight)
            for layer in (self.sided, self.together[-1]):
                nn.init.zeros_(layer.bias)
            self.doubt[-1].bias.fill_(-2.0)
            self.log_sigma[-1].bias.fill_(-3.5)
            self.pose[-1].bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, -2]))
            self.eyes[-1].bias.copy_(torch.tensor([0.0, 0, 1, 0.8]))

    def freeze(self, parts):
        """These parts, by their names, keep their weights from now on, which costs less."""
        self.frozen = [getattr(self, part).requires_grad_(False) for part in parts]

    def learn_only(self, parts):
        """All but these parts keep their weights from now on."""
        self.requires_grad_(False)
        self.freeze([name for name, _ in self.named_children() if name not in parts])
        for part in parts:
            getattr(self, part).requires_grad_(True)

    def learn_rows(self, stems):
        """Of what was to learn, coefficients whose names begin otherwise keep what is said of them: of the layers that say it only these
        rows learn, and none before them."""
        rows = [torch.tensor([name.startswith(tuple(stems)) for name in names]).float() for names in (SIDED, NAMES)]
        for layer, keep in zip((self.sided, self.expression[-1]), rows):
            for p in layer.parameters():
                p.register_hook(lambda gradient, keep=keep: gradient * keep.to(gradient.device).view(-1, *[1] * (gradient.ndim - 1)))
        self.frozen.append(self.expression[0].requires_grad_(False))

    def train(self, mode=True):
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def start_from(self, landmarks, neutral):
        """Starts from what labels tell without pictures: crops' landmarks (m, 478, 3), and the mean person at rest."""
        with torch.no_grad():
            self.neutral_mean.copy_(neutral)
            seen = landmarks[:, keypoints.FACE, :2]
            self.keypoints.expect(seen.mean(0), 0.15)
            self.regions.expect(neutral)
            # Ridge regression of all landmarks from the keypoints.
            x, y = (seen - 0.5).transpose(1, 2).flatten(1).double(), landmarks.flatten(1).double()
            middle, mean = x.mean(0), y.mean(0)
            gram = (x - middle).T @ (x - middle) / len(x) + 1e-5 * torch.eye(x.shape[1])
            weight = torch.linalg.solve(gram, (x - middle).T @ (y - mean) / len(x))
            modes = torch.linalg.svd(y - mean, full_matrices=False).Vh[:MODES]
            self.modes.weight.copy_(modes.T)
            self.modes.bias.copy_(mean)
            self.mesh.weight.copy_((weight @ modes.T).T)
            self.mesh.bias.copy_(-middle @ weight @ modes.T)
            near = (-torch.cdist(neutral, neutral[regions.POINTS]).square() / (2 * 0.04**2)).exp()
            self.settle.weight.copy_(near / (near.sum(1, keepdim=True) + 0.1))

    def forward(self, image, neutral=None, known=None):
        """`image` is (n, 3, 192, 192) of -2 to 2."""
        f, wide = self.trunk(image)
        points, maps = self.keypoints(wide)
        whole = self.whole(f, points)
        out = self.near(whole, self.regions.pixels(image, whole.frame), neutral, known)
        if self.training:
            out["maps"].insert(0, (maps, self.keypoints.places, 8 / SIZE))
        return {**out, "keypoints": points}

    def whole(self, f, points):
        """What the trunk's features and keypoints, (n, 2, k), tell of the face."""
        # Half precision would put landmarks on a grid of half a pixel.
        with torch.autocast(f.device.type, enabled=False):
            f = f.float()
            seen = (points - 0.5).flatten(1)
            coarse = self.modes(self.mesh(seen) + self.correction(torch.cat([f, seen], 1))).view(-1, POINTS, 3)
            # Where to look is not learnt from what is seen there.
            return Whole(f, seen, coarse, self.head_frame(coarse.detach()))

    def near(self, whole, pixels, neutral=None, known=None):
        """All that is said, from the whole face and what lies under the regions' sheets. In training with the regions' maps,
        each with its cells in the crop, and with their size there."""
        f, seen, coarse, frame = whole
        features, places, maps = self.regions(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            out = self.heads(f, seen, coarse, frame, features, places, neutral, known)
        if self.training:
            out["maps"] = [(m, frame.to_crop(cells)[:, :2], 0.033 * frame.size) for m, cells in maps]
        return out

    def heads(self, f, seen, coarse, frame, features, places, neutral, known):
        found = frame.to_crop(places)[:, :2]
        follow = self.settle(found - coarse[:, self.settled, :2].transpose(1, 2)).transpose(1, 2)
        # Depth does not follow. ONNX Runtime's Pad takes longer than this.
        landmarks = coarse + torch.cat([follow, torch.zeros_like(follow[:, :, :1])], 2)
        # In the head, against the mean person's.
        aside = 10 * (places - self.neutral_mean[self.settled].T)[:, :2]
        gaze, openness, sided = self.look(features, aside, frame)
        shapes = self.shapes(frame.to_head(landmarks.detach()[:, self.shaped]), neutral, known)
        told = torch.cat([f, features, aside.flatten(1), *shapes], 1)
        alone = sided + self.expression(told)
        pose = self.pose(torch.cat([f, seen, frame.turn.flatten(1)], 1))
        rotation = pose[:, :6] + (frame.turned @ self.axes).transpose(1, 2).flatten(1)
        origin = frame.to_crop(self.origin)[:, :2, 0]
        place = pose[:, 6:] + torch.cat([origin, -frame.size.log()[:, :, 0]], 1)
        return {
            "coarse": coarse,
            "found": found,
            "landmarks": landmarks,
            "log_sigma": self.log_sigma(f),
            "rotation": rotation,
            "place": place,
            "gaze": gaze,
            "openness": openness,
            "light": self.scene(f).view(-1, 9, 3),
            "identity": self.identity(f),
            "presence": self.presence(f),
            "blendshapes": self.as_one(alone),
            "doubt": self.doubt(told.detach()),
        }

    def as_one(self, alone):
        """The coefficients of a face, of what each movement looks like by itself."""
        more = self.together(alone)
        # Rows for eyes and brows, which are nought at first, stay so in training: the product need not ask.
        return alone + (more * self.put_right if self.training else more)

    def look(self, features, aside, frame):
        """(n, 2, 3) where the eyes look in the crop, (n, 2) how far they are open, and their share of the coefficients. One
        network for both, the right one in a mirror; each is told of the other, which may be better seen."""
        each, k = regions.EYE_FEATURES, len(keypoints.EYE)
        left = torch.cat([features[:, :each], aside[:, :, :k].flatten(1)], 1)
        flipped = aside[:, :, k : 2 * k] * self.regions.mirror[:2]
        right = torch.cat([features[:, each : 2 * each], flipped.flatten(1)], 1)
        both = torch.cat([torch.cat([left, right], 1), torch.cat([right, left], 1)])
        seen = self.eyes[0](both)
        told, sided = self.eyes[1](seen).view(2, -1, 4), self.sided(seen).view(2, -1, len(SIDED))
        gaze = torch.stack([told[0, :, :3], told[1, :, :3] * self.regions.mirror[:, 0]], 1)
        return gaze @ frame.turned.transpose(1, 2), told[:, :, 3].T, torch.cat([sided[0], sided[1]], 1) @ self.where_sided

    def shapes(self, shape, neutral, known):
        """The shape of the face's SHAPED in the head against the mean person's and, where it is known, against the person's own at rest."""
        away = lambda rest: 10 * (shape - rest).flatten(1)
        parts = [torch.relu(self.shape(away(self.neutral_mean[self.shaped])))]
        if self.neutral is not None and neutral is None:
            parts.append(torch.zeros_like(parts[0]))
        elif self.neutral is not None:
            parts.append(torch.relu(self.neutral(away(neutral[:, self.shaped]) * known)) * known)
        return parts


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
    return "trunk.near.1.1.running_mean" not in weights


def squash(x):
    """Coefficients are 0 to 1, and most of them exactly 0 most of the time: a clamp, not a sigmoid."""
    return x.clamp(0, 1)

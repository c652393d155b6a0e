"""The network: aligned landmarks, and their difference from the person's neutral where it is known, to 52 coefficients."""

import numpy as np
import torch
from coefficients import INPUT_LANDMARKS, LANDMARK_MIRROR, MIRROR, NAMES
from torch import nn

FLIP = torch.tensor([-1.0, 1.0, 1.0])


class ExpressionNet(nn.Module):
    """Inputs `landmarks` (n, 478, 3), `neutral` (n, 478, 3), `neutral_known` (n, 1), 0 or 1; output (n, 52) in 0..1.

    It looks at the face and at its mirror image and takes the mean, so that mirrored faces give exactly mirrored
    coefficients. Two thin projections (shape; movement away from the neutral) keep it small. Lids are seen well without
    the neutral, and a neutral taken with wide eyes would read ordinary lids as half shut: eyeBlink is the mean of both.
    """

    def __init__(self, shape=104, movement=160, hidden=(224, 192)):
        super().__init__()
        size = 3 * len(INPUT_LANDMARKS)
        for name in ("shape_mean", "shape_scale", "movement_scale"):
            self.register_buffer(name, torch.zeros(size) if name == "shape_mean" else torch.ones(size))
        self.shape = nn.Linear(size, shape)
        self.movement = nn.Linear(size, movement, bias=False)
        layers, width = [], shape + movement + 1
        for h in hidden:
            layers += [nn.Linear(width, h), nn.ReLU()]
            width = h
        self.head = nn.Sequential(*layers, nn.Linear(width, 52))
        self.register_buffer("inputs", torch.tensor(INPUT_LANDMARKS), persistent=False)
        self.register_buffer("mirror_inputs", torch.tensor(LANDMARK_MIRROR[INPUT_LANDMARKS]), persistent=False)
        self.register_buffer("mirror_outputs", torch.tensor(MIRROR), persistent=False)
        blink = torch.tensor([0.5 if n.startswith("eyeBlink") else 0.0 for n in NAMES])
        self.register_buffer("from_shape", blink, persistent=False)
        self.register_buffer("flip", FLIP.clone(), persistent=False)

    def normalise(self, faces, neutral):
        """Takes means and spreads of the inputs from (n, 478, 3) training faces and their neutrals."""
        a = np.concatenate([faces, faces[:, LANDMARK_MIRROR] * FLIP.numpy()])[:, INPUT_LANDMARKS].reshape(2 * len(faces), -1)
        d = (faces - neutral)[:, INPUT_LANDMARKS].reshape(len(faces), -1)
        self.shape_mean.copy_(torch.tensor(a.mean(0)))
        self.shape_scale.copy_(torch.tensor(np.maximum(a.std(0), 0.01)))
        self.movement_scale.copy_(torch.tensor(np.maximum(d.std(0), 0.01)))

    def half(self, landmarks, neutral, known):
        """Raw outputs of one look at (n, inputs, 3) points."""
        a, b = landmarks.flatten(1), neutral.flatten(1)
        features = [
            self.shape((a - self.shape_mean) / self.shape_scale),
            self.movement((a - b) * known / self.movement_scale),
            known,
        ]
        return self.head(torch.cat(features, 1))

    def both_sides(self, landmarks, neutral, known):
        x, n = landmarks[:, self.inputs], neutral[:, self.inputs]
        mx, mn = landmarks[:, self.mirror_inputs] * self.flip, neutral[:, self.mirror_inputs] * self.flip
        here, there = squash(self.half(x, n, known)), squash(self.half(mx, mn, known))
        return ((here + there[:, self.mirror_outputs]) / 2).clamp(0, 1)

    def forward(self, landmarks, neutral, neutral_known):
        relative = self.both_sides(landmarks, neutral, neutral_known)
        alone = self.both_sides(landmarks, neutral, neutral_known * 0)
        return relative * (1 - self.from_shape) + alone * self.from_shape


def squash(raw):
    """A sigmoid that reaches a little beyond 0 and 1, so that both ends are reached exactly."""
    return 1.1 * torch.sigmoid(raw) - 0.05

"""What the network is trained for. Every term is a mean over faces, weighed so that at the start none drowns the others."""

import torch
from torch.nn import functional as F

from expression.coefficients import INDEX, LANDMARK_MIRROR
from face import keypoints, regions
from face.model import HeadFrame, squash
from face.operators import rotation_from_6d

# What viewers notice first, and what moves few points, weighs more; unlisted coefficients weigh 1.
COEFFICIENT_WEIGHTS = {
    "eyeBlink": 3, "jawOpen": 2.5, "mouthSmile": 2, "tongueOut": 2, "cheekPuff": 1.5, "mouthPucker": 1.5, "browDown": 1.5,
    "browInnerUp": 1.5, "browOuterUp": 1.5, "mouthClose": 2, "eyeWide": 1.3, "eyeSquint": 1.3, "noseSneer": 1.3,
    "jawLeft": 3, "jawRight": 3, "mouthLeft": 2, "mouthRight": 2, "mouthRoll": 2, "mouthShrugLower": 2, "jawForward": 1.5,
}  # fmt: skip
# Upper and lower points of each eye and of the inner lips, whose distances are what blinks and speech are read from.
LIDS = [(159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)]
LIPS = [(13, 14), (82, 87), (312, 317), (81, 178), (311, 402)]
FINE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 61, 146, 91, 181, 84, 17, 314, 405, 321,
        375, 291, 78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 185, 40, 39, 37, 0]  # fmt: skip
IRISES = list(range(468, 478))
PAIRS = torch.tensor(LIDS + LIPS)


# Coefficients are told to within this at best.
LEAST_DEVIATION = 0.03

_EYE = len(keypoints.EYE)
# Landmarks that each set of maps is read for: all over the face, left eye, right eye, mouth.
MAPPED = (keypoints.FACE, regions.POINTS[:_EYE], regions.POINTS[_EYE : 2 * _EYE], regions.POINTS[2 * _EYE :])


def _point_weights():
    w = torch.ones(len(LANDMARK_MIRROR))
    fine = torch.tensor(FINE)
    w[fine] = 2.0
    w[torch.from_numpy(LANDMARK_MIRROR)[fine]] = 2.0
    w[IRISES] = 2.0
    return w / w.mean()


def _coefficient_weights():
    w = torch.ones(len(INDEX))
    for name, i in INDEX.items():
        w[i] = next((v for stem, v in COEFFICIENT_WEIGHTS.items() if name.startswith(stem)), 1)
    return w / w.mean()


def floats(out):
    """What was said but for the maps, in single precision."""
    return {k: v.float() for k, v in out.items() if k != "maps"}


def pairs(out, chosen):
    """Views 2k, and views 2k + 1, of the chosen pairs."""
    return ({k: v.view(-1, 2, *v.shape[1:])[chosen, i] for k, v in out.items()} for i in (0, 1))


class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("points", _point_weights())
        self.register_buffer("coefficients", _coefficient_weights())
        self.register_buffer("pairs", PAIRS)
        # A tongue is out or it is not: how far one may be off is greatest where it is.
        self.register_buffer("all_or_none", torch.arange(len(INDEX)) == INDEX["tongueOut"])
        self.head_frame = HeadFrame()

    def forward(self, out, truth):
        """The terms by name. Faces are `presence` 1; where there is none only presence counts."""
        maps = out.get("maps", [])
        out = floats(out)
        there = truth["presence"] > 0.5
        terms = {"presence": F.binary_cross_entropy_with_logits(out["presence"][:, 0], truth["presence"])}
        o = {k: v[there] for k, v in out.items()}
        t = {k: v[there] for k, v in truth.items()}
        terms |= self.whole(o, t) | self.near(o, t)
        if maps:
            terms["maps"] = self.aim(maps, MAPPED, truth["landmarks"], there)
        return terms

    def whole(self, o, t):
        """Of what is said without a look at eyes and mouth."""
        place = F.smooth_l1_loss(o["place"], t["place"], beta=0.02, reduction="none").mean(0)
        own = 1 - t["mirrored"]
        identity = (o["identity"] - t["identity"]).square()[:, :40].mean(1)
        return {
            "coarse": 15 * self.misses(o["coarse"], t["landmarks"]).add(1e-7).sqrt().mul(self.points).mean(),
            "keypoints": 15 * self.apart(o["keypoints"], t["landmarks"][:, keypoints.FACE]),
            "rotation": 4 * (rotation_from_6d(o["rotation"]) - t["rotation"]).square().sum((1, 2)).add(1e-4).sqrt().mean(),
            "place": 10 * (place[0] + place[1]) + 2 * place[2],
            "light": 0.3 * F.smooth_l1_loss(o["light"], t["light"].clamp(-4, 4), beta=0.2),
            "identity": 0.15 * (identity * own).sum() / own.sum().clamp_min(1),
        }

    def near(self, o, t):
        """Of what eyes and mouth have a say in."""
        # A shut eye shows no gaze.
        seen = (t["openness"] / 0.4).clamp(0.05, 1)
        gaze = F.normalize(o["gaze"], dim=2, eps=1e-4)
        return {
            "landmarks": self.landmarks(o, t),
            "found": 30 * self.apart(o["found"], t["landmarks"][:, regions.POINTS]),
            "shape": 16 * self.misses(self.shape(o), self.shape(t)).add(1e-6).sqrt().mul(self.points).mean(),
            "gaps": 40 * (self.gaps(o) - self.gaps(t)).abs().mean(),
            "blendshapes": self.expression(o["blendshapes"], t["blendshapes"], o["doubt"]),
            "gaze": 6 * ((gaze - t["gaze"]).square().sum(2).add(1e-4).sqrt() * seen).mean(),
            "openness": 8 * (o["openness"] - t["openness"]).abs().mean(),
        }

    def landmarks(self, o, t):
        """Gaussian likelihood, each point with its own deviation; weighed by that deviation's root (Seitzer et al. 2022),
        else hard points are given up early."""
        miss = self.misses(o["landmarks"], t["landmarks"])
        log_sigma = o["log_sigma"].clamp(-7.5, 1)
        likelihood = 0.5 * miss * (-2 * log_sigma).exp() + log_sigma + 5
        weight = self.points * log_sigma.detach().exp().sqrt() * 6
        return (weight * likelihood).mean() + 30 * (self.points * (miss + 1e-7).sqrt()).mean()

    @staticmethod
    def misses(landmarks, truth):
        """Squared distances. Depth, which a picture hardly shows, counts a third."""
        return ((landmarks - truth) * landmarks.new_tensor([1.0, 1.0, 0.33])).square().sum(2)

    @staticmethod
    def aim(maps, points, landmarks, there):
        """Cross entropy of the maps with a Gaussian of a cell's width around each point. The mean place alone is as well
        reached by a broad map that leans to one side, which is at the mercy of all that it covers."""
        total = 0
        # Every other view, which is every face: this is a costly term.
        landmarks, there = landmarks[::2], there[::2]
        for (scores, cells, size), indices in zip(maps, points):
            scores = scores[::2]
            with torch.no_grad():
                cells, size = (v[::2] if torch.is_tensor(v) and v.ndim == 3 else v for v in (cells, size))
                # Less squared distances, but for the points' own squares, which a softmax over cells takes away again.
                near = 2 * landmarks[:, indices, :2] @ cells - cells.square().sum(-2, keepdim=True)
                wanted = near.mul_(0.8 / size**2).softmax(2)
            missed = -(wanted * scores.log_softmax(2)).sum(2)
            total = total + missed[there].mean()
        return total

    @staticmethod
    def apart(places, truth):
        """Mean distance of (n, 2, k) from (n, k, 3), without its depth."""
        return ((places.transpose(1, 2) - truth[:, :, :2]).square().sum(2) + 1e-7).sqrt().mean()

    def shape(self, x):
        """In the head's frame, where a turn of the head does not drown what the face does."""
        return self.head_frame(x["landmarks"]).to_head(x["landmarks"])

    def gaps(self, x):
        points = x["landmarks"][:, self.pairs, :2]
        return points[:, :, 1] - points[:, :, 0]

    def expression(self, predicted, truth, doubt):
        """Squared error of each coefficient over the deviation that was feared, whose logarithm is `doubt` (Seitzer et al. 2022): else what
        hardly moves drowns in what a blurred or an odd face leaves to guess. Plus a little of a robust term whose optimum is the median:
        what cannot be seen then stays at rest. With more of it rare movements are never learnt: nothing is what is best said of
        them at first."""
        error = predicted - truth
        # What is clamped to the right value is right; what is clamped to a wrong one must find home.
        right = (squash(predicted) - truth).abs() < 1e-6
        error = torch.where(right, 0.1 * error, error)
        variance = (2 * doubt.clamp(-5, 1)).exp() + LEAST_DEVIATION**2
        likelihood = error.detach().square() / variance + variance.log()
        # Where 0.1 is feared an error weighs as much as it would without.
        weight = self.coefficients * torch.where(self.all_or_none, 1, 0.1 / variance.detach().sqrt())
        missed = error.square() + 0.05 * ((error.square() + 0.03**2).sqrt() - 0.03)
        return 75 * (weight * missed).mean() + 0.5 * likelihood.mean()

    def steady(self, out, truth):
        """Two views of one face that differ by a nudge and by noise must give the same: landmarks in the picture, and
        expression, gaze and openness. No truth is needed, so no label's error is learnt."""
        out = floats(out)
        both = (truth["still"] > 0.5).view(-1, 2).all(1)
        if not both.any():
            return out["landmarks"].sum() * 0
        first, second = pairs(out, both)
        m = truth["from_unit"].view(-1, 2, 2, 3)[both]
        points = [self.in_picture(v["landmarks"], m[:, i]) for i, v in enumerate((first, second))]
        size = (m[:, 0, 0, 0].square() + m[:, 0, 1, 0].square()).sqrt()
        moved = ((points[0] - points[1]).square().sum(2) + 1e-3).sqrt().mean(1) * size
        gaze = (F.normalize(first["gaze"], dim=2, eps=1e-4) - F.normalize(second["gaze"], dim=2, eps=1e-4)).square().mean()
        return 20 * moved.mean() + self.calm(first, second) + 2 * gaze + (first["openness"] - second["openness"]).abs().mean()

    @staticmethod
    def calm(first, second):
        """How much the coefficients differ between two views that show the same."""
        return 20 * (squash(first["blendshapes"]) - squash(second["blendshapes"])).square().mean()

    @staticmethod
    def in_picture(landmarks, crop_from_picture):
        linear, shift = crop_from_picture[:, :, :2], crop_from_picture[:, :, 2]
        return torch.linalg.solve(linear, (landmarks[:, :, :2] - shift[:, None]).transpose(1, 2)).transpose(1, 2)

"""The network's card and manifest."""

from expression.licences import LICENCES
from expression.manifest import write_manifest

CARD = """\
# face.onnx

From a crop of a webcam's frame to landmarks, expression, pose, gaze, light and identity, in one look. Trained here on
rendered faces alone; free under the project's licence. {size} bytes, sha256 `{sha256}`, within {onnx_difference:.1e} of
the trained PyTorch model in ONNX Runtime. {macs:.1f} million multiply-adds; {median:.0f} µs a run on one thread where this
was written (least {least:.0f}).

| tensor | shape | meaning |
|---|---|---|
| `image` | 1 x 3 x 192 x 192 | R, G, B of -2 to 2; a square 1.35 times the longer side of the landmarks' box, the head upright |
| `neutral` | 1 x 478 x 3 | the person at rest, as `solve::align` gives it; any finite numbers where it is not known |
| `neutral_known` | 1 x 1 | 1 or 0 |
| `landmarks` | 1 x 478 x 3 | MediaPipe's indexing; x, y across the crop, 0 to 1; z in the same scale, smaller is nearer |
| `deviation` | 1 x 478 | standard deviation of each, in the same scale |
| `blendshapes` | 1 x 52 | 0 to 1, ARKit's order, `tongueOut` last |
| `rotation` | 1 x 6 | first two columns of `crop_from_head`; orthonormalise |
| `place` | 1 x 3 | the head's origin across the crop, 0 to 1; logarithm of the crop's side in metres at its depth |
| `gaze` | 1 x 2 x 3 | left, right; unit vectors of the crop's camera |
| `openness` | 1 x 2 | left, right; centimetres between the lids' rims |
| `light` | 1 x 9 x 3 | irradiance over pi, spherical harmonics as in docs/dataset.md, of the crop's camera |
| `identity` | 1 x 100 | the head model's coefficients; the first 40 are trained |
| `presence` | 1 x 1 | logit of there being a face |

The crop's own camera looks along the ray through the crop's middle and is turned with it.

## Cost

Million multiply-adds: {cost}.

## Data

Faces rendered by `facetrackd render-faces`, described in docs/dataset.md. Nothing of a real person, and nothing that another's
network said, is among what it learnt from, but for where MediaPipe's landmark indices lie on the head model
(canonical_head.md).

{licences}
## What was run

{run}

## On faces that it never saw

{faces} renders with people, skins, hair, brows, irises and lights that were kept apart (`training/face/split_pack.py`), one clean
upright crop each, occluders and camera faults included.

| figure | value |
|---|---|
{figures}

Correlation of each coefficient alone and told the person at rest, and mean absolute error:

| coefficient | alone | with neutral | error |
|---|---|---|---|
{table}

{notes}"""


def write_card(folder, facts):
    """Writes face.md and face.toml into `folder`."""
    arguments = facts["arguments"]
    picked = {k: arguments[k] for k in ("steps", "batch", "rate", "decay", "seed", "without_neutral") if k in arguments}
    run = f"{facts['steps']} steps, {facts['seconds'] / 3600:.1f} hours: " + ", ".join(f"{k} {v}" for k, v in picked.items()) + "."
    values = {
        **facts, "macs": sum(facts["cost"].values()), "licences": LICENCES, "run": run,
        "median": facts["microseconds"][0], "least": facts["microseconds"][1],
        "cost": ", ".join(f"{k} {v:.2f}" for k, v in facts["cost"].items()),
        "figures": "\n".join(f"| {k.replace('_', ' ')} | {v:.4g} |" for k, v in facts["figures"].items()),
        "table": "\n".join(f"| {n} | {a:.2f} | {k:.2f} | {e:.3f} |" for n, a, k, e in facts["coefficients"]),
    }  # fmt: skip
    (folder / "face.md").write_text(CARD.format(**values))
    write_manifest(folder, "face", facts["sha256"], facts["size"])

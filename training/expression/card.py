"""The network's card and manifest."""

from coefficients import NAMES
from licences import LICENCES
from manifest import write_manifest


def write_card(folder, facts, figures):
    """Writes expression.md and expression.toml into `folder`."""
    alone, known = figures[False], figures[True]
    mean = lambda rows, k: sum(r[k] for r in rows) / len(rows)
    table = "\n".join(
        f"| {n} | {a[0]:.2f} | {k[0]:.2f} | {a[1]:.3f} | {k[1]:.3f} |" for n, a, k in zip(NAMES, alone, known)
    )
    arguments = facts["arguments"]
    weak = [n for n, k in zip(NAMES, known) if k[0] < 0.5]
    notes = "".join(f"{line}\n" for line in (facts["notes"] or {}).get("lines", []))
    text = f"""\
# expression.onnx

From landmarks to the 52 ARKit coefficients, alone or relative to the person's own neutral face. Trained here; free under
the project's licence. {facts["size"]} bytes, sha256 `{facts["sha256"]}`, within {facts["onnx_difference"]:.0e} of the trained PyTorch model in
ONNX Runtime.

| tensor | shape | meaning |
|---|---|---|
| `landmarks` | 1 x 478 x 3 | head-aligned landmarks as `solve::align` gives them (MediaPipe's indexing) |
| `neutral` | 1 x 478 x 3 | the same of the neutral face; any finite numbers where it is not known |
| `neutral_known` | 1 x 1 | 1 or 0 |
| `coefficients` (output) | 1 x 52 | 0 to 1, in ARKit's order |

## Data

{facts["faces"]} rendered faces of {facts["heads"]} random heads for training, {facts["held_out_faces"]} faces of {facts["held_out_heads"]} other heads held out (split by head, seed {arguments["seed"]}).
A third of the expressions are real ARKit motion, the rest sparse random coefficients with blinks, winks, gaze, speech
shapes, tongue and puffed cheeks drawn more often; every head also has its own resting face, which is no expression. Lids
are closed geometrically: eyeBlink is the share of the gap that is shut. Turns to 42 degrees, pitch to 26, fields of
view of 20 to 70 degrees, camera noise, blur and JPEG. No photograph, no recording of a real face and no other tracker's
coefficients were trained on.

{LICENCES}| landmarks of the renders | measured with MediaPipe's face landmark network (attention) | Apache-2.0, not contained |

Epoch {facts["epoch"]} of {arguments["epochs"]}, chosen by the loss on the held-out heads. Training mixes parts of faces (an eye, the brows or the
lower face of another head, as movement from its neutral), mirrors, moves shapes, and adds noise; see
`training/expression/augment.py`.

## Figures on held-out heads

Correlation and mean absolute error, without and with the person's neutral. Mean correlation {mean(alone, 0):.3f} without, {mean(known, 0):.3f}
with; mean absolute error {mean(alone, 1):.3f} and {mean(known, 1):.3f}.

| coefficient | r alone | r with neutral | error alone | error with neutral |
|---|---|---|---|---|
{table}

## Known failures

- Landmarks do not show everything: {", ".join(weak) or "nothing"} correlate by less than 0.5 even with the neutral. Where a
  movement cannot be seen the network stays near the rest value instead of guessing.
- Renders differ from photographs: hair, beards, glasses, wrinkles and make-up are missing or crude.
- Beyond 42 degrees of yaw nothing was trained.
{notes}"""
    (folder / "expression.md").write_text(text)
    write_manifest(folder, "expression", facts["sha256"], facts["size"])

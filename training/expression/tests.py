#!/usr/bin/env python3
"""Checks of the training code on made-up data; takes seconds. Run with `python tests.py`."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from align import LANDMARKS, align
from augment import Augment
from coefficients import INDEX, INPUT_LANDMARKS, LANDMARK_MIRROR, MIRROR, NAMES, PARTS
from dataset import BadShard, load, mirror, read_shard

HERE = Path(__file__).parent
FIXTURE = json.loads((HERE.parents[1] / "tests/fixtures/aligned_landmarks.json").read_text())


def write_shards(folder, heads=16, rng=None):
    """Faces whose lips part with jawOpen and whose lids meet with eyeBlink: easy to learn."""
    rng = rng or np.random.default_rng(3)
    base = np.array(FIXTURE[1]["landmarks"])
    for head in range(heads):
        coefficients = rng.random((12, 52)) * (rng.random((12, 52)) < 0.3)
        coefficients[:2] = 0
        points = np.repeat(base[None], 12, 0) + rng.normal(size=base.shape) * 0.5
        points[:, [17, 14, 152]] += coefficients[:, None, [INDEX["jawOpen"]]] * [0, 30, 0]
        points[:, [159, 158, 160]] += coefficients[:, None, [INDEX["eyeBlinkRight"]]] * [0, 6, 0]
        np.savez(
            folder / f"{head:03}.npz", landmarks=points.astype(np.float32), coefficients=coefficients.astype(np.float32),
            calm=np.arange(12) < 2, turn_deg=np.zeros((12, 3), np.float32),
        )  # fmt: skip


class Data(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def refused(self, **changes):
        fields = {"landmarks": np.zeros((1, 478, 3)), "coefficients": np.zeros((1, 52)), "calm": [True], "turn_deg": np.zeros((1, 3))}
        np.savez(self.folder / "bad.npz", **(fields | changes))
        with self.assertRaises(BadShard):
            read_shard(self.folder / "bad.npz")

    def test_labels_out_of_range_are_refused(self):
        self.refused(coefficients=np.full((1, 52), 1.01))
        self.refused(coefficients=np.full((1, 52), -0.01))
        self.refused(coefficients=np.full((1, 52), np.nan))

    def test_misshapen_shards_are_refused(self):
        self.refused(landmarks=np.zeros((1, 468, 3)))
        self.refused(landmarks=np.full((1, 478, 3), np.inf))
        self.refused(calm=[True, False])

    def test_augmentation_keeps_calm_faces_calm_and_labels_in_range(self):
        write_shards(self.folder)
        faces = load(self.folder)
        rng = np.random.default_rng(0)
        augment = Augment(faces, np.arange(len(faces.neutral)))
        x, neutral, known, truth = augment(np.arange(96), rng)
        self.assertEqual(x.shape, (96, len(INPUT_LANDMARKS), 3))
        self.assertTrue(np.isfinite(x).all() and np.isfinite(neutral).all() and known.all())
        self.assertTrue((truth >= 0).all() and (truth <= 1).all())

    def test_augmentation_does_not_change_what_was_loaded(self):
        write_shards(self.folder, 4)
        faces = load(self.folder)
        augment = Augment(faces, np.arange(4))
        before = augment.aligned.copy(), augment.neutral.copy(), augment.coefficients.copy()
        augment(np.arange(48), np.random.default_rng(0))
        for old, new in zip(before, (augment.aligned, augment.neutral, augment.coefficients)):
            np.testing.assert_array_equal(old, new)


class Geometry(unittest.TestCase):
    def test_alignment_gives_the_fixture(self):
        for face in FIXTURE:
            aligned, _ = align(np.array(face["landmarks"])[None])
            np.testing.assert_allclose(aligned[0], face["aligned"], atol=2e-6)

    def test_mirroring_twice_changes_nothing(self):
        self.assertTrue((LANDMARK_MIRROR[LANDMARK_MIRROR] == np.arange(LANDMARKS)).all())
        self.assertTrue((MIRROR[MIRROR] == np.arange(52)).all())
        face = np.array(FIXTURE[0]["aligned"], np.float32)
        np.testing.assert_array_equal(mirror(mirror(face)), face)

    def test_parts_share_all_landmarks_and_coefficients_out(self):
        points = np.concatenate([p for p, _ in PARTS])
        moved = np.concatenate([m for _, m in PARTS])
        self.assertEqual(sorted(points), list(range(LANDMARKS)))
        self.assertEqual(sorted(moved), list(range(len(NAMES))))


class Training(unittest.TestCase):
    def test_a_short_run_lowers_its_loss_and_goes_on_after_a_stop(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        shards, run = folder / "shards", folder / "run"
        shards.mkdir()
        write_shards(shards)
        train = lambda epochs: subprocess.run(
            [sys.executable, HERE / "train.py", shards, run, "--epochs", "20", "--stop-after", str(epochs), "--held-out", "0.2"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        train(10)
        self.assertIn("resuming after epoch 10", train(20))
        loss = [float(line.split(",")[1]) for line in (run / "curves.csv").read_text().splitlines()]
        self.assertEqual(len(loss), 4)
        self.assertLess(loss[-1], 0.8 * loss[0])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Checks of the face network's training code. From the folder `training`:

    python -m face.tests                      # geometry, losses, network: seconds
    FACES=DIR python -m face.tests            # and a short training on at least 200 renders in DIR: minutes
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from dataset import DatasetError, Shard
from expression.coefficients import INDEX, LANDMARK_MIRROR, NAMES
from face import crops, keypoints, regions, sheets
from face.data import as_input, neutrals_of, rest_path
from face.evaluate import mean
from face.export import rounded, to_onnx
from face.loss import Loss
from face.model import POINTS, Exported, FaceNet, fold, is_folded
from face.operators import DOMAIN, OPSET, functions, head_frame, rotation_from_6d, sampled, soft_argmax
from face.picture_tests import Lettering, Lids, Surroundings  # noqa: F401: run along
from face.script_heads import coefficients
from face.shipped import ShippedError, shipped, unfold_linear
from face.silent import readers, revive, silent_share
from face.stills import LABELS, compared, truths
from face.together import PARTS, kept, losses, said
from face.train import calibrated

HERE = Path(__file__).resolve().parents[1]
FACES = os.environ.get("FACES")


def head(seed=3):
    """A made-up person before a made-up camera: the label of a pinhole picture, exact."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(478, 3)) * [50, 70, 30]
    points[[33, 263]] = [[-45, 0, 0], [45, 0, 0]]
    yaw, pitch = rng.uniform(-0.5, 0.5, 2)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rotation = np.diag([1.0, -1, -1]) @ turn
    place, focal, principal = np.array([90.0, -60, 900]), 700.0, np.array([320.0, 240])
    camera = points @ rotation.T + place
    frame = camera[:, :2] / camera[:, 2:] * focal + principal
    fields = {
        "landmarks": np.column_stack([frame, (camera[:, 2] - place[2]) * focal / place[2]]), "rotation": rotation,
        "translation_mm": place, "focal_px": np.float64(focal), "principal_px": principal, "frame_px": np.array([640.0, 480]),
        "picture_from_frame": np.array([[1.0, 0, 0], [0, 1, 0]]), "blendshapes": rng.random(52), "gaze": np.array([[0, 0, -1.0], [0.1, 0, -0.99]]),
        "eye_openness_mm": np.array([9.0, 3.0]), "light_sh": rng.normal(size=(9, 3)), "identity": rng.normal(size=100), "visible": np.full(478, 255),
        "head_mm": points,
    }  # fmt: skip
    label = np.zeros((), [(k, np.float64, np.shape(v)) for k, v in fields.items()])
    for k, v in fields.items():
        label[k] = v
    return label, points


def seen_label():
    """A label, and the crop that a tracker would cut."""
    label, _ = head()
    return label, crops.crop_from_picture(*crops.roi_around(label["landmarks"][:, :2]))


def seen(target, points):
    """Where the crop's camera, from what the network would be told, sees points of the head; and its focal length is a
    guess that does not matter, for distance and focal length go together."""
    focal = 3.0
    depth = np.exp(float(target["place"][2])) * 1000 * focal
    place = np.append((target["place"][:2] - 0.5) / focal, 1) * depth
    camera = points @ target["rotation"].T.astype(np.float64) + place
    return 0.5 + camera[:, :2] / camera[:, 2:] * focal


class Geometry(unittest.TestCase):
    def setUp(self):
        self.label, self.points = head()
        roi = crops.roi_around(self.label["landmarks"][:, :2])
        self.matrix = crops.crop_from_picture(roi[0], roi[1], roi[2] + 0.3)
        self.target = crops.targets(self.label, self.matrix)

    def test_pose_and_place_put_the_landmarks_where_they_are(self):
        # The focal length is not the camera's and the middle is off its axis: what is left is perspective.
        miss = lambda target: np.median(np.abs(seen(target, self.points) - self.target["landmarks"][:, :2]))
        self.assertLess(miss(self.target), 0.02)
        turned = {**self.target, "rotation": self.target["rotation"] @ np.diag([1.0, -1, -1])}
        self.assertGreater(miss(turned), 3 * miss(self.target))

    def test_a_mirrored_face_has_mirrored_targets(self):
        picture = np.zeros((480, 640, 3), np.uint8)
        neutral = np.zeros((478, 3), np.float32)
        _, label, _ = crops.mirrored(picture, self.label, neutral)
        flip = np.array([[-1, 0, 640.0], [0, 1, 0]])
        matrix = crops.compose(np.array([[-1, 0, 1.0], [0, 1, 0]]), crops.compose(self.matrix, flip))
        there = crops.targets(label, matrix)
        points = there["landmarks"][LANDMARK_MIRROR] * [-1, 1, 1] + [1, 0, 0]
        np.testing.assert_allclose(points, self.target["landmarks"], atol=1e-5)
        flat = np.diag([-1.0, 1, 1])
        np.testing.assert_allclose(flat @ there["rotation"] @ flat, self.target["rotation"], atol=1e-5)
        np.testing.assert_allclose(there["place"] * [-1, 1, 1] + [1, 0, 0], self.target["place"], atol=1e-5)
        self.assertEqual(there["blendshapes"][INDEX["eyeBlinkLeft"]], self.target["blendshapes"][INDEX["eyeBlinkRight"]])
        sign = np.array([1, 1, 1, -1, -1, 1, 1, -1, 1])[:, None]
        np.testing.assert_allclose(there["light"] * sign, self.target["light"], atol=1e-5)

    def test_depth_grows_along_the_ray_wherever_the_face_stands(self):
        # As deep as the head's rotation in the crop's own camera says, not as the frame's axis has it.
        roi = crops.roi_around(self.label["landmarks"][:, :2])
        for shift in (-900.0, 0.0, 900.0):
            label = self.label.copy()
            label["translation_mm"] = self.label["translation_mm"] + [shift, 0, 0]
            label["landmarks"] = self.label["landmarks"] + [shift * 700 / 900, 0, 0]
            there = crops.targets(label, crops.crop_from_picture(roi[0] + [shift * 700 / 900, 0], roi[1], roi[2]))
            across = there["rotation"] @ (self.points[33] - self.points[263])
            depth = there["landmarks"][33, 2] - there["landmarks"][263, 2]
            np.testing.assert_allclose(depth * np.exp(there["place"][2]) * 1000, across[2], atol=0.01)

    def test_turned_light_falls_from_the_turned_side(self):
        light = np.zeros((9, 3))
        light[3] = 1  # from +x
        quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x becomes y
        np.testing.assert_allclose(crops.turned_sh(light, quarter)[1], 1, atol=1e-6)


class Network(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.net = FaceNet().eval()

    def test_a_rotation_comes_back_from_its_two_columns(self):
        rotation = torch.linalg.qr(torch.randn(5, 3, 3))[0]
        rotation[:, :, 2] = torch.cross(rotation[:, :, 0], rotation[:, :, 1], dim=1)
        columns = torch.cat([rotation[:, :, 0] * 3, rotation[:, :, 1] + rotation[:, :, 0]], 1)
        torch.testing.assert_close(rotation_from_6d(columns), rotation, atol=1e-5, rtol=0)

    def test_what_goes_to_the_head_comes_back(self):
        points = crops.targets(*seen_label())["landmarks"]
        points = torch.from_numpy(points)[None]
        frame = self.net.head_frame(points)
        back = frame.to_crop(frame.to_head(points).transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(back, points, atol=1e-4, rtol=0)

    def test_keypoints_are_read_between_the_cells_that_tell_of_them(self):
        points = keypoints.Keypoints(2, 2, keypoints.cells(4, 8))
        with torch.no_grad():
            points.maps.weight.copy_(torch.eye(2)[:, :, None, None])
        maps = torch.full((1, 2, 4, 8), -9.0)
        maps[0, 0, 1, 5] = maps[0, 0, 1, 6] = maps[0, 1, 3, 0] = 9
        expected = torch.tensor([[[6 / 8, 0.5 / 8], [1.5 / 4, 3.5 / 4]]])
        torch.testing.assert_close(points(maps)[0], expected, atol=1e-5, rtol=0)

    def test_what_is_put_right_at_eyes_and_mouth_moves_the_landmarks_there(self):
        landmarks = torch.from_numpy(crops.targets(*seen_label())["landmarks"])
        neutral = self.net.head_frame(landmarks[None]).to_head(landmarks[None])[0]
        self.net.start_from(landmarks + 0.01 * torch.randn(128, POINTS, 3), neutral)
        share = self.net.settle.weight.sum(1)
        self.assertGreater(float(share[regions.POINTS].min()), 0.8)

    def as_if_trained(self):
        """Batch normalisation that does something."""
        for module in self.net.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 2)

    def test_a_folded_network_says_the_same(self):
        self.as_if_trained()
        image = torch.rand(2, 3, 192, 192)
        with torch.no_grad():
            before = self.net(image)
            self.assertFalse(is_folded(self.net.state_dict()))
            for linear in (False, True):
                after = fold(self.net, linear)(image)
                self.assertTrue(is_folded(self.net.state_dict()))
                for name, value in before.items():
                    torch.testing.assert_close(after[name], value, atol=1e-3, rtol=1e-3, msg=name)

    def test_the_mean_of_two_networks_lies_between_them_and_of_two_shapes_there_is_none(self):
        ends = [FaceNet().state_dict() for _ in range(2)]
        between = mean(ends)
        for name, value in between.items():
            if value.is_floating_point():
                torch.testing.assert_close(value - ends[0][name], ends[1][name] - value)
        with self.assertRaises(SystemExit):
            mean([ends[0], fold(FaceNet()).state_dict()])

    def test_an_exported_network_can_be_trained_on(self):
        self.as_if_trained()
        net = rounded(self.net)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "face.onnx"
            to_onnx(net, path)
            back = shipped(path)
            broken = onnx.load(path)
            broken.graph.initializer.pop()
            onnx.save(broken, path)
            with self.assertRaises(ShippedError):
                shipped(path)
            # As exports once were.
            broken.graph.node.append(onnx.helper.make_node("Mul", ["maps", "sharpness"], ["sharp"], "/net/keypoints/Mul"))
            onnx.save(broken, path)
            with self.assertRaisesRegex(ShippedError, "older export"):
                shipped(path)
        image = torch.rand(8, 3, 192, 192)
        with torch.no_grad():
            before = net.eval()(image)
            for after in (back(image), unfold_linear(back, image)(image)):
                for name in before.keys() - {"doubt"}:
                    torch.testing.assert_close(after[name], before[name], atol=1e-3, rtol=1e-3, msg=name)
        norms = [m for m in back.modules() if isinstance(m, torch.nn.BatchNorm1d)]
        self.assertEqual(len(norms), sum(isinstance(m, torch.nn.BatchNorm1d) for m in FaceNet().modules()))

    def test_silent_units_are_woken_and_say_nothing_new_at_once(self):
        image = torch.rand(8, 3, 192, 192)
        with torch.no_grad():
            for layer in readers(self.net):
                layer[1].bias[:10] = -1e4
            self.assertGreater(silent_share(self.net, image), 0.08)
            before = self.net.eval()(image)
        revive(self.net, image)
        self.assertEqual(silent_share(self.net, image), 0)
        after = self.net(image)
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, msg=name)
        after["blendshapes"].sum().backward()
        said = self.net.expression[1].weight.grad[:, :10]
        self.assertTrue(bool((said.abs().sum(0) > 0).all()), "units that are woken can be listened to")

    def test_parts_that_keep_their_weights_do(self):
        self.net.learn_only(["expression"])
        before = {name: value.clone() for name, value in self.net.state_dict().items()}
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=0.01)
        out = self.net.train()(torch.rand(4, 3, 192, 192))
        sum(v.float().square().mean() for k, v in out.items() if k != "maps").backward()
        optimiser.step()
        self.assertEqual(self.changed_since(before), {"expression"})

    def test_rows_that_are_told_anew_leave_others_as_they_were(self):
        self.net.learn_only(["sided", "expression"])
        self.net.learn_rows(["brow"])
        image = torch.rand(4, 3, 192, 192)
        with torch.no_grad():
            before = self.net.eval()(image)["blendshapes"]
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=0.01, weight_decay=0)
        self.net.train()(image)["blendshapes"].square().mean().backward()
        optimiser.step()
        with torch.no_grad():
            changed = (self.net.eval()(image)["blendshapes"] != before).any(0)
        self.assertEqual({name for name, i in INDEX.items() if changed[i]}, {name for name in INDEX if name.startswith("brow")})

    def changed_since(self, before):
        """The parts whose weights are others than these."""
        return {name.split(".")[0] for name, value in self.net.state_dict().items() if not torch.equal(value, before[name])}

    def views(self):
        """A batch, which of it show faces, and what the heads are told of these."""
        batch = {
            "image": torch.randint(256, (8, 192, 192, 3), dtype=torch.uint8), "neutral": torch.randn(8, 478, 3), "neutral_off": torch.full((8,), 0.01),
            "presence": torch.ones(8), "still": torch.ones(8), "blendshapes": torch.rand(8, 52),
        }  # fmt: skip
        # Half of a pair shows no face: both its views are left out.
        batch["presence"][3] = 0
        torch.manual_seed(2)
        return batch, [0, 1, 4, 5, 6, 7], kept(self.net, [batch, batch], 6)

    def test_what_is_kept_of_a_view_tells_the_heads_the_same_as_the_view(self):
        batch, there, views = self.views()
        self.assertEqual(len(views["told"]), 6)
        torch.testing.assert_close(views["blendshapes"], batch["blendshapes"][there])
        torch.manual_seed(2)
        with torch.no_grad():
            expected = self.net(as_input(batch["image"][there]), *calibrated({k: batch[k][there] for k in ("neutral", "neutral_off")}))
            torch.testing.assert_close(said(self.net, views)["blendshapes"], expected["blendshapes"], atol=0.01, rtol=0.01)

    def test_what_is_kept_under_the_sheets_tells_the_same_as_the_view(self):
        batch, there, _ = self.views()
        batch |= {"landmarks": torch.rand(8, 478, 3), "gaze": torch.rand(8, 2, 3), "openness": torch.rand(8, 2), "from_unit": torch.rand(8, 2, 3)}
        views = sheets.kept(self.net, [batch, batch], 6)
        torch.testing.assert_close(views["landmarks"], batch["landmarks"][there])
        torch.manual_seed(2)
        with torch.no_grad():
            expected = self.net(as_input(batch["image"][there]), *calibrated({k: batch[k][there] for k in ("neutral", "neutral_off")}))
            torch.manual_seed(2)
            given = sheets.said(self.net.eval(), views)
        for name in ("landmarks", "blendshapes", "gaze", "openness"):
            torch.testing.assert_close(given[name], expected[name], atol=0.02, rtol=0.02, msg=name)

    def test_what_goes_together_is_learnt_from_what_was_kept_and_nothing_else_changes(self):
        _, _, views = self.views()
        self.net.learn_only(PARTS)
        before = {name: value.clone() for name, value in self.net.state_dict().items()}
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=0.01)
        totals = []
        for progress in np.linspace(0, 1, 30):
            terms = losses(Loss(), self.net.train(), views, progress)
            totals.append(terms["blendshapes"].item())
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
        self.assertLess(totals[-1], totals[0])
        self.assertEqual(self.changed_since(before), set(PARTS))
        # In use nothing keeps eyes and brows out but this.
        weights = self.net.together[-1]
        own = self.net.put_right == 0
        self.assertGreater(int(own.sum()), 0)
        self.assertFalse(weights.weight[own].any() or weights.bias[own].any())

    def test_an_unknown_neutral_changes_nothing(self):
        image, neutral = torch.rand(2, 3, 192, 192), torch.randn(2, 478, 3)
        alone, told = self.net(image), self.net(image, neutral, torch.zeros(2, 1))
        torch.testing.assert_close(alone["blendshapes"], told["blendshapes"])

    def test_the_exported_graph_says_what_the_network_says(self):
        net = rounded(self.net)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "face.onnx"
            to_onnx(net, path)
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        x = [torch.rand(1, 3, 192, 192), torch.randn(1, 478, 3) * 0.3, torch.ones(1, 1)]
        with torch.no_grad():
            expected = Exported(net)(*x)
        given = session.run(list(Exported.OUTPUTS), {k: v.numpy() for k, v in zip(Exported.INPUTS, x)})
        for name, e, g in zip(Exported.OUTPUTS, expected, given):
            np.testing.assert_allclose(g, e.numpy(), atol=1e-4, err_msg=name)


class Operators(unittest.TestCase):
    """What any runtime does for our operators is what training does."""

    def setUp(self):
        torch.manual_seed(5)
        self.net = FaceNet()
        self.functions = {f.name: f for f in functions(self.net, (1, 3, 24, 24))}

    def given(self, name, *inputs):
        function = self.functions[name]
        tensor = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        takes, gives = list(function.input), list(function.output)
        node = onnx.helper.make_node(name, takes, gives, domain=DOMAIN)
        graph = onnx.helper.make_graph(
            [node], name, [tensor(k, v.shape) for k, v in zip(takes, inputs)], [tensor(k, [None] * 3) for k in gives]
        )
        opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(DOMAIN, 1)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[function])
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(gives, {k: v.numpy() for k, v in zip(takes, inputs)})

    def same(self, given, expected):
        self.assertEqual(len(given), len(expected))
        for g, e in zip(given, expected):
            np.testing.assert_allclose(g, e.numpy(), atol=1e-5)

    def test_a_picture_is_read_under_the_sheets(self):
        image, points = torch.randn(1, 3, 24, 24), self.net.regions.sheets
        frame = 0.5 * torch.randn(1, 3, 3), 0.5 + 0.2 * torch.randn(1, 3, 1)
        self.same(self.given("Sample", image, points, *frame), [sampled(image, points, *frame)])

    def test_landmarks_tell_the_heads_frame(self):
        landmarks, head = torch.from_numpy(crops.targets(*seen_label())["landmarks"])[None], self.net.head_frame
        inputs = landmarks, head.weights, head.middle
        self.same(self.given("HeadFrame", *inputs), head_frame(*inputs))

    def test_points_are_read_off_maps(self):
        for n, points, rows, columns, d in ((1, 9, 4, 6, 2), (2, 5, 3, 5, 3)):
            cells = rows * columns
            inputs = 4 * torch.randn(n, points, rows, columns), torch.randn(points, cells), torch.rand(d, cells)
            self.same(self.given("SoftArgmax", *inputs), [soft_argmax(*inputs)])


class Stills(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(5)
        label, _ = seen_label()
        self.truth = {
            "blendshapes": rng.random((6, 52)),
            "rotation": np.stack([label["rotation"] for _ in range(6)]),
            "gaze": np.stack([label["gaze"] / np.linalg.norm(label["gaze"], axis=1, keepdims=True) for _ in range(6)]),
        }  # fmt: skip
        # The same turn from all heads is the program's own idea of a front.
        self.told = [
            {"blendshapes": dict(zip(NAMES, c)), "head": {"rotation": (r @ np.diag([-1, 1, -1])).tolist()}, "gaze": dict(zip(("left", "right"), g))}
            for c, r, g in zip(*(self.truth[k] for k in ("blendshapes", "rotation", "gaze")))
        ]  # fmt: skip

    def test_a_track_that_is_right_is_found_right_and_a_face_it_missed_is_counted(self):
        found, r, error = compared(self.told[:5] + [None], self.truth)
        self.assertAlmostEqual(found["found"], 5 / 6)
        self.assertTrue(np.allclose(r, 1) and np.allclose(error, 0))
        self.assertLess(max(found["rotation_deg"], found["gaze_deg"]), 1e-3)

    def test_a_coefficient_that_a_track_lacks_is_not_followed(self):
        for face in self.told:
            del face["blendshapes"]["tongueOut"]
        found, r, error = compared(self.told, self.truth)
        self.assertEqual(r[INDEX["tongueOut"]], 0)
        self.assertEqual(found["correlation_min"], 0)
        self.assertAlmostEqual(error[INDEX["tongueOut"]], self.truth["blendshapes"][:, INDEX["tongueOut"]].mean())


class ScriptHeads(unittest.TestCase):
    def test_the_packs_shapes_become_the_52_coefficients(self):
        names = ["PupilDilate_L", "jawLeft", "cheekPuff_L", "cheekPuff_R", *(n.replace("Left", "_L").replace("Right", "_R") for n in NAMES)]
        names = [n for n in names if n not in ("jaw_L", "browInnerUp", "cheekPuff")] + ["browInnerUp_L", "browInnerUp_R"]
        shapes = np.zeros((2, len(names)))
        for name, value in (("jawLeft", 0.25), ("browInnerUp_L", 0.5), ("cheekPuff_L", 0.75), ("mouthSmile_R", 1.1), ("PupilDilate_L", 1)):
            shapes[1, names.index(name)] = value
        told = coefficients(shapes, names)
        wanted = {"jawLeft": 0.25, "browInnerUp": 0.5, "cheekPuff": 0.75, "mouthSmileRight": 1}
        self.assertFalse(told[0].any())
        self.assertEqual({n: told[1, i] for n, i in INDEX.items() if told[1, i]}, wanted)

    def test_labels_beside_pictures_are_what_a_track_is_compared_with(self):
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / LABELS, blendshapes=np.full((3, 52), 0.5))
            self.assertEqual(truths(Path(folder))["blendshapes"].shape, (3, 52))


class Losses(unittest.TestCase):
    def setUp(self):
        target = crops.targets(*seen_label())
        self.truth = {k: torch.from_numpy(v)[None] for k, v in target.items()}
        self.truth |= {"presence": torch.ones(1), "mirrored": torch.zeros(1)}
        rotation = torch.cat([self.truth["rotation"][:, :, 0], self.truth["rotation"][:, :, 1]], 1)
        at = lambda indices: self.truth["landmarks"][:, indices, :2].transpose(1, 2)
        places = {"keypoints": at(keypoints.FACE), "found": at(regions.POINTS)}
        self.right = {**self.truth, "coarse": self.truth["landmarks"], "rotation": rotation, **places, "log_sigma": torch.full((1, 478), -7.0), "doubt": torch.full((1, 52), -5.0), "presence": torch.full((1, 1), 9.0)}

    def test_every_term_is_least_where_the_network_is_right(self):
        loss = Loss()
        best = loss(self.right, self.truth)
        for name in ("landmarks", "coarse", "keypoints", "found", "blendshapes", "rotation", "place", "gaze", "openness", "light", "identity", "presence"):
            wrong = loss({**self.right, name: self.right[name] - 0.3}, self.truth)
            self.assertGreater(float(wrong[name]), float(best[name]), name)

    def test_an_error_weighs_less_where_it_was_feared(self):
        truth, doubt = torch.full((1, 52), 0.5), torch.full((1, 52), -3.0)
        doubt[0, 0] = -1
        doubt.requires_grad_()
        told = torch.full((1, 52), 0.7).requires_grad_()
        Loss().expression(told, truth, doubt).backward()
        # Both of the eye, which count alike but for what was feared.
        feared, sure = INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]
        self.assertGreater(float(told.grad[0, sure]), 6 * float(told.grad[0, feared]))
        self.assertGreater(float(doubt.grad[0, feared]), 0, "an error of 0.2 asks for less doubt than 0.37")
        self.assertLess(float(doubt.grad[0, sure]), 0, "and for more than 0.05")

    def test_a_picture_without_a_face_teaches_presence_alone(self):
        loss = Loss()
        out = {k: torch.cat([v, v + 0.2]).requires_grad_() for k, v in self.right.items()}
        truth = {k: torch.cat([v, v]) for k, v in self.truth.items()} | {"presence": torch.tensor([1.0, 0.0])}
        sum(loss(out, truth).values()).backward()
        for name in ("landmarks", "blendshapes", "rotation", "gaze"):
            self.assertEqual(float(out[name].grad[1].abs().sum()), 0, name)
        self.assertGreater(float(out["presence"].grad[1].abs().sum()), 0)


@unittest.skipUnless(FACES, "SKIPPED: the training itself; set FACES to a folder of at least 200 renders")
class Training(unittest.TestCase):
    def command(self, run, *more):
        return [sys.executable, "-m", "face.train", str(run), "--data", FACES, "--batch", "32", "--workers", "0", *more]

    def test_it_lowers_its_loss_and_goes_on_after_a_kill(self):
        self.assertGreaterEqual(sum(len(Shard(p)) for p in Path(FACES).glob("*.ftfaces")), 200)
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            first = subprocess.Popen(self.command(run, "--steps", "400", "--minutes", "1.5"), cwd=HERE)
            first.wait()
            stopped_at = torch.load(run / "checkpoint.pt")["step"]
            second = subprocess.Popen(self.command(run, "--steps", "400"), cwd=HERE, stdout=subprocess.PIPE, text=True)
            self.assertIn(f"resuming at step {stopped_at}", second.stdout.readline())
            second.send_signal(signal.SIGTERM)
            second.wait()
            self.assertGreaterEqual(torch.load(run / "checkpoint.pt")["step"], stopped_at)
            done = subprocess.run(self.command(run, "--steps", "400"), cwd=HERE, check=True)
            self.assertEqual(done.returncode, 0)
            totals = [float(line.split(",")[-1]) for line in (run / "curves.csv").read_text().splitlines()[1:]]
            self.assertLess(totals[-1], totals[0])

    def test_labels_out_of_range_are_refused(self):
        source = sorted(Path(FACES).glob("*.ftfaces"))[0]
        shard = Shard(source)
        data = bytearray(source.read_bytes())
        at = shard.header["records_at"] + shard.dtype.fields["blendshapes"][1]
        data[at : at + 4] = np.float32(1.5).tobytes()
        with tempfile.TemporaryDirectory() as folder:
            bad = Path(folder) / "faces-00000.ftfaces"
            bad.write_bytes(data)
            with self.assertRaises(DatasetError):
                Shard(bad)

    def test_people_at_rest_are_told_as_the_network_sees_them_and_of_others_refused(self):
        first, other = sorted(Path(FACES).glob("*.ftfaces"))[:2]
        rest = lambda resting: subprocess.run([sys.executable, "-m", "face.rest", "../models/face.onnx", faces, resting], cwd=HERE).returncode
        with tempfile.TemporaryDirectory() as faces, tempfile.TemporaryDirectory() as resting:
            path = Path(faces) / first.name
            path.symlink_to(first.resolve())
            true, reach = neutrals_of(Shard(path))
            self.assertNotEqual(rest(faces), 0, "acting faces pass for resting ones")
            # As good as at rest: it is the labels that are looked at.
            for source, passes in ((other, False), (first, True)):
                still = Path(resting) / first.name
                shutil.copy(source, still)
                shard = Shard(still)
                np.memmap(still, shard.dtype, "r+", shard.header["records_at"], (len(shard),))["blendshapes"] = 0
                self.assertEqual(rest(resting) == 0, passes)
            seen, less = neutrals_of(Shard(path))
            self.assertLess(np.median(np.abs(seen - true)), 0.1)
            self.assertFalse(np.allclose(seen, true, atol=1e-3))
            self.assertLess(less, reach)
            np.save(rest_path(path), seen[1:])
            with self.assertRaises(DatasetError):
                neutrals_of(Shard(path))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Checks of dataset.py on shards written here; takes seconds. Run with `python dataset_tests.py [SHARD]`.

With SHARD, a file that `facetrackd render-faces` wrote is read as well: its checksum, ranges, pictures, and that the labels'
camera puts the head's points where the labels have them.
"""

import hashlib
import json
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import cv2
import numpy as np
from dataset import DatasetError, Faces, Shard, as_dict, iris_contour, project

SIZE, FACES = 64, 6
FIELDS = [
    ("index", "<u8", ()), ("landmarks", "<f4", (478, 3)), ("ibug68", "<f4", (68, 2)), ("blendshapes", "<f4", (52,)),
    ("rotation", "<f4", (3, 3)), ("translation_mm", "<f4", (3,)), ("eye_openness_mm", "<f4", (2,)), ("gaze", "<f4", (2, 3)),
    ("focal_px", "<f4", ()), ("principal_px", "<f4", (2,)), ("distortion", "<f4", (2,)), ("rolling_px", "<f4", (2,)),
    ("frame_px", "<f4", (2,)), ("picture_from_frame", "<f4", (2, 3)), ("flags", "<u4", ()), ("head_mm", "<f2", (478, 3)),
    ("visible", "|u1", (478,)),
]  # fmt: skip
DTYPE = np.dtype([(name, kind, shape) for name, kind, shape in FIELDS])


def labels(seed=0):
    """Faces straight before a pinhole camera, without distortion."""
    rng = np.random.default_rng(seed)
    out = np.zeros(FACES, DTYPE)
    out["index"] = np.arange(FACES)
    out["rotation"], out["translation_mm"] = np.diag([1, -1, -1]), (0, 0, 500)
    out["gaze"] = (0, 0, -1)
    out["blendshapes"] = rng.random((FACES, 52))
    out["eye_openness_mm"] = 9
    out["focal_px"], out["principal_px"], out["frame_px"] = 100, SIZE / 2, SIZE
    out["picture_from_frame"] = np.eye(2, 3)
    out["head_mm"] = rng.normal(size=(FACES, 478, 3)) * 20
    for face in out:
        face["landmarks"][:, :2] = project(face, face["head_mm"].astype(float))
    return out


def encode(records, tail=b""):
    """A shard of these records, laid out as docs/dataset.md says."""
    pictures = [np.full((SIZE, SIZE, 3), 40 * i, np.uint8) for i in range(len(records))]
    jpegs = [cv2.imencode(".jpg", p)[1].tobytes() for p in pictures]
    header = {
        "fields": [
            {"name": n, "dtype": k, "shape": list(s), "offset": DTYPE.fields[n][1]} for n, k, s in FIELDS
        ],
        "record_size": DTYPE.itemsize, "count": len(records), "settings": {"picture": [SIZE, SIZE]},
    }  # fmt: skip
    room = 8192
    header["records_at"], header["offsets_at"] = room, -(-(room + records.nbytes) // 8) * 8
    header["images_at"] = header["offsets_at"] + 8 * (len(records) + 1)
    text = json.dumps(header).encode().ljust(room - 16)
    offsets = np.cumsum([0] + [len(j) for j in jpegs]).astype("<u8").tobytes()
    body = b"FTFACES1" + struct.pack("<Q", len(text)) + text + records.tobytes()
    body = body.ljust(header["offsets_at"], b"\0") + offsets + b"".join(jpegs)
    return body + hashlib.sha256(body).digest() + tail


class Reading(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.folder / "faces-00000.ftfaces"

    def write(self, data):
        self.path.write_bytes(data)
        return self.path

    def test_what_was_written_is_read(self):
        shard = Shard(self.write(encode(labels())))
        self.assertEqual(len(shard), FACES)
        self.assertTrue((shard.labels == labels()).all())
        self.assertEqual(shard.picture(2).shape, (SIZE, SIZE, 3))
        self.assertTrue((abs(shard.picture(2).astype(int) - 80) < 3).all())
        self.assertTrue(shard.verify())

    def test_labels_that_no_face_can_have_are_refused_by_name(self):
        poison = {
            "landmarks": np.nan, "blendshapes": 1.01, "gaze": 0.5, "rotation": 2.0, "eye_openness_mm": -1.0,
        }  # fmt: skip
        for name, value in poison.items():
            records = labels()
            records[name][3] = value
            with self.assertRaisesRegex(DatasetError, name):
                Shard(self.write(encode(records)))
        records = labels()
        records["landmarks"][1, 7, 0] = 5 * SIZE
        with self.assertRaisesRegex(DatasetError, "landmarks"):
            Shard(self.write(encode(records)))

    def test_a_shard_that_is_cut_anywhere_is_refused(self):
        whole = encode(labels())
        for length in (0, 7, 15, 40, 8200, len(whole) // 2, len(whole) - 33, len(whole) - 1):
            with self.assertRaises(DatasetError, msg=f"{length} of {len(whole)} bytes"):
                Shard(self.write(whole[:length]))
        with self.assertRaises(DatasetError):
            Shard(self.write(whole + b"more"))

    def test_another_kind_of_file_is_refused(self):
        for data in (b"FTFACES9" + encode(labels())[8:], b"\x89PNG\r\n\x1a\n" + bytes(500), b"FTFACES1" + b"\xff" * 600):
            with self.assertRaises(DatasetError):
                Shard(self.write(data))

    def test_a_changed_byte_spoils_the_checksum(self):
        data = bytearray(encode(labels()))
        self.assertTrue(Shard(self.write(data)).verify())
        data[-200] ^= 1
        self.assertFalse(Shard(self.write(data)).verify())

    def test_an_epoch_gives_every_face_once_and_another_order_the_next_time(self):
        self.write(encode(labels()))
        faces = Faces(self.folder, lambda picture, label: int(label["index"]))
        first, second = list(faces), list(faces)
        self.assertEqual(sorted(first), list(range(FACES)))
        self.assertEqual(sorted(second), sorted(first))
        self.assertNotEqual(first, second)

    def test_a_folder_without_shards_is_refused(self):
        with self.assertRaises(DatasetError):
            Faces(self.folder)

    def test_records_become_arrays_that_loaders_collate(self):
        out = as_dict(Shard(self.write(encode(labels()))).labels[1])
        self.assertEqual(out["head_mm"].dtype, np.float32)
        self.assertEqual(out["index"].dtype, np.int64)

    def test_an_iris_contour_passes_through_the_rims_points(self):
        face = labels()[0]
        for first, eye in ((469, "right"), (474, "left")):
            c = np.array([30.0 * (1 if eye == "left" else -1), 5, 10])
            face["head_mm"][first : first + 4] = c + 5.85 * np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
            rim = project(face, face["head_mm"][first : first + 4].astype(float))
            np.testing.assert_allclose(iris_contour(face, eye, 4), rim, atol=0.02)
            np.testing.assert_allclose(iris_contour(face, eye, 16)[::4], rim, atol=0.02)


class Rendered(unittest.TestCase):
    """A shard of the renderer's own, where one is given."""

    path = None

    def test_labels_pictures_and_camera_agree(self):
        if self.path is None:
            self.skipTest("no SHARD was given")
        shard = Shard(self.path)
        self.assertTrue(shard.verify())
        size = shard.header["settings"]["picture"]
        for i, label in enumerate(shard.labels):
            self.assertEqual(shard.picture(i).shape, (size[1], size[0], 3))
            seen = project(label, label["head_mm"].astype(float))
            # head_mm is of half precision: a few hundredths of a millimetre.
            self.assertLess(np.abs(seen - label["landmarks"][:, :2]).max(), 0.25 * max(size) / 256)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        Rendered.path = Path(sys.argv.pop(1))
    unittest.main()

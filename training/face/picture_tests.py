"""Checks of what is done to pictures. `face.tests` runs them along."""

import unittest

import numpy as np

from expression.coefficients import LANDMARK_MIRROR
from face.distort import cross, hide_surroundings
from face.lettering import letter
from face.lids import LOWER, UPPER, line_lids


class Lettering(unittest.TestCase):
    def test_words_are_drawn_on_pictures_of_any_size(self):
        rng = np.random.default_rng(5)
        for shape in ((16, 16, 3), (192, 192, 3), (40, 300, 3)):
            pictures = [np.zeros(shape, np.uint8) for _ in range(20)]
            for picture in pictures:
                letter(picture, rng)
            self.assertGreater(sum(p.any() for p in pictures), 15, shape)


class Surroundings(unittest.TestCase):
    def test_what_is_around_a_face_is_hidden_and_its_middle_kept(self):
        rng = np.random.default_rng(0)
        angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
        landmarks = 0.5 + 0.25 * np.column_stack([np.cos(angle), np.sin(angle)])
        image = rng.integers(1, 255, (192, 192, 3)).astype(np.uint8)
        hidden = [hide_surroundings(image, landmarks, rng) for _ in range(50)]
        for seen in hidden:
            # But for rounding.
            np.testing.assert_allclose(seen[80:112, 80:112].astype(int), image[80:112, 80:112], atol=2)
        corners = [np.ptp(seen[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - image[[0, 0, -1, -1], [0, -1, 0, -1]]) for seen in hidden]
        self.assertGreater(min(corners), 1, "at least one corner of every picture is something else")

    def test_what_lies_across_a_face_leaves_most_of_it_to_be_seen(self):
        rng = np.random.default_rng(1)
        image = np.full((192, 192, 3), 255, np.uint8)
        hidden = [(cross(image, rng) < 250).any(2).mean() for _ in range(200)]
        self.assertGreater(np.mean(hidden), 0.02)
        self.assertLess(max(hidden), 0.5)


class Lids(unittest.TestCase):
    def setUp(self):
        """Two eyes of 30 pixels' width, 70 apart, in a picture of one colour; where they are."""
        self.image = np.full((192, 192, 3), 200, np.uint8)
        self.landmarks, self.visible = np.zeros((478, 3)), np.ones(478)
        self.eyes = np.zeros((2, 192, 192), bool)
        for i, (side, middle) in enumerate(((lambda lid: lid, (60, 80)), (lambda lid: LANDMARK_MIRROR[lid], (130, 80)))):
            angle = np.linspace(np.pi, 0, 9) if i == 0 else np.linspace(0, np.pi, 9)
            for lid, up in ((UPPER, 1), (LOWER, -1)):
                self.landmarks[side(lid), :2] = (np.array(middle) + np.column_stack([15 * np.cos(angle), -4 * up * np.sin(angle)])) / 192
            self.eyes[i, 65:95, middle[0] - 28 : middle[0] + 28] = True

    def drawn(self, seed):
        return line_lids(self.image, self.landmarks, self.visible, np.random.default_rng(seed))

    def test_both_eyes_are_lined_darker_and_nothing_else_is_touched(self):
        for seed in range(30):
            darker = (self.drawn(seed) < self.image).any(2)
            self.assertTrue(all(darker[eye].any() for eye in self.eyes), seed)
            self.assertFalse(darker[~self.eyes.any(0)].any(), seed)
        self.assertEqual(int(self.image.min()), 200, "the picture that was given is as it was")

    def test_an_eye_that_is_hidden_or_too_far_to_see_has_no_line(self):
        self.visible[LANDMARK_MIRROR[UPPER]] = self.visible[LANDMARK_MIRROR[LOWER]] = 0
        hidden = self.drawn(0) < self.image
        self.assertTrue(hidden[self.eyes[0]].any())
        self.assertFalse(hidden[self.eyes[1]].any())
        self.landmarks[:, :2] = 0.5 + 0.1 * (self.landmarks[:, :2] - 0.5)
        np.testing.assert_array_equal(self.drawn(0), self.image)

    def test_eyes_at_the_edge_and_beyond_it_are_no_matter(self):
        there = self.landmarks.copy()
        for shift in ([-0.4, 0, 0], [0, -0.42, 0], [0.5, 0.6, 0], [3, 3, 0]):
            self.landmarks = there + shift
            for seed in range(10):
                self.assertEqual(self.drawn(seed).shape, self.image.shape)

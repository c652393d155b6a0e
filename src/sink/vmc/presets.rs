//! VRM's expression presets out of the 52, for avatars that have no Perfect Sync shapes.
//!
//! The mixture is our own choice: vowels by how far the jaw is open and how round or wide the lips are, moods by their
//! one telling movement. `Fun` (VRM1: `relaxed`) has no such movement and stays 0.

use crate::face::Blendshape::{
    BrowDownLeft, BrowDownRight, BrowInnerUp, EyeBlinkLeft, EyeBlinkRight, JawOpen, MouthClose,
    MouthFrownLeft, MouthFrownRight, MouthFunnel, MouthPucker, MouthSmileLeft, MouthSmileRight,
    MouthStretchLeft, MouthStretchRight,
};
use crate::face::Blendshapes;

/// Number of presets.
pub(super) const PRESET_COUNT: usize = 11;

/// Names of VRM 0, in the order of [`values`].
pub(super) const VRM0: [&str; PRESET_COUNT] =
    ["A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Fun"];

/// Names of VRM 1, in the order of [`values`].
pub(super) const VRM1: [&str; PRESET_COUNT] =
    ["aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight", "happy", "angry", "sad", "relaxed"];

/// The presets' values, 0 to 1.
pub(super) fn values(b: &Blendshapes) -> [f32; PRESET_COUNT] {
    let mean = |left, right| 0.5 * (b[left] + b[right]);
    let jaw = (b[JawOpen] - b[MouthClose]).max(0.0);
    let round = b[MouthFunnel].max(b[MouthPucker]);
    let wide = mean(MouthStretchLeft, MouthStretchRight);
    let open_plain = jaw * (1.0 - round) * (1.0 - wide);
    let sorrow = mean(MouthFrownLeft, MouthFrownRight).max(0.5 * b[BrowInnerUp] * (1.0 - jaw));
    [
        open_plain,
        wide * (1.0 - jaw),
        b[MouthPucker] * (1.0 - jaw),
        (wide * jaw).sqrt(),
        (round * jaw).sqrt(),
        b[EyeBlinkLeft],
        b[EyeBlinkRight],
        mean(MouthSmileLeft, MouthSmileRight),
        mean(BrowDownLeft, BrowDownRight) * (1.0 - mean(MouthSmileLeft, MouthSmileRight)),
        sorrow,
        0.0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Blendshape;
    use proptest::prelude::*;

    fn strongest(settings: &[(Blendshape, f32)]) -> &'static str {
        let mut b = Blendshapes::default();
        for &(shape, value) in settings {
            b[shape] = value;
        }
        let values = values(&b);
        VRM0[(0..PRESET_COUNT).max_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap()]
    }

    #[test]
    fn each_mouth_shape_says_its_vowel() {
        assert_eq!(strongest(&[(JawOpen, 0.8)]), "A");
        assert_eq!(strongest(&[(MouthStretchLeft, 0.7), (MouthStretchRight, 0.7), (JawOpen, 0.05)]), "I");
        assert_eq!(strongest(&[(MouthPucker, 0.8)]), "U");
        assert_eq!(strongest(&[(MouthStretchLeft, 0.6), (MouthStretchRight, 0.6), (JawOpen, 0.5)]), "E");
        assert_eq!(strongest(&[(MouthFunnel, 0.7), (JawOpen, 0.5)]), "O");
        assert_eq!(strongest(&[(EyeBlinkLeft, 1.0)]), "Blink_L");
    }

    proptest! {
        #[test]
        fn presets_stay_within_zero_and_one(v in proptest::collection::vec(0f32..=1.0, 52)) {
            let mut b = Blendshapes::default();
            for ((_, out), v) in b.values_mut().zip(v) {
                *out = v;
            }
            prop_assert!(values(&b).iter().all(|p| (0.0..=1.0).contains(p)));
        }
    }
}

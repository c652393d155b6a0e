//! The mean head that pose is measured against, and how people differ from it. Format and making:
//! `models/canonical_head.md`.

use crate::face::LANDMARK_COUNT;
use glam::Vec3;
use serde::Deserialize;
use std::sync::LazyLock;

const HEAD_JSON: &str = include_str!("../../models/canonical_head.json");
const MOBILITY_JSON: &str = include_str!("../../models/landmark_mobility.json");

/// Identity modes in the file.
pub(super) const MODES: usize = 20;

/// One direction in which people differ, as it moves one landmark: millimetres for a coefficient of 1, by axis.
#[derive(Debug, Clone)]
pub(super) struct LandmarkModes {
    pub x: [f32; MODES],
    pub y: [f32; MODES],
    pub z: [f32; MODES],
}

/// One eye of the mean head.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct CanonicalEye {
    /// Centre of rotation in head space, millimetres.
    pub centre: Vec3,
    /// From the centre to the iris when the person looks straight ahead, unit length.
    pub axis: Vec3,
}

/// Both eyes of the mean head.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct CanonicalEyes {
    pub left: CanonicalEye,
    pub right: CanonicalEye,
}

/// The file, unpacked.
#[derive(Debug)]
pub(super) struct CanonicalHead {
    /// Landmarks of the mean head in head space, millimetres.
    pub points: Vec<Vec3>,
    /// For each landmark, how the modes move it. Coefficients have unit variance.
    pub modes: Vec<LandmarkModes>,
    /// How far expressions move each landmark, root mean square over an ARKit recording, millimetres.
    pub expression_mm: Vec<f32>,
    /// The landmark that a mirror puts in the place of each.
    pub mirror: Vec<usize>,
    pub eyes: CanonicalEyes,
    /// Half of the 11.7 mm that a human iris is wide.
    pub iris_radius_mm: f32,
}

#[derive(Deserialize)]
struct File {
    points: Vec<Vec3>,
    modes: Vec<Vec<Vec3>>,
    mirror: Vec<usize>,
    eyes: CanonicalEyes,
    iris_radius_mm: f32,
}

/// `models/landmark_mobility.json`, made by `training/correspondence/mobility.py`.
#[derive(Deserialize)]
struct Mobility {
    expression_rms_mm: Vec<f32>,
}

static CANONICAL: LazyLock<CanonicalHead> = LazyLock::new(|| {
    CanonicalHead::parse(HEAD_JSON, MOBILITY_JSON).expect("both files are compiled in, and a test reads them")
});

/// For each landmark the one that a mirror puts in its place.
pub fn landmark_mirror() -> &'static [usize] {
    &CanonicalHead::get().mirror
}

impl CanonicalHead {
    /// The one that is compiled in.
    pub fn get() -> &'static Self {
        &CANONICAL
    }

    fn parse(head: &str, mobility: &str) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_str(head)?;
        let Mobility { expression_rms_mm } = serde_json::from_str(mobility)?;
        let mut lengths = file.modes.iter().map(Vec::len).chain([file.points.len(), expression_rms_mm.len()]);
        if file.modes.len() != MODES || lengths.any(|n| n != LANDMARK_COUNT) {
            return Err(serde::de::Error::custom(format_args!(
                "not {MODES} modes of {LANDMARK_COUNT} landmarks"
            )));
        }
        if !(0..LANDMARK_COUNT).all(|i| file.mirror.get(i).and_then(|&m| file.mirror.get(m)) == Some(&i)) {
            return Err(serde::de::Error::custom("a mirror that does not undo itself"));
        }
        let modes = (0..LANDMARK_COUNT)
            .map(|i| LandmarkModes {
                x: std::array::from_fn(|k| file.modes[k][i].x),
                y: std::array::from_fn(|k| file.modes[k][i].y),
                z: std::array::from_fn(|k| file.modes[k][i].z),
            })
            .collect();
        Ok(Self {
            points: file.points,
            modes,
            expression_mm: expression_rms_mm,
            mirror: file.mirror,
            eyes: file.eyes,
            iris_radius_mm: file.iris_radius_mm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_lies_midway_between_the_outer_eye_corners() {
        let head = CanonicalHead::get();
        assert!(((head.points[33] + head.points[263]) * 0.5).length() < 0.1);
        assert!(head.points[263].x > 40.0, "x points to the subject's left");
        assert!(head.points[4].z > 10.0, "the nose points out of the face");
        assert!(head.points[152].y < -70.0, "the chin is below");
    }

    #[test]
    fn no_mode_moves_the_origin() {
        let head = CanonicalHead::get();
        for k in 0..MODES {
            let at = |i: usize| {
                let m = &head.modes[i];
                Vec3::new(m.x[k], m.y[k], m.z[k])
            };
            assert!(((at(33) + at(263)) * 0.5).length() < 0.1, "mode {k}");
        }
    }

    #[test]
    fn the_nose_bridge_keeps_still_where_lips_and_lids_move() {
        let head = CanonicalHead::get();
        for moving in [14, 17, 152, 159, 386] {
            assert!(head.expression_mm[moving] > 1.5 * head.expression_mm[168], "landmark {moving}");
        }
    }

    #[test]
    fn a_file_of_other_landmarks_is_refused() {
        let one_more = HEAD_JSON.replacen("\"points\":[", "\"points\":[[0,0,0],", 1);
        assert!(CanonicalHead::parse(&one_more, MOBILITY_JSON).is_err());
        assert!(CanonicalHead::parse(HEAD_JSON, MOBILITY_JSON).is_ok());
    }
}

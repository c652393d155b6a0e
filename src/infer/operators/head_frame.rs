//! `facetrackd::HeadFrame`: where landmarks have the head's own frame, by one closed step.

use super::{Function, Taken};
use crate::geom::{NEUTRAL_ROTATION, orthonormal};
use glam::Vec3;

/// Takes landmarks in a crop, by what they are to be multiplied for the place that stands for the head and for where its three axes
/// point, and where that place is in the head.
///
/// Gives the head's turn, this in the picture's axes, it times the size, the origin in the crop, and the size.
pub struct HeadFrame;

impl Function<3, 5> for HeadFrame {
    const NAME: &'static str = "HeadFrame";
    const TAKES: &'static str = "landmarks (1, k, 3), weights (4, k) and a place (3)";

    fn shapes([landmarks, weights, middle]: [&[i64]; 3]) -> Option<[[i64; 3]; 5]> {
        let fits = matches!((landmarks, weights, middle), (&[1, k, 3], &[4, n], &[3]) if k == n);
        fits.then_some([[1, 3, 3], [1, 3, 3], [1, 3, 3], [1, 3, 1], [1, 1, 1]])
    }

    fn compute(
        [landmarks, weights, middle]: [Taken; 3],
        [turn, turned, crop_from_head, shift, size]: [&mut [f32]; 5],
    ) {
        let mut means = [Vec3::ZERO; 4];
        for (mean, weights) in means.iter_mut().zip(weights.values.chunks_exact(landmarks.len(1))) {
            let points = landmarks.values.chunks_exact(3).map(Vec3::from_slice);
            *mean = points.zip(weights).map(|(point, &weight)| weight * point).sum();
        }
        let [start, axes @ ..] = means;
        let [x, y, z] = axes.map(|axis| NEUTRAL_ROTATION * axis);
        let rotation = orthonormal(x, y);
        let in_picture = NEUTRAL_ROTATION * rotation;
        let scale = ((x.length_squared() + y.length_squared() + z.length_squared()) / 3.0).sqrt().max(1e-6);
        let scaled = in_picture * scale;
        for (out, matrix) in [(turn, rotation), (turned, in_picture), (crop_from_head, scaled)] {
            matrix.transpose().write_cols_to_slice(out);
        }
        (start - scaled * Vec3::from_slice(middle.values)).write_to_slice(shift);
        size[0] = scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::session::{Session, TensorSpec};
    use crate::infer::tests::runtime;
    use glam::{Mat3, Quat};
    use proptest::prelude::*;

    /// Made by `tests/fixtures/make_networks.py`: the operator alone, whose function of standard operators says 0.
    const ONNX: &[u8] = include_bytes!("../../../tests/fixtures/head_frame.onnx");
    /// Of the head's origin and the ends of its axes: their mean, and where each axis points.
    const WEIGHTS: [f32; 16] = [
        0.25, 0.25, 0.25, 0.25, //
        -1.0, 1.0, 0.0, 0.0, //
        -1.0, 0.0, 1.0, 0.0, //
        -1.0, 0.0, 0.0, 1.0,
    ];

    struct Given {
        turn: Mat3,
        crop_from_head: Mat3,
        shift: Vec3,
        size: f32,
    }

    fn of(points: [Vec3; 4]) -> Given {
        let landmarks: Vec<f32> = points.iter().flat_map(Vec3::to_array).collect();
        let taken = |values| Taken { shape: &[1, 4, 3], values };
        let (mut turn, mut turned, mut scaled, mut shift, mut size) =
            ([0.0; 9], [0.0; 9], [0.0; 9], [0.0; 3], [0.0]);
        HeadFrame::compute(
            [taken(&landmarks), taken(&WEIGHTS), taken(&[0.25; 3])],
            [&mut turn, &mut turned, &mut scaled, &mut shift, &mut size],
        );
        let matrix = |rows: &[f32; 9]| Mat3::from_cols_array(rows).transpose();
        assert_eq!(matrix(&turned), NEUTRAL_ROTATION * matrix(&turn));
        let (turn, crop_from_head, shift) = (matrix(&turn), matrix(&scaled), Vec3::from(shift));
        Given { turn, crop_from_head, shift, size: size[0] }
    }

    proptest! {
        #[test]
        fn the_frame_of_a_head_that_was_moved_is_how_it_was_moved(
            axis in prop::array::uniform3(-1f32..1.0), angle in 0f32..3.0, size in 0.01f32..2.0,
            place in prop::array::uniform3(-1f32..1.0),
        ) {
            let turn = Mat3::from_quat(Quat::from_axis_angle(Vec3::from(axis).normalize_or(Vec3::Y), angle));
            let crop_from_head = NEUTRAL_ROTATION * turn * size;
            let place = Vec3::from(place);
            let given = of([Vec3::ZERO, Vec3::X, Vec3::Y, Vec3::Z].map(|p| crop_from_head * p + place));
            prop_assert!(given.turn.abs_diff_eq(turn, 1e-3), "{} {turn}", given.turn);
            prop_assert!(given.crop_from_head.abs_diff_eq(crop_from_head, 1e-4));
            prop_assert!(given.shift.abs_diff_eq(place, 1e-4), "{} {place}", given.shift);
            prop_assert!((given.size - size).abs() < 1e-5, "{} {size}", given.size);
        }
    }

    #[test]
    fn the_engine_takes_this_operator_and_not_the_files_own() {
        let inputs = [
            TensorSpec { name: "landmarks", shape: &[1, 4, 3] },
            TensorSpec { name: "weights", shape: &[4, 4] },
            TensorSpec { name: "middle", shape: &[3] },
        ];
        let outputs = [
            TensorSpec { name: "crop_from_head", shape: &[1, 3, 3] },
            TensorSpec { name: "shift", shape: &[1, 3, 1] },
            TensorSpec { name: "size", shape: &[1, 1, 1] },
        ];
        let mut session = Session::from_bytes(&runtime(), "head_frame", ONNX, 1, &inputs, &outputs).unwrap();
        let points = [
            Vec3::new(0.4, 0.5, 0.1),
            Vec3::new(0.7, 0.5, 0.1),
            Vec3::new(0.4, 0.2, 0.1),
            Vec3::new(0.4, 0.5, -0.2),
        ];
        let landmarks: Vec<f32> = points.iter().flat_map(Vec3::to_array).collect();
        for (i, values) in [&landmarks[..], &WEIGHTS, &[0.25; 3]].into_iter().enumerate() {
            session.input_mut(i).copy_from_slice(values);
        }
        session.run().unwrap();
        let expected = of(points);
        let rows = expected.crop_from_head.transpose();
        assert_eq!(session.output(0), rows.to_cols_array());
        assert_eq!(session.output(1), expected.shift.to_array());
        assert_eq!(session.output(2), [expected.size]);
        assert!(expected.size > 0.2);
    }

    #[test]
    fn landmarks_that_all_lie_in_one_place_have_a_frame_of_numbers() {
        let given = of([Vec3::splat(0.5); 4]);
        assert!(given.turn.is_finite() && given.crop_from_head.is_finite() && given.shift.is_finite());
        assert!(given.size > 0.0 && given.size < 1e-5, "{}", given.size);
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        assert!(HeadFrame::shapes([&[1, 7, 3], &[4, 7], &[3]]).is_some());
        for (landmarks, weights, middle) in [
            ([1, 7, 2], [4, 7], 3),
            ([2, 7, 3], [4, 7], 3),
            ([1, 7, 3], [4, 8], 3),
            ([1, 7, 3], [3, 7], 3),
            ([1, 7, 3], [4, 7], 4),
        ] {
            assert_eq!(HeadFrame::shapes([&landmarks, &weights, &[middle]]), None);
        }
    }
}

//! From landmarks to the 52 expression coefficients, by a network of our own.
//!
//! Trained in `training/expression` on rendered heads whose coefficients are known; `models/expression.md` is its card.
//! The weights are part of the program.

use super::session::{Session, TensorSpec};
use super::{InferError, Runtime};
use crate::face::{BLENDSHAPE_COUNT, Blendshapes, LANDMARK_COUNT};
use crate::solve::AlignedLandmarks;

const ONNX: &[u8] = include_bytes!("../../models/expression.onnx");

const POINTS: &[i64] = &[1, LANDMARK_COUNT as i64, 3];
const INPUTS: [TensorSpec; 3] = [
    TensorSpec { name: "landmarks", shape: POINTS },
    TensorSpec { name: "neutral", shape: POINTS },
    TensorSpec { name: "neutral_known", shape: &[1, 1] },
];
const OUTPUTS: [TensorSpec; 1] = [TensorSpec { name: "coefficients", shape: &[1, BLENDSHAPE_COUNT as i64] }];
const LANDMARKS: usize = 0;
const NEUTRAL: usize = 1;
const NEUTRAL_KNOWN: usize = 2;

/// The expression network. It has no memory: the same landmarks and neutral give the same coefficients.
pub struct ExpressionNet {
    session: Session,
}

impl ExpressionNet {
    /// Loads the network that is part of the program, on one thread.
    ///
    /// # Errors
    /// Where ONNX Runtime refuses it: [`InferError::Network`], [`InferError::Unexpected`].
    pub fn new(runtime: &Runtime) -> Result<Self, InferError> {
        let session = Session::from_bytes(runtime, "expression", ONNX, 1, &INPUTS, &OUTPUTS)?;
        Ok(Self { session })
    }

    /// Reads the expression, each coefficient 0 to 1, from a face and, where it is known, the same person's neutral
    /// face. Allocates nothing.
    ///
    /// # Errors
    /// [`InferError::NotFinite`] for landmarks that are not finite, [`InferError::Run`] where ONNX Runtime fails; `out`
    /// keeps its old values then.
    pub fn predict(
        &mut self,
        face: &AlignedLandmarks,
        neutral: Option<&AlignedLandmarks>,
        out: &mut Blendshapes,
    ) -> Result<(), InferError> {
        write(self.session.input_mut(LANDMARKS), face);
        if let Some(neutral) = neutral {
            write(self.session.input_mut(NEUTRAL), neutral);
        }
        self.session.input_mut(NEUTRAL_KNOWN)[0] = if neutral.is_some() { 1.0 } else { 0.0 };
        self.session.run()?;
        for ((_, value), predicted) in out.values_mut().zip(self.session.output(0)) {
            *value = *predicted;
        }
        Ok(())
    }
}

fn write(tensor: &mut [f32], face: &AlignedLandmarks) {
    for (xyz, point) in tensor.chunks_exact_mut(3).zip(&face.points) {
        xyz.copy_from_slice(&point.to_array());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{Blendshape, Landmarks};
    use crate::infer::tests::{assert_is_of_manifest, runtime};
    use crate::solve::align;
    use glam::Vec3;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// Written by `training/expression/export.py`: what the trained model says of two rendered faces, and for each
    /// landmark its partner on the other side of the face.
    #[derive(Deserialize)]
    struct Fixture {
        faces: Vec<Rendered>,
        mirrored: Vec<usize>,
    }

    #[derive(Deserialize)]
    struct Rendered {
        landmarks: Vec<[f32; 3]>,
        alone: Vec<f32>,
        relative_to_the_other: Vec<f32>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/expression.json")).unwrap()
    }

    fn landmarks(rows: &[[f32; 3]]) -> Landmarks {
        std::array::from_fn(|i| Vec3::from_array(rows[i]))
    }

    fn predict(
        net: &mut ExpressionNet,
        face: &AlignedLandmarks,
        neutral: Option<&AlignedLandmarks>,
    ) -> Blendshapes {
        let mut out = Blendshapes::default();
        net.predict(face, neutral, &mut out).unwrap();
        out
    }

    fn assert_near(ours: &Blendshapes, theirs: &[f32]) {
        for ((b, value), expected) in ours.iter().zip(theirs) {
            assert!((value - expected).abs() < 1e-4, "{}: {value} {expected}", b.name());
        }
    }

    #[test]
    fn it_says_what_the_trained_model_says() {
        let mut net = ExpressionNet::new(&runtime()).unwrap();
        let fixture = fixture();
        let aligned: Vec<_> = fixture.faces.iter().map(|f| align(&landmarks(&f.landmarks))).collect();
        for (k, face) in fixture.faces.iter().enumerate() {
            assert_near(&predict(&mut net, &aligned[k], Some(&aligned[1 - k])), &face.relative_to_the_other);
            assert_near(&predict(&mut net, &aligned[k], None), &face.alone);
        }
    }

    #[test]
    fn a_mirrored_face_has_mirrored_coefficients() {
        let mut net = ExpressionNet::new(&runtime()).unwrap();
        let fixture = fixture();
        let face = landmarks(&fixture.faces[0].landmarks);
        let mirrored: Landmarks =
            std::array::from_fn(|i| face[fixture.mirrored[i]] * Vec3::new(-1.0, 1.0, 1.0));
        let (here, there) = (align(&face), align(&mirrored));
        let (here, there) = (predict(&mut net, &here, None), predict(&mut net, &there, None));
        for b in Blendshape::ALL {
            assert!((here[b] - there[b.mirrored()]).abs() < 1e-3, "{}", b.name());
        }
    }

    #[test]
    fn a_face_that_is_its_own_neutral_shows_next_to_nothing() {
        let mut net = ExpressionNet::new(&runtime()).unwrap();
        for face in fixture().faces {
            let face = align(&landmarks(&face.landmarks));
            for (b, value) in predict(&mut net, &face, Some(&face)).iter() {
                assert!(value < 0.25 || b.name().starts_with("eyeLook"), "{}: {value}", b.name());
            }
        }
    }

    #[test]
    fn the_weights_are_those_of_the_manifest() {
        assert_is_of_manifest(ONNX, include_str!("../../models/expression.toml"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn whatever_the_landmarks_it_stays_in_range_and_repeats_itself(
            noise in prop::collection::vec(-0.5f32..0.5, LANDMARK_COUNT * 3), known in any::<bool>(),
        ) {
            let mut net = ExpressionNet::new(&runtime()).unwrap();
            let calm = align(&landmarks(&fixture().faces[1].landmarks));
            let mut face = calm;
            for (p, n) in face.points.iter_mut().zip(noise.chunks_exact(3)) {
                *p += Vec3::from_slice(n);
            }
            let neutral = known.then_some(&calm);
            let first = predict(&mut net, &face, neutral);
            prop_assert!(first.iter().all(|(_, v)| (0.0..=1.0).contains(&v)));
            prop_assert_eq!(first, predict(&mut net, &face, neutral));
        }
    }
}

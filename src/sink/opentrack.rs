//! opentrack's "UDP over network" input: the head alone, as six doubles of 64 bits, little-endian.
//!
//! x, y, z in centimetres, then yaw, pitch, roll in degrees. Positive: to the subject's right, up, away from the camera;
//! turned right, looking down, right ear up.

use super::adjust::Adjuster;
use super::stream::Encode;
use crate::face::FaceSample;

/// opentrack's own default.
pub const DEFAULT_PORT: u16 = 4242;

/// Encodes heads.
pub(super) struct Encoder;

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        // Without a face nothing is said: opentrack holds the last pose by itself.
        let Some(view) = adjuster.primary(sample).filter(|v| v.tracked) else { return };
        let (t, a) = (view.head.translation_mm.as_dvec3() * 0.1, view.head.angles());
        let degrees = |radians: f32| f64::from(radians).to_degrees();
        let six = [-t.x, -t.y, t.z, -degrees(a.yaw_rad), degrees(a.pitch_rad), -degrees(a.roll_rad)];
        let mut datagram = [0; 48];
        for (bytes, value) in datagram.as_chunks_mut::<8>().0.iter_mut().zip(six) {
            *bytes = value.to_le_bytes();
        }
        send(&datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::super::adjust::Adjust;
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::face::Presence;
    use crate::geom::Angles;
    use glam::Vec3;

    fn six(sample: &FaceSample, mirror: bool) -> Vec<f64> {
        let all = datagrams(&mut Encoder, sample, &Adjust { mirror, ..Adjust::default() });
        all.iter().flat_map(|d| d.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b))).collect()
    }

    #[test]
    fn a_datagram_is_six_doubles_in_centimetres_and_degrees() {
        let mut turned = face(Angles { yaw_rad: 0.5, pitch_rad: 0.25, roll_rad: 0.125 });
        turned.head.translation_mm = Vec3::new(30.0, -20.0, 600.0);
        let sample = sample_of([turned]);
        let close = |got: Vec<f64>, want: [f64; 6]| {
            assert!(
                got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-3) && got.len() == 6,
                "{got:?} {want:?}"
            );
        };
        close(six(&sample, false), [-3.0, 2.0, 60.0, -28.6479, 14.3239, -7.162]);
        close(six(&sample, true), [3.0, 2.0, 60.0, 28.6479, 14.3239, 7.162]);
    }

    #[test]
    fn a_face_that_only_fades_says_nothing() {
        let mut sample = sample_of([face(Angles::default())]);
        sample.faces[0].presence = Presence::Fading;
        assert!(six(&sample, false).is_empty());
        assert!(six(&FaceSample::default(), false).is_empty());
    }
}

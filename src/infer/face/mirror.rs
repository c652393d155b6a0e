//! The network's outputs of a face in a mirror, as those of the face itself.

use super::{Blendshape, OUTPUTS};
use crate::face::LANDMARK_COUNT;
use crate::solve::landmark_mirror;

/// Turns rows of an input plane about: what was left is right.
pub fn flip(image: &mut [f32], size: usize) {
    for row in image.chunks_exact_mut(size) {
        row.reverse();
    }
}

/// Whether what an output says of a face in a mirror tells of the face: nobody is their own mirror image to the head model's modes.
pub fn has_image(output: usize) -> bool {
    OUTPUTS[output].name != "identity"
}

/// Makes of the values of an output for a flipped crop what they stand for in the crop itself.
pub fn turn_back(output: usize, values: &mut [f32]) {
    let across = |at: usize, v: f32| if at == 0 { 1.0 - v } else { v };
    match OUTPUTS[output].name {
        "landmarks" => swap(values, 3, landmark_mirror(), across),
        "deviation" => swap(values, 1, landmark_mirror(), |_, v| v),
        "blendshapes" => swap(values, 1, &Blendshape::ALL.map(|b| b.mirrored() as usize), |_, v| v),
        "gaze" => swap(values, 3, &[1, 0], |at, v| if at == 0 { -v } else { v }),
        "openness" => swap(values, 1, &[1, 0], |_, v| v),
        "place" => swap(values, 3, &[0], across),
        // Two columns of a matrix that is turned over on both sides.
        "rotation" => sign(values, |i| matches!(i, 1..=3)),
        // Colours of 1, y, z, x, xy, yz, 3z²-1, xz, x²-y²: odd in x are three.
        "light" => sign(values, |i| matches!(i / 3, 3 | 4 | 7)),
        _ => {}
    }
}

/// Puts each row of `width` values where the row stands that mirrors it, changed by `back`, which is told the place in the row.
fn swap(values: &mut [f32], width: usize, mirror: &[usize], back: impl Fn(usize, f32) -> f32) {
    let mut turned = [0.0; 3 * LANDMARK_COUNT];
    for (i, &from) in mirror.iter().enumerate() {
        for at in 0..width {
            turned[width * i + at] = back(at, values[width * from + at]);
        }
    }
    values.copy_from_slice(&turned[..values.len()]);
}

/// Turns the signs of some values.
fn sign(values: &mut [f32], turned: impl Fn(usize) -> bool) {
    for (_, value) in values.iter_mut().enumerate().filter(|(i, _)| turned(*i)) {
        *value = -*value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaceNet, SIZE, Vec3};
    use super::*;
    use crate::frame::{Frame, PixelFormat};
    use crate::geom::Roi;
    use crate::infer::tests::runtime;
    use glam::Vec2;

    /// Stripes and a spot, which no mirror leaves as they are.
    fn picture(flipped: bool) -> Frame {
        let pixel = |x: usize, y: usize| {
            let spot = if x.abs_diff(60) + y.abs_diff(80) < 30 { 90 } else { 0 };
            [(7 * x + 3 * y) % 160 + spot, (2 * x) % 160 + spot, (5 * y) % 250].map(|v| v as u8)
        };
        let at = |i: usize| if flipped { SIZE - 1 - i } else { i };
        let data = (0..SIZE * SIZE).flat_map(|i| pixel(at(i % SIZE), i / SIZE)).collect();
        let size = SIZE as u32;
        Frame { width: size, height: size, format: PixelFormat::Rgb8, data, ..Frame::default() }
    }

    #[test]
    fn looks_say_of_a_face_in_a_mirror_what_they_say_of_the_face() {
        let mut net = FaceNet::new(&runtime()).unwrap();
        let roi = Roi { center: Vec2::splat(0.5 * SIZE as f32), side: SIZE as f32, rotation_rad: 0.0 };
        let mut look = |frame: &Frame| {
            let mut landmarks = [Vec3::ZERO; LANDMARK_COUNT];
            let presence = net.landmarks_of_looks(frame, &roi, &mut landmarks).unwrap();
            (presence, landmarks, net.parameters(&roi))
        };
        let (here, there) = (look(&picture(false)), look(&picture(true)));
        assert!((here.0 - there.0).abs() < 1e-4);
        let turned = Vec3::new(-1.0, 1.0, 1.0);
        for (i, &from) in landmark_mirror().iter().enumerate() {
            let back = there.1[from] * turned + Vec3::X * SIZE as f32;
            assert!(here.1[i].distance(back) < 0.02, "landmark {i}: {} {back}", here.1[i]);
            assert!((here.2.deviation_px[i] - there.2.deviation_px[from]).abs() < 0.02);
        }
        for b in Blendshape::ALL {
            let (value, other) = (here.2.blendshapes[b], there.2.blendshapes[b.mirrored()]);
            assert!((value - other).abs() < 1e-3, "{}: {value} {other}", b.name());
        }
        for (i, from) in [(0, 1), (1, 0)] {
            assert!(here.2.gaze[i].distance(there.2.gaze[from] * turned) < 1e-3);
            assert!((here.2.openness_mm[i] - there.2.openness_mm[from]).abs() < 1e-2);
        }
        let flat = glam::Mat3::from_diagonal(turned);
        assert!((flat * there.2.rotation * flat).abs_diff_eq(here.2.rotation, 1e-3));
        assert!(here.2.origin.distance(Vec2::new(1.0 - there.2.origin.x, there.2.origin.y)) < 1e-4);
        let light = |k: usize| (here.2.light[k], there.2.light[k]);
        assert!(light(1).0.distance(light(1).1) < 1e-3, "from above");
        assert!(light(3).0.distance(-light(3).1) < 1e-3, "from aside");
    }
}

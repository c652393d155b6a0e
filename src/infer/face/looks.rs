//! Looks at one face from regions of several sides, each also in a mirror: their mean is nearer than any of them.

use super::{OUTPUTS, mirror};
use crate::infer::session::Session;

/// Sides of the regions, as shares of the one that frames of a film are read at. Heads of 290 stills were .2 degrees nearer with
/// these than with the first alone, their landmarks as near.
pub const SIDES: [f32; 3] = [1.0, 0.9, 0.8];

/// The mean of the network's outputs over looks.
pub struct Looks {
    means: [Vec<f32>; OUTPUTS.len()],
}

impl Looks {
    pub fn new() -> Self {
        Self { means: std::array::from_fn(|_| Vec::new()) }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        for (mean, output) in self.means.iter_mut().zip(&OUTPUTS) {
            mean.clear();
            mean.resize(output.shape.iter().product::<i64>() as usize, 0.0);
        }
    }

    /// Adds what the last run said of a region of this share of the side, which may have been flipped.
    pub fn add(&mut self, session: &mut Session, share: f32, flipped: bool) {
        for (i, mean) in self.means.iter_mut().enumerate() {
            let looks = SIDES.len() * if mirror::has_image(i) { 2 } else { 1 };
            let values = session.output_mut(i);
            if flipped {
                if !mirror::has_image(i) {
                    continue;
                }
                mirror::turn_back(i, values);
            }
            widen(i, share, values);
            for (mean, value) in mean.iter_mut().zip(values) {
                *mean += *value / looks as f32;
            }
        }
    }

    /// Puts the means where a run puts its outputs.
    pub fn write(&self, session: &mut Session) {
        for (i, mean) in self.means.iter().enumerate() {
            session.output_mut(i).copy_from_slice(mean);
        }
    }
}

/// Makes of the values of an output for a region those for the whole one around the same middle, of whose side it has this share.
fn widen(output: usize, share: f32, values: &mut [f32]) {
    let place = |v: &mut f32| *v = 0.5 + share * (*v - 0.5);
    match OUTPUTS[output].name {
        "landmarks" => {
            for point in values.chunks_exact_mut(3) {
                point[..2].iter_mut().for_each(place);
                point[2] *= share;
            }
        }
        "deviation" => values.iter_mut().for_each(|v| *v *= share),
        "place" => {
            values[..2].iter_mut().for_each(place);
            values[2] -= share.ln();
        }
        // Told in the crop's own camera, which looks along the same ray.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Roi;
    use glam::Vec2;

    #[test]
    fn what_a_smaller_region_shows_stands_where_it_did_in_the_whole_one() {
        let whole = Roi { center: Vec2::new(300.0, 200.0), side: 160.0, rotation_rad: 0.4 };
        let share = 0.8;
        let smaller = Roi { side: share * whole.side, ..whole };
        let said = [0.2, 0.9, -0.1];
        let seen = |roi: &Roi, v: &[f32]| roi.image_from_unit().transform_point2(Vec2::new(v[0], v[1]));
        let widened = |name: &str| {
            let mut values = said;
            widen(OUTPUTS.iter().position(|o| o.name == name).unwrap(), share, &mut values);
            values
        };
        let (landmark, place) = (widened("landmarks"), widened("place"));
        for values in [landmark, place] {
            assert!(seen(&whole, &values).distance(seen(&smaller, &said)) < 1e-3, "{values:?}");
        }
        assert!((landmark[2] * whole.side - said[2] * smaller.side).abs() < 1e-4, "depth: {landmark:?}");
        // So many millimetres fall on a pixel at the head, whichever region tells.
        let per_pixel = |roi: &Roi, v: f32| v.exp() / roi.side;
        assert!((per_pixel(&whole, place[2]) / per_pixel(&smaller, said[2]) - 1.0).abs() < 1e-5, "{place:?}");
        for (name, factor) in [("deviation", share), ("rotation", 1.0)] {
            let values = widened(name);
            assert!(
                values.iter().zip(said).all(|(wide, v)| (wide - factor * v).abs() < 1e-6),
                "{name}: {values:?}"
            );
        }
    }
}

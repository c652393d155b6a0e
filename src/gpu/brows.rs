//! Where on the skin brows are painted, and where the landmarks that lie on them go with them.
//!
//! All of the pack's brow maps lie in the same place, to a millimetre. Real ones lie higher, lower and askew on the same bone;
//! whoever has only seen the one place takes a high brow for a raised one. So they are moved, and landmarks follow the hair,
//! as annotators do. `shaders/skin_face.wgsl` paints them by the inverse of `BrowPlace::moved`.

use super::pack::HeadAsset;
use super::places::{LandmarkPlaces, Place};
use super::rng::Rng;
use crate::face::LANDMARK_COUNT;
use glam::Vec2;

/// Millimetres across the face's chart, at the brows.
const CHART_MM: f32 = 250.0;
/// The middle of a brow as it is painted: distance from the face's middle, height; chart.
const MIDDLE: Vec2 = Vec2::new(0.165, 0.782);
/// Skin moves along with a brow wholly between the inner two of each, not at all beyond the outer ones; chart.
const FROM_MIDDLE: [f32; 4] = [0.012, 0.045, 0.265, 0.31];
const HEIGHT: [f32; 4] = [0.738, 0.764, 0.806, 0.87];
/// Landmarks go down and up with a brow by no more: lids and forehead stay in their order.
const GIVES_WAY: [f32; 2] = [-0.0135, 0.032];

/// How one brow lies, against where the pack's maps have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrowPlace {
    /// Outwards and up; chart.
    pub shift: Vec2,
    /// Rise of the outer end.
    pub slope: f32,
    /// Its thickness and its arch, over those of the map.
    pub scale: f32,
}

impl Default for BrowPlace {
    /// As it is painted.
    fn default() -> Self {
        Self { shift: Vec2::ZERO, slope: 0.0, scale: 1.0 }
    }
}

impl BrowPlace {
    /// A person's left and right brow. Heights of brows over pupils spread by some 2.5 mm from person to person; the head
    /// model's shapes have a part of that.
    pub fn sample(rng: &mut Rng) -> [Self; 2] {
        let mm = |v: f32| v / CHART_MM;
        let shift = Vec2::new(rng.normal(), (0.5 + 2.0 * rng.normal()).clamp(-3.5, 5.0));
        let slope = 0.05 * rng.normal().clamp(-2.0, 2.0);
        let scale = rng.log_range(0.75, 1.3);
        [0; 2].map(|_| Self {
            shift: (shift + 0.4 * Vec2::new(rng.normal(), rng.normal())).map(mm),
            slope: slope + 0.01 * rng.normal(),
            scale,
        })
    }

    /// What the shader takes.
    pub fn uniform(&self) -> [f32; 4] {
        [self.shift.x, self.shift.y, self.slope, self.scale]
    }

    /// Where paint that the map has at `p` (distance from the face's middle, height) comes to lie.
    fn moved(&self, p: Vec2) -> Vec2 {
        let x = p.x + self.shift.x;
        let rise = self.shift.y + self.slope * (x - MIDDLE.x);
        Vec2::new(x, MIDDLE.y + self.scale * (p.y - MIDDLE.y) + rise)
    }

    /// Where a landmark goes: with the paint on the brow, by less around it.
    fn landmark(&self, p: Vec2) -> Vec2 {
        let way = self.moved(p) - p;
        let way = Vec2::new(way.x, way.y.clamp(GIVES_WAY[0], GIVES_WAY[1]));
        p + way * (within(p.x, FROM_MIDDLE) * within(p.y, HEIGHT))
    }
}

/// 0 outside, 1 between the inner two, smooth in between.
fn within(v: f32, [from, full, end, to]: [f32; 4]) -> f32 {
    let rise = |a: f32, b: f32| {
        let t = ((v - a) / (b - a)).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    };
    rise(from, full) * rise(to, end)
}

/// The part of the face's chart around the brows, and the landmarks on it.
pub struct BrowChart {
    triangles: Vec<([u32; 3], [Vec2; 3])>,
    landmarks: Vec<(usize, Vec2)>,
}

impl BrowChart {
    /// Of a head.
    pub fn new(head: &HeadAsset, places: &LandmarkPlaces) -> Self {
        let face = head.part_names.iter().position(|n| n == "face");
        let corners = head.tri.iter().zip(&head.tri_uv).zip(&head.tri_part);
        let charted = corners
            .filter(|(_, part)| Some(usize::from(**part)) == face)
            .map(|((tri, uv), _)| (*tri, uv.map(|i| head.uv[i as usize])));
        let near = |uv: &[Vec2; 3]| uv.iter().any(|p| p.y > HEIGHT[0] - 0.03 && p.y < HEIGHT[3] + 0.05);
        let triangles: Vec<_> = charted.filter(|(_, uv)| near(uv)).collect();
        let landmarks = (0..LANDMARK_COUNT).filter_map(|i| {
            let (corners, weights) = places.place(i);
            let (_, uv) = triangles.iter().find(|(tri, _)| *tri == corners)?;
            let at = uv[0] * weights[0] + uv[1] * weights[1] + uv[2] * weights[2];
            let share = within((at.x - 0.5).abs(), FROM_MIDDLE) * within(at.y, HEIGHT);
            (share > 0.0).then_some((i, at))
        });
        Self { landmarks: landmarks.collect(), triangles }
    }

    /// The landmarks that go with brows so placed (left, right), and where they then are.
    pub fn places(&self, brows: &[BrowPlace; 2]) -> Vec<(usize, Place)> {
        let moved = |(landmark, at): &(usize, Vec2)| {
            let side = if at.x > 0.5 { 1.0 } else { -1.0 };
            let to = brows[usize::from(side < 0.0)].landmark(Vec2::new((at.x - 0.5).abs(), at.y));
            Some((*landmark, self.find(Vec2::new(0.5 + side * to.x, to.y))?))
        };
        self.landmarks.iter().filter_map(moved).collect()
    }

    /// The triangle that a point of the chart lies in; a rim's rounding is forgiven.
    fn find(&self, p: Vec2) -> Option<Place> {
        self.triangles.iter().find_map(|(corners, [a, b, c])| {
            let (ab, ac, ap) = (*b - *a, *c - *a, p - *a);
            let area = ab.perp_dot(ac);
            let (v, w) = (ap.perp_dot(ac) / area, ab.perp_dot(ap) / area);
            let weights = [1.0 - v - w, v, w];
            weights.iter().all(|w| *w > -1e-4).then_some((*corners, weights))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The shader's way back, in the same terms.
    fn source(place: &BrowPlace, p: Vec2) -> Vec2 {
        let rise = place.shift.y + place.slope * (p.x - MIDDLE.x);
        Vec2::new(p.x - place.shift.x, MIDDLE.y + (p.y - MIDDLE.y - rise) / place.scale)
    }

    fn sampled(seed: u64) -> [BrowPlace; 2] {
        BrowPlace::sample(&mut super::Rng::new(seed, 0))
    }

    proptest! {
        #[test]
        fn paint_is_found_where_it_was_moved_to(seed in 0u64.., x in 0.03f32..0.28, y in 0.75f32..0.83) {
            for place in sampled(seed) {
                let p = Vec2::new(x, y);
                prop_assert!(source(&place, place.moved(p)).distance(p) < 1e-5);
            }
        }

        #[test]
        fn landmarks_keep_their_order_from_lid_to_forehead(seed in 0u64.., x in 0.03f32..0.28) {
            for place in sampled(seed) {
                let heights = (0..60).map(|k| place.landmark(Vec2::new(x, 0.735 + 0.0024 * k as f32)).y);
                prop_assert!(heights.collect::<Vec<_>>().is_sorted());
            }
        }
    }

    #[test]
    fn brows_lie_as_they_are_painted_by_default_and_lids_stay_where_they_are() {
        let p = Vec2::new(0.15, 0.79);
        assert!(BrowPlace::default().landmark(p).distance(p) < 1e-6);
        let lid = Vec2::new(0.15, 0.73);
        for place in sampled(1) {
            assert_eq!(place.landmark(lid), lid);
        }
    }
}

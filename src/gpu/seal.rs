//! Shuts what the head model leaves ajar: its blink stops a millimetre or two short and its lips rest as far apart, and
//! neither follows from person to person. Skin along two margins is moved until they meet.

use super::pack::HeadAsset;
use super::places::LandmarkPlaces;
use crate::face::Blendshape;
use glam::Vec3;
use std::collections::{HashMap, HashSet};

/// Landmarks along a margin, its corners included.
pub const MARGIN_POINTS: usize = 9;
const POINTS: usize = MARGIN_POINTS;
/// Landmarks of the upper and of the lower lid's margin, from the outer corner to the inner; left eye, right eye.
pub const EYELIDS: [[[usize; POINTS]; 2]; 2] = [
    [[263, 466, 388, 387, 386, 385, 384, 398, 362], [263, 249, 390, 373, 374, 380, 381, 382, 362]],
    [[33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133]],
];
type Curve = [Vec3; POINTS];

/// Landmarks of a pair of margins and how the skin around them follows.
struct Layout {
    upper: [usize; POINTS],
    lower: [usize; POINTS],
    /// Share of the gap that the upper margin crosses; the lower one comes the rest of the way.
    upper_share: f32,
    /// How far a row of skin follows, from the skin's border deep inside outwards. Between the border and the margin it
    /// follows by less, so that lids and lips lie flat on each other rather than within each other.
    follow: &'static [f32],
    /// The model's shape that shuts it, for pairing the margins' points; none where it rests shut.
    shuts: Option<&'static str>,
}

/// Margins as `training/correspondence` has them: the fifth row of a lid and the eighth of a lip.
const LIDS: [f32; 12] = [0.2, 0.3, 0.4, 0.75, 1.0, 1.0, 0.85, 0.7, 0.5, 0.3, 0.15, 0.05];
const LIPS: [f32; 15] = [0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 1.0, 1.0, 1.0, 0.9, 0.75, 0.6, 0.45, 0.3, 0.15];
/// Left eye, right eye, mouth.
static LAYOUTS: [Layout; 3] = [
    Layout {
        upper: EYELIDS[0][0],
        lower: EYELIDS[0][1],
        upper_share: 0.7,
        follow: &LIDS,
        shuts: Some("eyeBlink_L"),
    },
    Layout {
        upper: EYELIDS[1][0],
        lower: EYELIDS[1][1],
        upper_share: 0.7,
        follow: &LIDS,
        shuts: Some("eyeBlink_R"),
    },
    Layout {
        upper: [191, 80, 81, 82, 13, 312, 311, 310, 415],
        lower: [95, 88, 178, 87, 14, 317, 402, 318, 324],
        upper_share: 0.5,
        follow: &LIPS,
        shuts: None,
    },
];

/// How much of the lids' way the model's blink leaves: what is left of the gap at weight one over the gap at rest.
const BLINK_LEAVES: f32 = 0.2;

/// Margins that meet.
pub struct Seals {
    seals: [Seal; 3],
}

struct Seal {
    layout: &'static Layout,
    /// Where on the lower curve each point of the upper one lands, and the other way round.
    on_lower: [f32; POINTS],
    on_upper: [f32; POINTS],
    /// From the lower margin to the upper one, on the mean head.
    apart: [Vec3; POINTS],
    followers: Vec<Follower>,
}

#[derive(Clone, Copy)]
struct Follower {
    vertex: usize,
    is_upper: bool,
    /// Place along its curve, in points.
    at: f32,
    weight: f32,
}

fn on_curve(curve: &[Vec3], at: f32) -> Vec3 {
    let k = (at as usize).min(POINTS - 2);
    curve[k].lerp(curve[k + 1], at - k as f32)
}

/// The point of a curve next to `p`: its place along it, in points, and where it is.
pub fn nearest(curve: &Curve, p: Vec3) -> (f32, Vec3) {
    let foot = |k: usize| {
        let (a, way) = (curve[k], curve[k + 1] - curve[k]);
        let t = ((p - a).dot(way) / way.length_squared().max(1e-12)).clamp(0.0, 1.0);
        (k as f32 + t, a + way * t)
    };
    let far = |f: &(f32, Vec3)| f.1.distance_squared(p);
    (0..POINTS - 1).map(foot).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or((0.0, curve[0]))
}

/// Rows of the face's skin around the opening next to `inside`: each vertex of the first `rows` with its row.
fn rows(head: &HeadAsset, inside: Vec3, rows: usize) -> HashMap<usize, usize> {
    let face = head.part_names.iter().position(|n| n == "face").unwrap_or(0);
    let skin = head.tri.iter().zip(&head.tri_part).filter(|(_, part)| usize::from(**part) == face);
    let mut uses: HashMap<(usize, usize), u32> = HashMap::new();
    for (t, _) in skin {
        for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
            *uses.entry((a.min(b) as usize, a.max(b) as usize)).or_default() += 1;
        }
    }
    let border = uses.iter().filter(|(_, n)| **n == 1).map(|(e, _)| *e);
    let mut next: HashMap<usize, Vec<usize>> = HashMap::new();
    for (a, b) in border {
        next.entry(a).or_default().push(b);
        next.entry(b).or_default().push(a);
    }
    // The border with the vertex next to the opening's middle: lids' and lips' borders are far from each other.
    let start = next.keys().min_by(|a, b| {
        let far = |v: &usize| head.neutral[*v].distance(inside);
        far(a).total_cmp(&far(b)).then(a.cmp(b))
    });
    let mut found: HashMap<usize, usize> = HashMap::new();
    let mut todo: Vec<usize> = start.into_iter().copied().collect();
    while let Some(v) = todo.pop() {
        if found.insert(v, 0).is_none() {
            todo.extend(next.get(&v).into_iter().flatten());
        }
    }
    for row in 1..rows {
        let before: HashSet<usize> = found.keys().copied().collect();
        for (a, b) in uses.keys() {
            match (before.contains(a), before.contains(b)) {
                (true, false) => found.insert(*b, row),
                (false, true) => found.insert(*a, row),
                _ => None,
            };
        }
    }
    found
}

impl Seal {
    fn new(head: &HeadAsset, places: &LandmarkPlaces, layout: &'static Layout) -> Self {
        let rest: Vec<f32> = head.neutral.iter().flat_map(Vec3::to_array).collect();
        let mut shut = rest.clone();
        let mode = layout.shuts.and_then(|name| head.expression_names.iter().position(|n| n == name));
        let moved = |v: usize| mode.map_or(Vec3::ZERO, |m| head.expression.at(m, v));
        for v in 0..head.neutral.len() {
            let p = head.neutral[v] + moved(v);
            shut[3 * v..3 * v + 3].copy_from_slice(&p.to_array());
        }
        let curve = |flat: &[f32], marks: &[usize; POINTS]| marks.map(|i| places.on(flat, i));
        let (upper, lower) = (curve(&rest, &layout.upper), curve(&rest, &layout.lower));
        let (upper_shut, lower_shut) = (curve(&shut, &layout.upper), curve(&shut, &layout.lower));
        let on_lower = upper_shut.map(|p| nearest(&lower_shut, p).0);
        let on_upper = lower_shut.map(|p| nearest(&upper_shut, p).0);
        let apart = std::array::from_fn(|k| upper[k] - on_curve(&lower, on_lower[k]));
        let inside = (upper[4] + lower[4]) * 0.5;
        let around = rows(head, inside, layout.follow.len());
        let mut followers: Vec<Follower> = around
            .into_iter()
            .map(|(vertex, row)| {
                let p = head.neutral[vertex];
                let (up, low) = (nearest(&upper, p), nearest(&lower, p));
                let is_upper = up.1.distance_squared(p) < low.1.distance_squared(p);
                Follower {
                    vertex,
                    is_upper,
                    at: if is_upper { up.0 } else { low.0 },
                    weight: layout.follow[row],
                }
            })
            .filter(|f| f.weight > 0.0)
            .collect();
        followers.sort_by_key(|f| f.vertex);
        let lashes = layout.shuts.map_or_else(Vec::new, |blink| head.lashes(blink));
        followers.extend(lashes.into_iter().map(|(vertex, is_upper)| {
            let at = nearest(if is_upper { &upper } else { &lower }, head.neutral[vertex]).0;
            Follower { vertex, is_upper, at, weight: 1.0 }
        }));
        Self { layout, on_lower, on_upper, apart, followers }
    }

    /// Brings the margins together on a mesh given as `[x y z]` for each vertex: by `share` of what is between them, and by
    /// all of it where they have passed each other.
    fn close(&self, flat: &mut [f32], places: &LandmarkPlaces, share: f32) {
        let upper = self.layout.upper.map(|i| places.on(flat, i));
        let lower = self.layout.lower.map(|i| places.on(flat, i));
        let gap: Curve = std::array::from_fn(|k| {
            let gap = on_curve(&lower, self.on_lower[k]) - upper[k];
            if gap.dot(self.apart[k]) > 0.0 { gap } else { gap * share }
        });
        let upper_moves = gap.map(|g| g * self.layout.upper_share);
        let lower_moves: Curve =
            std::array::from_fn(|k| -on_curve(&gap, self.on_upper[k]) * (1.0 - self.layout.upper_share));
        for f in &self.followers {
            let by = on_curve(if f.is_upper { &upper_moves } else { &lower_moves }, f.at) * f.weight;
            for (o, d) in flat[3 * f.vertex..3 * f.vertex + 3].iter_mut().zip(by.to_array()) {
                *o += d;
            }
        }
    }
}

impl Seals {
    /// Finds the margins on the mean head.
    pub fn new(head: &HeadAsset, places: &LandmarkPlaces) -> Self {
        Self { seals: LAYOUTS.each_ref().map(|layout| Seal::new(head, places, layout)) }
    }

    /// Lips of a face at rest touch.
    pub fn close_lips(&self, base: &mut [f32], places: &LandmarkPlaces) {
        // The second time takes what skin between the landmarks kept from moving along.
        self.seals[2].close(base, places, 1.0);
        self.seals[2].close(base, places, 1.0);
    }

    /// Lids meet where the eye is shut, and never pass each other. `blink` is the left and the right coefficient.
    pub fn close_lids(&self, posed: &mut [f32], places: &LandmarkPlaces, blink: [f32; 2]) {
        for (seal, b) in self.seals.iter().zip(blink) {
            // The gap then falls evenly with the coefficient and is gone at one.
            seal.close(posed, places, BLINK_LEAVES * b / (1.0 - (1.0 - BLINK_LEAVES) * b));
        }
    }

    /// The coefficients that shut the eyes, left and right.
    pub const BLINKS: [Blendshape; 2] = [Blendshape::EyeBlinkLeft, Blendshape::EyeBlinkRight];
}

//! The head's shape: identity and expression blended, eyeballs turned, normals, and what hangs on the head.

use super::pack::{HairAsset, HeadAsset, Modes, TorsoAsset, VERTICES};
use super::places::LandmarkPlaces;
use super::seal::Seals;
use crate::face::{Blendshape, Blendshapes};
use glam::{Mat3, Vec3};

/// Millimetres of one unit of the pack.
pub const MM_PER_UNIT: f32 = 10.0;
/// The pack's eyeball is too large: its iris lies 16.2 mm before the centre it turns about, a human's 10.3 mm. Turned by
/// this share of the true angle, the iris stands where a human's would.
pub const EYEBALL_SHARE: f32 = 10.3 / 16.2;
/// Which ICT modes an ARKit coefficient drives.
pub struct ExpressionMap {
    drives: Vec<Vec<usize>>,
}

impl ExpressionMap {
    /// Matches ARKit's names with the pack's: `xLeft` is `x_L`, one without a side drives both.
    pub fn new(head: &HeadAsset) -> Self {
        let find = |name: String| head.expression_names.iter().position(|n| *n == name);
        let drives = |b: Blendshape| -> Vec<usize> {
            let name = b.name();
            let sided = |stem: &str, side: &str| find(format!("{stem}_{side}"));
            if let Some(found) = find(name.to_owned()) {
                return vec![found];
            }
            let one = name.strip_suffix("Left").and_then(|s| sided(s, "L"));
            let one = one.or_else(|| name.strip_suffix("Right").and_then(|s| sided(s, "R")));
            one.map_or_else(|| ["L", "R"].iter().filter_map(|s| sided(name, s)).collect(), |m| vec![m])
        };
        Self { drives: Blendshape::ALL.into_iter().map(drives).collect() }
    }

    /// Names of the coefficients that move nothing in this pack.
    pub fn missing(&self) -> Vec<&'static str> {
        Blendshape::ALL
            .into_iter()
            .filter(|b| self.drives[*b as usize].is_empty())
            .map(Blendshape::name)
            .collect()
    }

    fn weights(&self, expression: &Blendshapes) -> Vec<(usize, f32)> {
        let active = expression.iter().filter(|(_, v)| *v != 0.0);
        active.flat_map(|(b, v)| self.drives[b as usize].iter().map(move |m| (*m, v))).collect()
    }
}

/// A head in the pack's own space and units. Buffers are reused from face to face.
#[derive(Default)]
pub struct Shape {
    /// Neutral with identity, `[x y z]` for each vertex.
    pub base: Vec<f32>,
    /// With expression and turned eyeballs.
    pub posed: Vec<f32>,
    /// Smooth normals of `posed`.
    pub normals: Vec<Vec3>,
    /// Rotation centres of the eyeballs, left then right.
    pub eye_centre: [Vec3; 2],
    /// Rotation of each eyeball from rest.
    pub eye_rotation: [Mat3; 2],
    /// Midway between the outer corners of the eyes of the neutral face: the head space's origin.
    pub origin: Vec3,
}

fn at(flat: &[f32], vertex: usize) -> Vec3 {
    Vec3::from_slice(&flat[3 * vertex..3 * vertex + 3])
}

/// Adds weighted modes to `out`, block by block so that the sums stay in the cache.
fn accumulate(out: &mut [f32], modes: &Modes, weights: &[(usize, f32)]) {
    const BLOCK: usize = 4096;
    for (b, block) in out.chunks_mut(BLOCK).enumerate() {
        let (from, to) = (b * BLOCK, b * BLOCK + block.len());
        for &(mode, weight) in weights {
            let (first, end) = modes.span[mode];
            let (lo, hi) = (first.max(from), end.min(to));
            if lo >= hi {
                continue;
            }
            let w = weight * modes.scale[mode];
            let values = &modes.values[mode * 3 * VERTICES + lo..mode * 3 * VERTICES + hi];
            for (o, v) in block[lo - from..hi - from].iter_mut().zip(values) {
                *o += w * f32::from(*v);
            }
        }
    }
}

impl Shape {
    /// Sets the identity: one coefficient of unit variance for each mode.
    pub fn set_identity(
        &mut self,
        head: &HeadAsset,
        places: &LandmarkPlaces,
        seals: &Seals,
        identity: &[f32],
    ) {
        self.base.clear();
        self.base.extend(head.neutral.iter().flat_map(Vec3::to_array));
        let weights: Vec<_> = identity.iter().copied().enumerate().filter(|(_, w)| *w != 0.0).collect();
        accumulate(&mut self.base, &head.identity, &weights);
        seals.close_lips(&mut self.base, places);
        for side in 0..2 {
            let (a, b) = head.eye_range[side];
            let moved: Vec3 = (a..b).map(|v| at(&self.base, v) - head.neutral[v]).sum();
            self.eye_centre[side] = head.eye_centre[side] + moved / (b - a).max(1) as f32;
        }
        self.origin = (places.on(&self.base, 33) + places.on(&self.base, 263)) * 0.5;
    }

    /// Sets the expression on the identity that is set, and turns the eyeballs with its `eyeLook` coefficients.
    pub fn set_expression(
        &mut self,
        head: &HeadAsset,
        map: &ExpressionMap,
        places: &LandmarkPlaces,
        seals: &Seals,
        expression: &Blendshapes,
    ) {
        self.posed.clone_from(&self.base);
        accumulate(&mut self.posed, &head.expression, &map.weights(expression));
        seals.close_lids(&mut self.posed, places, Seals::BLINKS.map(|b| expression[b]));
        self.eye_rotation = eye_rotations(expression, 1.0);
        let mesh_rotation = eye_rotations(expression, EYEBALL_SHARE);
        for (side, turn) in mesh_rotation.into_iter().enumerate() {
            let centre = self.eye_centre[side];
            let (a, b) = head.eye_range[side];
            for v in a..b {
                let p = turn * (at(&self.base, v) - centre) + centre;
                self.posed[3 * v..3 * v + 3].copy_from_slice(&p.to_array());
            }
        }
    }

    /// Smooth normals from the triangles that are drawn.
    pub fn update_normals(&mut self, tri: &[[u32; 3]]) {
        self.normals.clear();
        self.normals.resize(VERTICES, Vec3::ZERO);
        for t in tri {
            let [a, b, c] = t.map(|v| v as usize);
            let (pa, pb, pc) = (at(&self.posed, a), at(&self.posed, b), at(&self.posed, c));
            let n = (pb - pa).cross(pc - pa);
            self.normals[a] += n;
            self.normals[b] += n;
            self.normals[c] += n;
        }
        for n in &mut self.normals {
            *n = n.normalize_or_zero();
        }
    }

    /// Position vertex `v` in head space, millimetres.
    pub fn head_point(&self, v: usize) -> Vec3 {
        self.to_head(at(&self.posed, v))
    }

    /// A point of the pack's space in head space, millimetres.
    pub fn to_head(&self, p: Vec3) -> Vec3 {
        (p - self.origin) * MM_PER_UNIT
    }

    /// Where the eye looks, a unit vector in head space: straight ahead at rest.
    pub fn gaze(&self, side: usize) -> Vec3 {
        self.eye_rotation[side] * Vec3::Z
    }

    /// Hair on this identity, in the pack's space.
    pub fn hair(&self, head: &HeadAsset, hair: &HairAsset) -> Vec<Vec3> {
        let moved = |v: u32| at(&self.base, v as usize) - head.neutral[v as usize];
        let follow = |i: usize| -> Vec3 {
            let (idx, w) = (&hair.bind_idx[8 * i..8 * i + 8], &hair.bind_w[8 * i..8 * i + 8]);
            idx.iter().zip(w).map(|(v, w)| moved(*v) * *w).sum()
        };
        hair.verts.iter().enumerate().map(|(i, p)| *p + follow(i)).collect()
    }

    /// Shoulders below this head, in the pack's space.
    pub fn torso(&self, head: &HeadAsset, torso: &TorsoAsset) -> Vec<Vec3> {
        let moved = |v: u32| at(&self.posed, v as usize) - head.neutral[v as usize];
        torso.verts.iter().zip(&torso.bind_idx).map(|(p, v)| *p + moved(*v)).collect()
    }
}

/// Smooth normals of a small mesh.
pub fn smooth_normals(points: &[Vec3], tri: &[[u32; 3]]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; points.len()];
    for t in tri {
        let [a, b, c] = t.map(|v| v as usize);
        let n = (points[b] - points[a]).cross(points[c] - points[a]);
        for v in [a, b, c] {
            normals[v] += n;
        }
    }
    normals.iter().map(|n| n.normalize_or_zero()).collect()
}

/// Turns of the left and the right eye, times `share`; slopes from the pack's README, fitted there to recorded angles.
pub fn eye_rotations(e: &Blendshapes, share: f32) -> [Mat3; 2] {
    use Blendshape as B;
    let turn = |out: B, inward: B, up: B, down: B, side: f32| {
        let yaw = 0.60 * (e[out] - e[inward]) * side * share;
        let pitch_up = (0.43 * e[up] - 0.61 * e[down]) * share;
        Mat3::from_rotation_x(-pitch_up) * Mat3::from_rotation_y(yaw)
    };
    [
        turn(B::EyeLookOutLeft, B::EyeLookInLeft, B::EyeLookUpLeft, B::EyeLookDownLeft, 1.0),
        turn(B::EyeLookOutRight, B::EyeLookInRight, B::EyeLookUpRight, B::EyeLookDownRight, -1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eye_that_looks_out_turns_to_its_own_side_and_one_that_looks_down_turns_down() {
        let mut e = Blendshapes::default();
        e[Blendshape::EyeLookOutLeft] = 1.0;
        e[Blendshape::EyeLookDownRight] = 1.0;
        let [left, right] = eye_rotations(&e, 1.0);
        assert!((left * Vec3::Z).x > 0.5);
        assert!((right * Vec3::Z).y < -0.5);
    }

    #[test]
    fn modes_add_up_block_by_block() {
        let n = 3 * VERTICES;
        let mut values = vec![0i16; 2 * n];
        values[n - 1] = 100;
        values[n] = 50;
        let modes = Modes { values, scale: vec![0.01, 0.02], span: vec![(n - 1, n), (0, 1)] };
        let mut out = vec![1.0; n];
        accumulate(&mut out, &modes, &[(0, 2.0), (1, 1.0)]);
        assert!(
            (out[n - 1] - 3.0).abs() < 1e-6 && (out[0] - 2.0).abs() < 1e-6 && (out[1] - 1.0).abs() < 1e-6
        );
    }
}

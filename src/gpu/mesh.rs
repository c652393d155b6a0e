//! Topology that does not change from face to face: vertices split by texture seams, triangle lists by material,
//! per-vertex masks for beard and make-up, and a coarse copy of the head that casts its shadow.

use super::pack::{HeadAsset, VERTICES};
use super::simplify::{Mesh, simplified};
use bytemuck::{Pod, Zeroable};
use glam::{Vec2, Vec3};
use std::collections::HashMap;
use std::ops::Range;

/// What stays the same for a vertex: the second vertex buffer.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Default)]
#[repr(C)]
pub struct StaticVertex {
    /// Texture coordinates; v down, as textures are stored.
    pub uv: [f32; 2],
    /// Skin: beard, moustache, lips, eye shadow. Solids: linear colour and roughness.
    pub masks: [u8; 4],
    /// Skin: blush, eye liner, occlusion with the mouth shut, and with the jaw open.
    pub shade: [u8; 4],
}

/// Which shader draws a range of triangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Material {
    /// The face chart.
    Face,
    /// Scalp, neck, sockets.
    Head,
    /// Teeth, gums, tongue.
    Mouth,
    /// Eyeballs.
    Eye,
    /// Lashes.
    Lash,
}

/// The head's fixed topology.
pub struct HeadMesh {
    /// Position vertex of each drawn vertex.
    pub source: Vec<u32>,
    /// Static part of each drawn vertex.
    pub statics: Vec<StaticVertex>,
    /// Triangles over drawn vertices, material after material.
    pub indices: Vec<u32>,
    /// Range of `indices` of each material.
    pub ranges: Vec<(Material, Range<u32>)>,
    /// Range of `indices` of the coarse head.
    pub shadow: Range<u32>,
    /// Triangles over position vertices whose normals count.
    pub normal_tri: Vec<[u32; 3]>,
}

const MATERIALS: [(Material, &[&str]); 5] = [
    (Material::Face, &["face"]),
    (Material::Eye, &["scl", "scr"]),
    (Material::Head, &["head", "msock", "esl", "esr"]),
    (Material::Mouth, &["gums", "teeth", "tongue"]),
    (Material::Lash, &["lal", "lar"]),
];

/// Linear albedo of the untextured parts; the pack's README.
fn plain_color(part: &str) -> [f32; 3] {
    match part {
        "gums" => [0.42, 0.13, 0.12],
        "tongue" => [0.50, 0.17, 0.16],
        _ => [0.72, 0.66, 0.54],
    }
}

/// 0..1 in a byte.
pub fn unorm8(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Hermite step from 0 at `a` to 1 at `b`; falls where `b < a`.
pub fn smoothstep(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl HeadMesh {
    /// Lays out the head for drawing.
    pub fn new(head: &HeadAsset) -> Self {
        let masks = skin_masks(head);
        let poses = poses(head);
        let mut mesh = Self {
            source: Vec::new(),
            statics: Vec::new(),
            indices: Vec::new(),
            ranges: Vec::new(),
            shadow: 0..0,
            normal_tri: Vec::new(),
        };
        // Simplifying takes a while: part by part, side by side.
        let jobs = MATERIALS.iter().flat_map(|(material, parts)| parts.iter().map(move |p| (*material, *p)));
        let drawn: Vec<Part> = std::thread::scope(|scope| {
            let (masks, poses) = (&masks, &poses);
            let start = |(material, part)| scope.spawn(move || Part::new(head, part, material, masks, poses));
            let running: Vec<_> = jobs.map(start).collect();
            running
                .into_iter()
                .map(|r| r.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut seen = HashMap::new();
        let mut drawn = drawn.into_iter();
        for (material, parts) in MATERIALS {
            let start = mesh.indices.len() as u32;
            for (part, geometry) in parts.iter().zip(&mut drawn) {
                mesh.add_part(head, part, material, &masks, &mut seen, geometry);
            }
            mesh.ranges.push((material, start..mesh.indices.len() as u32));
        }
        mesh.shadow = mesh.add_shadow_proxy(head);
        mesh
    }

    fn add_part(
        &mut self,
        head: &HeadAsset,
        part: &str,
        material: Material,
        masks: &[[f32; 6]],
        seen: &mut HashMap<(u32, u32), u32>,
        geometry: Part,
    ) {
        self.normal_tri.extend(geometry.fine);
        for i in geometry.drawn.into_iter().flatten() {
            let (v, u) = geometry.corners[i as usize];
            let index = *seen.entry((v, u)).or_insert_with(|| {
                self.source.push(v);
                self.statics.push(static_vertex(head, part, material, v, u, &masks[v as usize]));
                self.source.len() as u32 - 1
            });
            self.indices.push(index);
        }
    }

    /// Vertex clustering over a 0.8 cm grid: a tenth of the triangles, good enough for a blurred shadow.
    fn add_shadow_proxy(&mut self, head: &HeadAsset) -> Range<u32> {
        let start = self.indices.len() as u32;
        let mut cells: HashMap<[i32; 3], u32> = HashMap::new();
        let mut representative = |drawn: u32, source: &[u32]| {
            let p = head.neutral[source[drawn as usize] as usize] / 0.8;
            let key = [p.x.floor() as i32, p.y.floor() as i32, p.z.floor() as i32];
            *cells.entry(key).or_insert(drawn)
        };
        let mut coarse = Vec::new();
        for (material, range) in &self.ranges {
            if !matches!(material, Material::Face | Material::Head) {
                continue;
            }
            for tri in self.indices[range.start as usize..range.end as usize].chunks_exact(3) {
                // The mouth's and eyes' sockets throw no shadow that anyone sees.
                if tri.iter().any(|i| is_inner(head, self.source[*i as usize])) {
                    continue;
                }
                let t = [0, 1, 2].map(|k| representative(tri[k], &self.source));
                if t[0] != t[1] && t[1] != t[2] && t[0] != t[2] {
                    coarse.push(t);
                }
            }
        }
        coarse.sort_unstable_by_key(|t| {
            let mut s = *t;
            s.sort_unstable();
            s
        });
        coarse.dedup_by_key(|t| {
            let mut s = *t;
            s.sort_unstable();
            s
        });
        self.indices.extend(coarse.into_iter().flatten());
        start..self.indices.len() as u32
    }

    /// The triangles of a material.
    pub fn range(&self, material: Material) -> Range<u32> {
        self.ranges.iter().find(|(m, _)| *m == material).map_or(0..0, |(_, r)| r.clone())
    }
}

/// Triangles of one part.
#[derive(Default)]
struct Part {
    /// Over position vertices, as the pack has them.
    fine: Vec<[u32; 3]>,
    /// Position vertex and texture vertex of each corner there is.
    corners: Vec<(u32, u32)>,
    /// Over `corners`, simplified.
    drawn: Vec<[u32; 3]>,
}

/// How far simplifying may move skin, teeth and sockets, and eyeballs, centimetres. A pixel of a 256 px picture covers a millimetre.
const TOLERANCE_CM: f32 = 0.05;
const EYE_TOLERANCE_CM: f32 = 0.015;
/// Around lids and lips, to this distance, a share of it: that is where people look, and the labels.
const FINE_CM: f32 = 0.5;
const FINE_SHARE: f32 = 0.2;
/// What a mask's or the occlusion's step from nothing to all is worth.
const VALUE_CM: f32 = 0.12;

impl Part {
    fn new(
        head: &HeadAsset,
        name: &str,
        material: Material,
        masks: &[[f32; 6]],
        poses: &[Vec<Vec3>],
    ) -> Self {
        let Some(id) = head.part_names.iter().position(|n| n == name) else { return Self::default() };
        let eye = head.eye_centre[usize::from(name.ends_with('r'))];
        let mut part = Self::default();
        let mut number = HashMap::new();
        for (t, tri) in head.tri.iter().enumerate().filter(|(t, _)| usize::from(head.tri_part[*t]) == id) {
            // The eyeball's back never shows.
            if material == Material::Eye && tri.iter().all(|v| head.neutral[*v as usize].z < eye.z + 0.2) {
                continue;
            }
            part.fine.push(*tri);
            part.drawn.push(std::array::from_fn(|k| {
                let corner = (tri[k], head.tri_uv[t][k]);
                *number.entry(corner).or_insert_with(|| {
                    part.corners.push(corner);
                    part.corners.len() as u32 - 1
                })
            }));
        }
        // Lashes are flat strips without an inside.
        if material != Material::Lash {
            part.drawn = part.simplified(head, material, masks, poses);
        }
        part
    }

    fn simplified(
        &self,
        head: &HeadAsset,
        material: Material,
        masks: &[[f32; 6]],
        poses: &[Vec<Vec3>],
    ) -> Vec<[u32; 3]> {
        let each =
            |f: &dyn Fn(usize) -> f32| self.corners.iter().map(|c| f(c.0 as usize)).collect::<Vec<_>>();
        let shapes: Vec<Vec<Vec3>> =
            poses.iter().map(|p| self.corners.iter().map(|c| p[c.0 as usize]).collect()).collect();
        let mut values: Vec<Vec<f32>> = Vec::new();
        if material == Material::Face {
            values.extend((0..6).map(|k| each(&|v| VALUE_CM * masks[v][k])));
        }
        values.push(each(&|v| VALUE_CM * f32::from(head.ao[v]) / 255.0));
        values.push(each(&|v| VALUE_CM * f32::from(head.ao_open[v]) / 255.0));
        let fine: Vec<Vec3> = head.landmarks68[36..68].iter().map(|v| head.neutral[*v as usize]).collect();
        let tolerance = each(&|v| {
            let near = fine.iter().any(|p| p.distance(head.neutral[v]) < FINE_CM);
            match material {
                Material::Eye => EYE_TOLERANCE_CM,
                Material::Face if near => FINE_SHARE * TOLERANCE_CM,
                _ => TOLERANCE_CM,
            }
        });
        simplified(&Mesh { shapes: &shapes, values: &values, triangles: &self.drawn, tolerance: &tolerance })
    }
}

/// The mean head at rest and with faces that fold the skin everywhere it folds.
fn poses(head: &HeadAsset) -> Vec<Vec<Vec3>> {
    const FACES: [&[&str]; 5] = [
        &[],
        &["mouthSmile", "noseSneer", "cheekSquint", "eyeSquint"],
        &["jawOpen", "browInnerUp", "browOuterUp", "eyeWide"],
        &["mouthPucker", "eyeBlink", "browDown"],
        &["mouthFrown", "mouthStretch", "cheekPuff"],
    ];
    let pose = |face: &&[&str]| {
        let stem = |name: &String| name.trim_end_matches("_L").trim_end_matches("_R").to_owned();
        let modes: Vec<usize> = (0..head.expression_names.len())
            .filter(|m| face.contains(&stem(&head.expression_names[*m]).as_str()))
            .collect();
        let place =
            |(v, p): (usize, &Vec3)| *p + modes.iter().map(|m| head.expression.at(*m, v)).sum::<Vec3>();
        head.neutral.iter().enumerate().map(place).collect()
    };
    FACES.iter().map(pose).collect()
}

fn is_inner(head: &HeadAsset, v: u32) -> bool {
    // ICT numbers the face first, then head, then the sockets; see the pack's part table.
    v >= 11_248 && (v as usize) < head.neutral.len()
}

fn static_vertex(
    head: &HeadAsset,
    part: &str,
    material: Material,
    v: u32,
    u: u32,
    m: &[f32; 6],
) -> StaticVertex {
    let uv = head.uv[u as usize];
    let ao = [head.ao[v as usize], head.ao_open[v as usize]];
    match material {
        Material::Face => StaticVertex {
            uv: [uv.x, 1.0 - uv.y],
            masks: [unorm8(m[0]), unorm8(m[1]), unorm8(m[2]), unorm8(m[3])],
            shade: [unorm8(m[4]), unorm8(m[5]), ao[0], ao[1]],
        },
        Material::Head => StaticVertex {
            uv: [uv.x - 1.0, 1.0 - uv.y],
            masks: [unorm8(m[0]), 0, u8::from(part != "head") * 255, 0],
            shade: [0, 0, ao[0], ao[1]],
        },
        Material::Mouth => {
            let c = plain_color(part);
            let wet = if part == "teeth" { 0.7 } else { 0.45 };
            StaticVertex {
                uv: [uv.x.fract(), 1.0 - uv.y],
                masks: [unorm8(c[0]), unorm8(c[1]), unorm8(c[2]), unorm8(wet)],
                shade: [u8::from(part == "teeth") * 255, u8::from(part == "tongue") * 255, ao[0], ao[1]],
            }
        }
        Material::Eye => StaticVertex {
            uv: [uv.x, 1.0 - uv.y],
            masks: [0; 4],
            shade: [u8::from(part == "scr") * 255, 0, 255, 255],
        },
        Material::Lash => {
            let l = head.lash_uv[v as usize];
            StaticVertex {
                uv: [l.x, l.y],
                masks: [unorm8(m[0]), 0, 0, 0],
                shade: [u8::from(part == "lar") * 255, 0, 255, 255],
            }
        }
    }
}

/// Distance to a closed polygon in the frontal plane, negative inside.
fn polygon_distance(p: Vec2, corners: &[Vec2]) -> f32 {
    let mut best = f32::MAX;
    let mut inside = false;
    for (i, a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        let (e, w) = (b - *a, p - *a);
        best = best.min((w - e * (w.dot(e) / e.length_squared()).clamp(0.0, 1.0)).length());
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            inside = !inside;
        }
    }
    if inside { -best } else { best }
}

/// Upper edge of a full beard over the distance from the face's middle, centimetres on the neutral head.
const BEARD_LINE: [[f32; 2]; 8] =
    [[0.0, -5.0], [1.5, -4.9], [2.4, -4.3], [3.0, -3.2], [4.5, -2.6], [6.0, -1.0], [6.9, 1.5], [8.0, 3.8]];

fn beard_line(x: f32) -> f32 {
    let seg = BEARD_LINE.windows(2).find(|s| x <= s[1][0]);
    seg.map_or(BEARD_LINE[7][1], |s| s[0][1] + (s[1][1] - s[0][1]) * (x - s[0][0]) / (s[1][0] - s[0][0]))
}

/// Beard, moustache, lips, eye shadow, blush, eye liner of every position vertex, 0 to 1; of lashes, whether they are upper ones.
fn skin_masks(head: &HeadAsset) -> Vec<[f32; 6]> {
    let point = |i: usize| head.neutral[head.landmarks68[i] as usize];
    let flat = |r: Range<usize>| r.map(|i| point(i).truncate()).collect::<Vec<_>>();
    let (lips, eyes) = (flat(48..60), [flat(36..42), flat(42..48)]);
    let mut masks = vec![[0.0; 6]; VERTICES];
    for (mask, p) in masks.iter_mut().zip(&head.neutral) {
        let x = p.x.abs();
        let lip = polygon_distance(p.truncate(), &lips);
        let front = smoothstep(8.0, 9.5, p.z);
        let off_lips = smoothstep(0.05, 0.35, lip);
        let line = beard_line(x);
        let neck = smoothstep(-11.5, -8.5, p.y) * smoothstep(0.6, 2.8, p.z);
        mask[0] = smoothstep(line + 0.7, line - 0.9, p.y) * neck * off_lips;
        // A goatee's arm beside the mouth belongs to both.
        let arm = smoothstep(3.1, 2.7, x) * smoothstep(-4.6, -3.6, p.y);
        mask[1] = (smoothstep(3.0, 2.2, x) * smoothstep(-1.35, -2.1, p.y)).max(0.0)
            * arm.max(smoothstep(-3.4, -3.0, p.y))
            * off_lips
            * smoothstep(7.5, 9.0, p.z);
        mask[2] = smoothstep(0.08, -0.1, lip) * front;
        let eye = usize::from(p.x > 0.0);
        let ring = polygon_distance(p.truncate(), &eyes[eye]);
        let above = p.y - (3.45 + 0.25 * smoothstep(4.6, 3.0, x));
        mask[3] = smoothstep(1.25, 0.2, ring) * smoothstep(-0.15, 0.15, above) * smoothstep(7.0, 8.0, p.z);
        mask[4] = (-((p.truncate().with_x(x) - Vec2::new(4.9, 0.2)).length_squared() / 2.2)).exp()
            * smoothstep(4.0, 7.0, p.z);
        mask[5] = smoothstep(0.2, 0.06, ring.abs()) * smoothstep(7.0, 8.0, p.z);
    }
    for (v, is_upper) in ["eyeBlink_L", "eyeBlink_R"].into_iter().flat_map(|blink| head.lashes(blink)) {
        masks[v] = [f32::from(u8::from(is_upper)), 0.0, 0.0, 0.0, 0.0, 0.0];
    }
    masks
}

/// Octahedral packing of a unit vector: Cigolle et al. 2014, "A Survey of Efficient Representations for Unit Vectors".
pub fn pack_normal(n: Vec3) -> [i16; 2] {
    let l = n.x.abs() + n.y.abs() + n.z.abs();
    let (mut x, mut y) = if l > 0.0 { (n.x / l, n.y / l) } else { (0.0, 0.0) };
    if n.z < 0.0 {
        (x, y) = ((1.0 - y.abs()).copysign(x), (1.0 - x.abs()).copysign(y));
    }
    [(x * 32_767.0).round() as i16, (y * 32_767.0).round() as i16]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_to_a_polygon_is_negative_inside() {
        let square = [Vec2::new(0.0, 0.0), Vec2::new(2.0, 0.0), Vec2::new(2.0, 2.0), Vec2::new(0.0, 2.0)];
        assert!((polygon_distance(Vec2::new(1.0, 1.0), &square) + 1.0).abs() < 1e-6);
        assert!((polygon_distance(Vec2::new(3.0, 1.0), &square) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_beard_line_is_continuous_and_rises_to_the_ear() {
        assert!((beard_line(0.0) + 5.0).abs() < 1e-6);
        assert!(beard_line(7.0) > beard_line(3.0));
        assert!((beard_line(2.399) - beard_line(2.401)).abs() < 0.01);
    }
}

//! Meshes of things worn and held, made of tubes, balls and sheets to fit a head.

use super::mesh::{StaticVertex, pack_normal, unorm8};
use super::spec::{Paint, Thing};
use super::target::{DrawList, MovingVertex};
use glam::{Mat3, Quat, Vec2, Vec3};
use std::f32::consts::{PI, TAU};

/// Measures of a head that things are fitted to; head space, millimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Bridge of the nose.
    pub bridge: Vec3,
    /// Pupil of the left and of the right eye at rest.
    pub pupils: [Vec3; 2],
    /// Where the left and right temple pieces meet the ear.
    pub ears: [Vec3; 2],
    /// Top of the skull.
    pub top: Vec3,
    /// Middle of the forehead.
    pub forehead: Vec3,
    /// Back of the skull.
    pub back: Vec3,
    /// Corner of the mouth, left.
    pub mouth: Vec3,
}

/// Adds a thing's mesh. Lenses come last in a draw list, so they are returned as triangles still to be added.
pub fn add(list: &mut DrawList, fit: &Fit, thing: &Thing, lenses: &mut Vec<u32>) {
    match *thing {
        Thing::Glasses { lens, squareness, rim_mm, frame, slide_mm, .. } => {
            glasses(list, fit, lens, squareness, rim_mm, frame, slide_mm, lenses);
        }
        Thing::Headphones { paint, cup_mm, microphone } => headphones(list, fit, paint, cup_mm, microphone),
        Thing::Cap { paint, brim_mm, turn_rad } => cap(list, fit, paint, brim_mm, turn_rad),
        Thing::Microphone { at, radius_mm, paint } => {
            ball(list, at, Vec3::splat(radius_mm), Quat::IDENTITY, paint, 0.9);
            tube(
                list,
                &[at, at + Vec3::new(0.0, -30.0, 15.0), at + Vec3::new(0.0, -260.0, 60.0)],
                &[6.0; 3],
                false,
                paint,
                0.0,
            );
        }
        Thing::Hand { at, fingers, normal, bend_rad, scale, paint } => {
            hand(list, at, fingers, normal, bend_rad, scale, paint);
        }
    }
}

fn vertex(list: &mut DrawList, p: Vec3, n: Vec3, paint: Paint, texture: f32) {
    list.things.push(MovingVertex { position: p.to_array(), normal: pack_normal(n) });
    list.thing_statics.push(StaticVertex {
        uv: [0.0; 2],
        masks: [unorm8(paint[0]), unorm8(paint[1]), unorm8(paint[2]), unorm8(paint[3])],
        shade: [unorm8(1.0 - 0.8 * paint[3]), unorm8(texture), 255, 255],
    });
}

/// Joins rows of `around` vertices that start at vertex `base`.
fn skin_rows(indices: &mut Vec<u32>, base: u32, rows: u32, around: u32, closed: bool) {
    let columns = if closed { around } else { around - 1 };
    for r in 0..rows - 1 {
        for c in 0..columns {
            let (a, b) = (base + r * around + c, base + r * around + (c + 1) % around);
            let (d, e) = (a + around, b + around);
            indices.extend([a, b, d, b, e, d]);
        }
    }
}

/// A round tube along a path; `ring` joins its ends.
fn tube(list: &mut DrawList, path: &[Vec3], radius: &[f32], ring: bool, paint: Paint, texture: f32) {
    const AROUND: u32 = 8;
    let (n, base) = (path.len(), list.things.len() as u32);
    for (i, p) in path.iter().enumerate() {
        let before = if i > 0 {
            path[i - 1]
        } else if ring {
            path[n - 1]
        } else {
            *p
        };
        let after = if i + 1 < n {
            path[i + 1]
        } else if ring {
            path[0]
        } else {
            *p
        };
        let along = (after - before).normalize_or(Vec3::Y);
        let (u, v) = along.any_orthonormal_pair();
        for k in 0..AROUND {
            let (s, c) = (TAU * k as f32 / AROUND as f32).sin_cos();
            let normal = u * c + v * s;
            vertex(list, *p + normal * radius[i.min(radius.len() - 1)], normal, paint, texture);
        }
    }
    skin_rows(&mut list.thing_indices, base, n as u32, AROUND, true);
    if ring {
        let last = base + (n as u32 - 1) * AROUND;
        for c in 0..AROUND {
            let d = (c + 1) % AROUND;
            list.thing_indices.extend([last + c, last + d, base + c, last + d, base + d, base + c]);
        }
    }
}

/// An ellipsoid.
fn ball(list: &mut DrawList, centre: Vec3, radii: Vec3, turn: Quat, paint: Paint, texture: f32) {
    const ROWS: u32 = 13;
    const AROUND: u32 = 18;
    let base = list.things.len() as u32;
    for r in 0..ROWS {
        let (sy, cy) = (PI * (r as f32 / (ROWS - 1) as f32 - 0.5)).sin_cos();
        for k in 0..AROUND {
            let (s, c) = (TAU * k as f32 / AROUND as f32).sin_cos();
            let d = Vec3::new(cy * c, sy, cy * s);
            vertex(
                list,
                centre + turn * (d * radii),
                (turn * (d / radii)).normalize_or(Vec3::Y),
                paint,
                texture,
            );
        }
    }
    skin_rows(&mut list.thing_indices, base, ROWS, AROUND, true);
}

/// Fingers and limbs: a tube closed by balls.
fn limb(list: &mut DrawList, path: &[Vec3], radius: &[f32], paint: Paint) {
    tube(list, path, radius, false, paint, 0.15);
    for i in [0, path.len() - 1] {
        ball(list, path[i], Vec3::splat(radius[i]), Quat::IDENTITY, paint, 0.15);
    }
}

fn superellipse(angle: f32, half: Vec2, power: f32) -> Vec2 {
    let (s, c) = angle.sin_cos();
    let shape = |v: f32| v.abs().powf(2.0 / power).copysign(v);
    Vec2::new(shape(c), shape(s)) * half
}

#[expect(clippy::too_many_arguments, reason = "the fields of one variant, taken apart by the caller")]
fn glasses(
    list: &mut DrawList,
    fit: &Fit,
    lens: Vec2,
    squareness: f32,
    rim_mm: f32,
    frame: Paint,
    slide_mm: f32,
    lenses: &mut Vec<u32>,
) {
    const AROUND: usize = 32;
    // A plane 13 mm before the pupils, tilted 8 degrees forward at the bottom, as opticians set it.
    let tilt = Quat::from_rotation_x(0.14);
    let front = fit.pupils[0].z.max(fit.pupils[1].z).max(fit.bridge.z - 6.0) + 11.0 + 0.5 * slide_mm;
    let mut hinges = [Vec3::ZERO; 2];
    let mut inner = [Vec3::ZERO; 2];
    for side in 0..2 {
        let out = if side == 0 { 1.0 } else { -1.0 };
        let centre = Vec3::new(fit.pupils[side].x + out * 1.5, fit.pupils[side].y - 2.0 - slide_mm, front);
        // Lenses follow the face's curve.
        let wrap = Quat::from_rotation_y(out * 0.10) * tilt;
        let at = |angle: f32, grow: f32| {
            let p = superellipse(angle, lens + Vec2::splat(grow), squareness);
            centre + wrap * Vec3::new(p.x * out, p.y, 0.0)
        };
        let rim: Vec<Vec3> = (0..AROUND).map(|k| at(TAU * k as f32 / AROUND as f32, 0.5)).collect();
        tube(list, &rim, &[rim_mm], true, frame, 0.0);
        hinges[side] = at(0.35, 1.5);
        inner[side] = at(PI - 0.35, 0.5);
        let normal = wrap * Vec3::Z;
        let base = list.things.len() as u32;
        vertex(list, centre, normal, frame, 0.0);
        for k in 0..AROUND {
            // A slight bulge, so that the mirror image sweeps over the lens.
            let p = at(TAU * k as f32 / AROUND as f32, 0.0);
            let bulge = (normal + (p - centre) / 130.0).normalize();
            vertex(list, p, bulge, frame, 0.0);
        }
        for k in 0..AROUND as u32 {
            lenses.extend([base, base + 1 + k, base + 1 + (k + 1) % AROUND as u32]);
        }
    }
    let arch = (inner[0] + inner[1]) * 0.5 + Vec3::new(0.0, 3.0, 2.0);
    tube(list, &[inner[0], arch, inner[1]], &[rim_mm.max(0.7)], false, frame, 0.0);
    for (side, hinge) in hinges.into_iter().enumerate() {
        let ear = fit.ears[side] + Vec3::new(0.0, 4.0, 0.0);
        let out = if side == 0 { 1.0 } else { -1.0 };
        let corner = Vec3::new(hinge.x.abs().max(ear.x.abs() - 6.0) * out, hinge.y, hinge.z - 6.0);
        let hook = ear + Vec3::new(0.0, -22.0, -14.0);
        tube(list, &[hinge, corner, ear, hook], &[rim_mm.max(0.8)], false, frame, 0.0);
    }
}

fn headphones(list: &mut DrawList, fit: &Fit, paint: Paint, cup_mm: f32, microphone: bool) {
    let middle = (fit.ears[0] + fit.ears[1]) * 0.5;
    let half = (fit.ears[0].x - middle.x).abs() + 10.0;
    let rise = fit.top.y - middle.y + 12.0;
    let band: Vec<Vec3> = (0..=16)
        .map(|k| {
            let (s, c) = (PI * k as f32 / 16.0).sin_cos();
            middle + Vec3::new(half * c, rise * s, -6.0)
        })
        .collect();
    tube(list, &band, &[8.0], false, paint, 0.2);
    for (side, ear) in fit.ears.iter().enumerate() {
        let out = if side == 0 { 1.0 } else { -1.0 };
        let at = Vec3::new(out * (half - 4.0), ear.y - 8.0, ear.z - 6.0);
        ball(list, at, Vec3::new(17.0, cup_mm, cup_mm * 0.88), Quat::IDENTITY, paint, 0.2);
    }
    if microphone {
        let from = Vec3::new(half, fit.ears[0].y - 25.0, fit.ears[0].z);
        let to = fit.mouth + Vec3::new(18.0, -16.0, 14.0);
        let knee = (from + to) * 0.5 + Vec3::new(20.0, -12.0, 12.0);
        tube(list, &[from, knee, to], &[2.5], false, paint, 0.0);
        ball(list, to, Vec3::splat(9.0), Quat::IDENTITY, paint, 0.9);
    }
}

fn cap(list: &mut DrawList, fit: &Fit, paint: Paint, brim_mm: f32, turn_rad: f32) {
    const AROUND: u32 = 28;
    const ROWS: u32 = 9;
    let middle = Vec3::new(0.0, fit.forehead.y - 4.0, (fit.forehead.z + fit.back.z) * 0.5);
    let side = fit.ears[0].x.abs().max(70.0) + 6.0;
    let deep = (fit.forehead.z - fit.back.z) * 0.5 + 9.0;
    let high = fit.top.y - middle.y + 12.0;
    let base = list.things.len() as u32;
    for r in 0..ROWS {
        let (s, c) = (0.5 * PI * r as f32 / (ROWS - 1) as f32).sin_cos();
        for k in 0..AROUND {
            let (sk, ck) = (TAU * k as f32 / AROUND as f32).sin_cos();
            let d = Vec3::new(c * sk, s, c * ck);
            let p = middle + Vec3::new(side * d.x, high * d.y, deep * d.z);
            vertex(list, p, (d / Vec3::new(side, high, deep)).normalize_or(Vec3::Y), paint, 0.5);
        }
    }
    skin_rows(&mut list.thing_indices, base, ROWS, AROUND, true);
    let brim = list.things.len() as u32;
    let turn = Mat3::from_rotation_y(turn_rad);
    for r in 0..2 {
        for k in 0..=12 {
            let a = (k as f32 / 12.0 - 0.5) * 1.9;
            let (s, c) = a.sin_cos();
            let reach = if r == 0 { 0.0 } else { brim_mm * (0.35 + 0.65 * c) };
            let p = turn * Vec3::new((side + 0.2 * reach) * s, -0.22 * reach - 6.0 * s * s, deep * c + reach);
            vertex(list, middle + p, Vec3::new(0.0, 0.98, 0.2), paint, 0.5);
        }
    }
    skin_rows(&mut list.thing_indices, brim, 2, 13, false);
}

fn hand(list: &mut DrawList, at: Vec3, fingers: Vec3, normal: Vec3, bend_rad: f32, scale: f32, paint: Paint) {
    let across = fingers.cross(normal).normalize_or(Vec3::X);
    let turn = Quat::from_mat3(&Mat3::from_cols(across, fingers, across.cross(fingers)));
    ball(list, at, Vec3::new(41.0, 48.0, 14.0) * scale, turn, paint, 0.15);
    let curl = |angle: f32| fingers * angle.cos() + normal * angle.sin();
    for (k, (offset, length)) in
        [(-30.0, 66.0), (-10.0, 77.0), (11.0, 72.0), (30.0, 56.0f32)].into_iter().enumerate()
    {
        let mut p = at + across * offset * scale + fingers * 38.0 * scale;
        let mut path = vec![p];
        for joint in 0..3 {
            let spread = across * (offset / 260.0 + 0.01 * k as f32);
            p += (curl(bend_rad * (joint as f32 + 0.6)) + spread).normalize()
                * length
                * scale
                * [0.46, 0.31, 0.23][joint];
            path.push(p);
        }
        limb(list, &path, &[9.0 * scale, 8.5 * scale, 7.8 * scale, 6.6 * scale], paint);
    }
    let thumb = at - across * 38.0 * scale - fingers * 12.0 * scale;
    let tip = thumb - across * 28.0 * scale + fingers * 46.0 * scale + normal * 10.0 * scale;
    let knuckle = (thumb + tip) * 0.5 - across * 10.0 * scale;
    limb(list, &[thumb, knuckle, tip], &[11.0 * scale, 9.5 * scale, 8.0 * scale], paint);
    limb(list, &[at - fingers * 40.0 * scale, at - fingers * 300.0], &[27.0 * scale, 36.0 * scale], paint);
}

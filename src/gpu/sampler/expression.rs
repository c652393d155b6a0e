//! Expressions: recorded motion, scattered random coefficients, and more than life's share of what trackers fail at.

use crate::face::{Blendshape as B, Blendshapes};
use crate::gpu::pack::Motion;
use crate::gpu::rng::Rng;
use crate::gpu::tongue::Tongue;
use glam::Vec2;

/// A jaw or mouth goes to one side only.
const SIDEWAYS: [[B; 2]; 2] = [[B::JawLeft, B::JawRight], [B::MouthLeft, B::MouthRight]];

/// The coefficients of a recorded frame.
pub fn from_motion(motion: &Motion, row: usize) -> Blendshapes {
    let mut out = Blendshapes::default();
    for (name, value) in motion.names.iter().zip(motion.row(row)) {
        let mut chars = name.chars();
        let camel: String = chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect();
        if let Some(b) = B::from_name(&camel) {
            out[b] = value.clamp(0.0, 1.0);
        }
    }
    out
}

fn mirrored(e: &Blendshapes) -> Blendshapes {
    let mut out = Blendshapes::default();
    for (b, v) in e.iter() {
        out[b.mirrored()] = v;
    }
    out
}

/// Where the expressions of a data set come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expressions {
    /// Recorded, random and extreme ones: every movement by itself and with any other, as no face may ever show it
    Mixed,
    /// Recorded ones alone: which movements go together, and how far, as in life
    Recorded,
    /// Eyes and brows of one recorded moment, nose, cheeks and mouth of another: each half of a face as in life, and by itself
    Crossed,
}

/// A random expression.
pub fn sample(rng: &mut Rng, motion: &Motion, from: Expressions) -> Blendshapes {
    let mut e = match from {
        Expressions::Mixed => mixed(rng, motion),
        Expressions::Recorded => recorded(rng, motion),
        Expressions::Crossed => crossed(rng, motion),
    };
    tidy(&mut e);
    e
}

fn mixed(rng: &mut Rng, motion: &Motion) -> Blendshapes {
    let mut e = match rng.weighted(&[0.20, 0.30, 0.36, 0.05, 0.09]) {
        0 => recorded(rng, motion),
        1 => {
            let mut e = recorded(rng, motion);
            let count = 3 + rng.below(8);
            scattered(rng, &mut e, count);
            e
        }
        2 => {
            let mut e = Blendshapes::default();
            let count = 1 + rng.below(18);
            scattered(rng, &mut e, count);
            e
        }
        3 => Blendshapes::default(),
        _ => extreme(rng),
    };
    eyes(rng, &mut e);
    if rng.chance(0.62) {
        look_at(&mut e, random_gaze(rng));
    }
    if rng.chance(0.05) {
        e[B::TongueOut] = rng.range(0.75, 1.0);
    }
    if rng.chance(0.12) {
        // Speech, with whatever the lips do.
        e[B::JawOpen] = rng.range(0.1, 0.8);
        e[B::MouthClose] = 0.0;
    }
    if rng.chance(0.08) {
        e[B::CheekPuff] = rng.range(0.4, 1.0);
    }
    e
}

fn recorded(rng: &mut Rng, motion: &Motion) -> Blendshapes {
    let mut e = from_motion(motion, rng.below(motion.len()));
    if rng.chance(0.5) {
        e = mirrored(&e);
    }
    let gain = rng.range(0.6, 1.3);
    for (_, v) in e.values_mut() {
        *v = (*v * gain).min(1.0);
    }
    e
}

fn crossed(rng: &mut Rng, motion: &Motion) -> Blendshapes {
    let (mut e, upper) = (recorded(rng, motion), recorded(rng, motion));
    for (b, v) in upper.iter().filter(|(b, _)| is_upper(*b)) {
        e[b] = v;
    }
    e
}

/// Whether it moves eyes or brows.
fn is_upper(b: B) -> bool {
    b.name().starts_with("eye") || b.name().starts_with("brow")
}

/// `count` coefficients at random. Many at once: a face costs the same to render whether it teaches one movement or ten.
fn scattered(rng: &mut Rng, e: &mut Blendshapes, count: usize) {
    for _ in 0..count {
        let b = B::ALL[rng.below(B::ALL.len())];
        if b == B::TongueOut {
            continue;
        }
        let v = rng.range(0.15, 1.0);
        e[b] = v;
        if b == B::MouthClose {
            // Lips that close show where the jaw is open.
            e[B::JawOpen] = e[B::JawOpen].max((v * rng.range(1.0, 1.4)).min(1.0));
        }
        // Most movements of a face have two sides that go together.
        let sideways = SIDEWAYS.iter().any(|pair| pair.contains(&b));
        if !sideways && rng.chance(0.55) {
            e[b.mirrored()] = (v * rng.range(0.75, 1.2)).min(1.0);
        }
    }
}

fn extreme(rng: &mut Rng) -> Blendshapes {
    let mut e = Blendshapes::default();
    let both = |e: &mut Blendshapes, b: B, v: f32| {
        e[b] = v;
        e[b.mirrored()] = v;
    };
    match rng.below(9) {
        0 => {
            e[B::JawOpen] = rng.range(0.7, 1.0);
            both(&mut e, B::EyeWideLeft, rng.range(0.0, 1.0));
        }
        1 => {
            both(&mut e, B::MouthSmileLeft, rng.range(0.6, 1.0));
            e[B::JawOpen] = rng.range(0.0, 0.5);
            both(&mut e, B::CheekSquintLeft, rng.range(0.2, 1.0));
            both(&mut e, B::MouthUpperUpLeft, rng.range(0.0, 0.7));
        }
        2 => e[B::MouthPucker] = rng.range(0.5, 1.0),
        3 => {
            e[B::MouthFunnel] = rng.range(0.5, 1.0);
            e[B::JawOpen] = rng.range(0.0, 0.4);
        }
        4 => {
            e[B::CheekPuff] = rng.range(0.5, 1.0);
            e[B::MouthPucker] = rng.range(0.0, 0.4);
        }
        5 => {
            e[B::TongueOut] = rng.range(0.75, 1.0);
            e[B::JawOpen] = rng.range(0.35, 0.8);
        }
        6 => {
            both(&mut e, B::BrowDownLeft, rng.range(0.5, 1.0));
            both(&mut e, B::NoseSneerLeft, rng.range(0.3, 1.0));
            both(&mut e, B::MouthFrownLeft, rng.range(0.0, 1.0));
        }
        7 => {
            e[B::BrowInnerUp] = rng.range(0.5, 1.0);
            both(&mut e, B::BrowOuterUpLeft, rng.range(0.0, 1.0));
            both(&mut e, B::EyeWideLeft, rng.range(0.3, 1.0));
        }
        _ => {
            e[B::MouthRollLower] = rng.range(0.3, 1.0);
            e[B::MouthRollUpper] = rng.range(0.3, 1.0);
            both(&mut e, B::MouthPressLeft, rng.range(0.0, 0.8));
        }
    }
    e
}

/// A tongue that is not put out: in speech it is anywhere between the floor of the mouth and the teeth, and often in sight.
pub fn tongue(rng: &mut Rng) -> Tongue {
    if rng.chance(0.25) {
        return Tongue::default();
    }
    Tongue {
        arched: rng.range(0.0, 1.0),
        lifted: rng.range(0.0, 1.0),
        forward: rng.range(0.0, 1.0),
        wide: rng.range(0.0, 1.0),
        lit: rng.range(0.0, 1.0),
    }
}

/// Closed, half-closed and winking eyes, each far more often than in life.
fn eyes(rng: &mut Rng, e: &mut Blendshapes) {
    let (left, right) = match rng.weighted(&[0.66, 0.11, 0.12, 0.055, 0.055]) {
        0 => return,
        1 => {
            let v = rng.range(0.85, 1.0);
            (v, v)
        }
        2 => {
            let v = rng.range(0.2, 0.85);
            (v, (v + 0.08 * rng.normal()).clamp(0.0, 1.0))
        }
        3 => (rng.range(0.75, 1.0), rng.range(0.0, 0.25)),
        _ => (rng.range(0.0, 0.25), rng.range(0.75, 1.0)),
    };
    (e[B::EyeBlinkLeft], e[B::EyeBlinkRight]) = (left, right);
    // Who winks squeezes that cheek, too.
    if (left - right).abs() > 0.5 && rng.chance(0.5) {
        let b = if left > right { B::CheekSquintLeft } else { B::CheekSquintRight };
        e[b] = e[b].max(rng.range(0.2, 0.8));
    }
}

/// To the subject's left, and up, in radians.
fn random_gaze(rng: &mut Rng) -> Vec2 {
    if rng.chance(0.7) {
        Vec2::new(0.22 * rng.normal(), 0.16 * rng.normal())
    } else {
        Vec2::new(rng.range(-0.6, 0.6), rng.range(-0.6, 0.43))
    }
}

/// Sets the eight `eyeLook` coefficients; slopes as in [`crate::gpu::shape::eye_rotations`].
pub fn look_at(e: &mut Blendshapes, to_left_and_up: Vec2) {
    let (side, up) = (to_left_and_up.x / 0.60, to_left_and_up.y);
    let (left, right) = (side.clamp(0.0, 1.0), (-side).clamp(0.0, 1.0));
    (e[B::EyeLookOutLeft], e[B::EyeLookInRight]) = (left, left);
    (e[B::EyeLookInLeft], e[B::EyeLookOutRight]) = (right, right);
    let (above, below) = ((up / 0.43).clamp(0.0, 1.0), (-up / 0.61).clamp(0.0, 1.0));
    (e[B::EyeLookUpLeft], e[B::EyeLookUpRight]) = (above, above);
    (e[B::EyeLookDownLeft], e[B::EyeLookDownRight]) = (below, below);
}

/// Takes back what no face can do at once, and what the model's shapes cannot add up.
pub fn tidy(e: &mut Blendshapes) {
    for [a, b] in SIDEWAYS {
        let net = e[a] - e[b];
        (e[a], e[b]) = (net.max(0.0), (-net).max(0.0));
    }
    for (a, b) in [
        (B::MouthSmileLeft, B::MouthFrownLeft),
        (B::MouthSmileRight, B::MouthFrownRight),
        (B::BrowDownLeft, B::BrowOuterUpLeft),
        (B::BrowDownRight, B::BrowOuterUpRight),
        (B::MouthPucker, B::MouthFunnel),
        (B::MouthRollLower, B::MouthShrugLower),
        (B::MouthRollUpper, B::MouthShrugUpper),
    ] {
        let weaker = if e[a] < e[b] { a } else { b };
        let stronger = if weaker == a { b } else { a };
        e[weaker] = e[weaker].min(1.0 - e[stronger]);
    }
    for (blink, wide, squint, down) in [
        (B::EyeBlinkLeft, B::EyeWideLeft, B::EyeSquintLeft, B::EyeLookDownLeft),
        (B::EyeBlinkRight, B::EyeWideRight, B::EyeSquintRight, B::EyeLookDownRight),
    ] {
        e[wide] = e[wide].min(1.0 - e[blink]);
        e[squint] = e[squint].min(1.0 - 0.6 * e[blink]);
        // Looking down lowers the lid by a third of its way; both together must not pass the lower lid.
        e[down] = e[down].min(1.0 - 0.6 * e[blink]);
    }
    // Recordings hold a trace of tongue in every second frame.
    if e[B::TongueOut] < 0.5 {
        e[B::TongueOut] = 0.0;
    } else {
        // Below this the pack's tongue cuts through teeth and lip.
        e[B::TongueOut] = e[B::TongueOut].max(0.75);
        e[B::JawOpen] = e[B::JawOpen].max(0.35);
        for b in [
            B::MouthClose,
            B::MouthRollLower,
            B::MouthShrugLower,
            B::MouthPucker,
            B::MouthRollUpper,
            B::CheekPuff,
        ] {
            e[b] = 0.0;
        }
    }
    if e[B::CheekPuff] > 0.2 {
        // Air leaks from an open mouth.
        e[B::JawOpen] = e[B::JawOpen].min(0.12);
        e[B::MouthFunnel] = e[B::MouthFunnel].min(0.2);
        for b in [B::MouthLowerDownLeft, B::MouthLowerDownRight, B::MouthUpperUpLeft, B::MouthUpperUpRight] {
            e[b] = e[b].min(0.1);
        }
    }
    e[B::MouthClose] = e[B::MouthClose].min(e[B::JawOpen]);
    let open = e[B::JawOpen] - e[B::MouthClose];
    for (roll, lips) in [
        (B::MouthRollLower, [B::MouthLowerDownLeft, B::MouthLowerDownRight]),
        (B::MouthRollUpper, [B::MouthUpperUpLeft, B::MouthUpperUpRight]),
    ] {
        for lip in lips {
            e[lip] = e[lip].min(1.0 - 0.7 * e[roll]);
        }
    }
    // Lips that shrug or press against each other need a shut mouth.
    for b in [B::MouthPressLeft, B::MouthPressRight] {
        e[b] = e[b].min((1.0 - 2.0 * open).max(0.0));
    }
    let wide = e[B::MouthPucker].max(e[B::MouthFunnel]);
    for b in [B::MouthStretchLeft, B::MouthStretchRight, B::MouthDimpleLeft, B::MouthDimpleRight] {
        e[b] = e[b].min(1.0 - 0.8 * wide);
    }
    for (_, v) in e.values_mut() {
        *v = v.clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::shape::eye_rotations;
    use glam::Vec3;

    fn motion() -> Motion {
        Motion { names: vec!["JawOpen".into(), "EyeBlinkLeft".into()], frames: vec![0.3, 0.0, 0.1, 1.4] }
    }

    #[test]
    fn every_expression_is_in_range_and_possible() {
        let mut rng = Rng::new(5, 0);
        for _ in 0..2000 {
            let e = sample(&mut rng, &motion(), Expressions::Mixed);
            assert!(e.iter().all(|(_, v)| (0.0..=1.0).contains(&v)));
            assert!(e[B::MouthClose] <= e[B::JawOpen]);
            assert!(e[B::TongueOut] == 0.0 || e[B::JawOpen] >= 0.35);
            assert!(SIDEWAYS.iter().all(|pair| pair.iter().any(|b| e[*b] == 0.0)));
        }
    }

    #[test]
    fn closed_eyes_winks_and_tongues_are_common() {
        let mut rng = Rng::new(6, 0);
        let all: Vec<_> = (0..2000).map(|_| sample(&mut rng, &motion(), Expressions::Mixed)).collect();
        let share = |f: &dyn Fn(&Blendshapes) -> bool| all.iter().filter(|e| f(e)).count() as f32 / 2000.0;
        assert!(share(&|e| e[B::EyeBlinkLeft] > 0.8 && e[B::EyeBlinkRight] > 0.8) > 0.08);
        assert!(share(&|e| (e[B::EyeBlinkLeft] - e[B::EyeBlinkRight]).abs() > 0.5) > 0.08);
        assert!(share(&|e| e[B::TongueOut] > 0.5) > 0.03);
        assert!(share(&|e| e[B::CheekPuff] > 0.3) > 0.03);
    }

    #[test]
    fn a_recordings_trace_of_tongue_is_no_tongue_out() {
        let mut e = Blendshapes::default();
        e[B::TongueOut] = 0.02;
        e[B::MouthRollLower] = 0.4;
        tidy(&mut e);
        assert!(e[B::TongueOut] == 0.0 && e[B::JawOpen] == 0.0 && e[B::MouthRollLower] > 0.0);
    }

    #[test]
    fn a_mouth_that_closes_is_seen_over_an_open_jaw() {
        let mut rng = Rng::new(8, 0);
        let all: Vec<_> = (0..2000).map(|_| sample(&mut rng, &motion(), Expressions::Mixed)).collect();
        assert!(all.iter().filter(|e| e[B::MouthClose] > 0.15).count() > 20);
    }

    #[test]
    fn eyes_told_to_look_left_and_up_do() {
        let mut e = Blendshapes::default();
        look_at(&mut e, Vec2::new(0.3, 0.2));
        for eye in eye_rotations(&e, 1.0) {
            let gaze = eye * Vec3::Z;
            assert!(
                (gaze.x.atan2(gaze.z) - 0.3).abs() < 0.05 && (gaze.y.asin() - 0.2).abs() < 0.05,
                "{gaze}"
            );
        }
    }

    #[test]
    fn recorded_expressions_hold_nothing_that_was_not_recorded() {
        let mut rng = Rng::new(7, 0);
        for _ in 0..500 {
            let e = sample(&mut rng, &motion(), Expressions::Recorded);
            let known = [B::JawOpen, B::EyeBlinkLeft, B::EyeBlinkRight];
            assert!(e.iter().all(|(b, v)| v == 0.0 || known.contains(&b)));
            assert!(e[B::JawOpen] >= 0.06 && e[B::EyeBlinkLeft].min(e[B::EyeBlinkRight]) == 0.0);
        }
    }

    #[test]
    fn crossed_expressions_have_eyes_of_one_moment_over_the_mouth_of_another() {
        // One moment with the mouth open and the eyes too, one with both shut.
        let motion =
            Motion { names: vec!["JawOpen".into(), "EyeWideLeft".into()], frames: vec![0.5, 0.5, 0.0, 0.0] };
        let mut rng = Rng::new(9, 0);
        let mut kinds = |from| {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..200 {
                let e = sample(&mut rng, &motion, from);
                seen.insert((e[B::JawOpen] > 0.0, e[B::EyeWideLeft].max(e[B::EyeWideRight]) > 0.0));
            }
            seen.len()
        };
        assert_eq!(kinds(Expressions::Recorded), 2);
        assert_eq!(kinds(Expressions::Crossed), 4);
    }

    #[test]
    fn a_recorded_value_above_one_is_cut() {
        assert!((from_motion(&motion(), 1)[B::EyeBlinkLeft] - 1.0).abs() < 1e-6);
    }
}

//! What a person's face shows at rest, which is no expression.
//!
//! A network that sees someone for the first time takes high brows for raised ones, a long upper lip for a frown and narrow
//! eyes for half shut ones. What is seen of each movement most of the time is told apart from what is seen now and then: rest
//! is a low share of the last minute's values. It is taken off, and the rest stretched so that 1 stays 1.

use super::calibration::{RETAKE_S, STEP_S_MAX, weighted};
use crate::clock::MonoTime;
use crate::face::{BLENDSHAPE_COUNT, Blendshape, Blendshapes};
use serde::{Deserialize, Serialize};

/// The `[expression]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpressionConfig {
    /// Whether what a person's face shows at rest is taken off.
    pub adapt: bool,
}

impl Default for ExpressionConfig {
    fn default() -> Self {
        Self { adapt: true }
    }
}

/// Steps in which values are counted.
const BINS: usize = 40;
/// Memory in seconds of a face that looks ahead.
const MEMORY_S: f32 = 60.0;
/// Half of what was seen is believed after this many seconds.
const WARM_UP_S: f32 = 0.7;
/// More than this is not taken for rest even where it is told so.
const CAP_TOLD: f32 = 0.8;
/// A brow this much lower than at rest is not yet lowered.
const FROWN_FROM: f32 = 0.05;

/// How rest is told from movement. Found on the clips in `../shared/eval/dev`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    /// Share of the time in which a face at rest, or calmer, is seen.
    share: f32,
    /// A stronger movement than this is none that someone has at rest: whoever holds it keeps at least what goes beyond.
    cap: f32,
}

/// Brows are carried both higher and lower than at rest.
const BROWS: Kind = Kind { share: 0.4, cap: 0.6 };
const BLINKS: Kind = Kind { share: 0.25, cap: 0.5 };
const LOWER_FACE: Kind = Kind { share: 0.2, cap: 0.3 };

/// Of a brow: what lowers it, and what raises it with its side.
const SIDES: [(Blendshape, [Blendshape; 2]); 2] = [
    (Blendshape::BrowDownLeft, [Blendshape::BrowInnerUp, Blendshape::BrowOuterUpLeft]),
    (Blendshape::BrowDownRight, [Blendshape::BrowInnerUp, Blendshape::BrowOuterUpRight]),
];

/// The kind of a movement; gaze comes from the eyeballs, and squinting, widened eyes and a tongue are let be.
fn kind(b: Blendshape) -> Option<Kind> {
    match b.name() {
        n if n.starts_with("brow") => Some(BROWS),
        n if n.starts_with("eyeBlink") => Some(BLINKS),
        n if n.starts_with("eye") || n == "tongueOut" => None,
        _ => Some(LOWER_FACE),
    }
}

/// The expression of one person at rest.
#[derive(Debug, Clone)]
pub struct RestingExpression {
    movements: [Movement; BLENDSHAPE_COUNT],
    seen_s: f32,
    last: Option<MonoTime>,
    retake_s: f32,
}

/// How long each value of one movement was seen.
#[derive(Debug, Clone, Copy)]
struct Movement {
    kind: Option<Kind>,
    seconds: [f32; BINS],
}

impl Default for RestingExpression {
    fn default() -> Self {
        Self::new()
    }
}

impl RestingExpression {
    /// Of a person not seen yet.
    pub fn new() -> Self {
        let movements = Blendshape::ALL.map(|b| Movement { kind: kind(b), seconds: [0.0; BINS] });
        Self { movements, seen_s: 0.0, last: None, retake_s: 0.0 }
    }

    /// Takes what is seen in the next 0.8 seconds for rest, however strong it is.
    pub fn retake(&mut self) {
        *self = Self { last: self.last, retake_s: RETAKE_S, ..Self::new() };
    }

    /// Learns from what was seen of a face turned by `turn_rad` at stream time `t`, and takes rest off it.
    pub fn settle(&mut self, expression: &mut Blendshapes, turn_rad: f32, t: MonoTime) {
        let step_s = self.last.map_or(0.0, |last| t.since(last).as_secs_f32().min(STEP_S_MAX));
        self.last = Some(t);
        self.learn(expression, turn_rad, step_s);
        let belief = self.seen_s / (self.seen_s + WARM_UP_S);
        let rest: [f32; BLENDSHAPE_COUNT] = std::array::from_fn(|i| belief * self.movements[i].rest());
        let lower =
            SIDES.map(|(_, up)| up.map(|b| rest[b as usize] - expression[b]).iter().sum::<f32>() / 2.0);
        for ((_, value), rest) in expression.values_mut().zip(rest) {
            *value = (*value - rest).max(0.0) / (1.0 - rest);
        }
        for ((down, _), lower) in SIDES.into_iter().zip(lower) {
            expression[down] = (expression[down] + (lower - FROWN_FROM).max(0.0)).min(1.0);
        }
    }

    fn learn(&mut self, expression: &Blendshapes, turn_rad: f32, step_s: f32) {
        let told = self.retake_s > 0.0;
        // What is told to be rest is as much as the whole memory.
        let seconds = if told { step_s * MEMORY_S / RETAKE_S } else { weighted(step_s, turn_rad) };
        self.retake_s = (self.retake_s - step_s).max(0.0);
        self.seen_s = (self.seen_s + seconds).min(MEMORY_S);
        let kept = (-seconds / MEMORY_S).exp();
        for (movement, (_, value)) in self.movements.iter_mut().zip(expression.iter()) {
            movement.see(value, seconds, if told { 1.0 } else { kept });
        }
        if told && self.retake_s == 0.0 {
            self.movements.iter_mut().for_each(Movement::allow);
        }
    }
}

impl Movement {
    fn see(&mut self, value: f32, seconds: f32, kept: f32) {
        if self.kind.is_none() {
            return;
        }
        self.seconds.iter_mut().for_each(|s| *s *= kept);
        self.seconds[((value * BINS as f32) as usize).min(BINS - 1)] += seconds;
    }

    /// The value below which it was for the kind's share of the time.
    fn rest(&self) -> f32 {
        let Some(kind) = self.kind else { return 0.0 };
        let mut left = kind.share * self.seconds.iter().sum::<f32>();
        if left <= 0.0 {
            return 0.0;
        }
        let mut bin = 0;
        while bin < BINS - 1 && self.seconds[bin] < left {
            left -= self.seconds[bin];
            bin += 1;
        }
        let within = (left / self.seconds[bin].max(f32::MIN_POSITIVE)).min(1.0);
        ((bin as f32 + within) / BINS as f32).min(kind.cap)
    }

    /// Takes for rest what was told to be.
    fn allow(&mut self) {
        let told = self.kind.map(|kind| Kind { cap: CAP_TOLD, ..kind });
        let rest = Self { kind: told, ..*self }.rest();
        self.kind = self.kind.map(|kind| Kind { cap: kind.cap.max(rest), ..kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Blendshape as B;
    use proptest::prelude::*;
    use std::time::Duration;

    const FRAME: Duration = Duration::from_millis(33);

    struct Watch {
        resting: RestingExpression,
        now: MonoTime,
    }

    impl Watch {
        fn new() -> Self {
            Self { resting: RestingExpression::new(), now: MonoTime::from_nanos(0) }
        }

        /// What is told of a face that shows this for so long.
        fn see(&mut self, seconds: f32, pairs: &[(B, f32)]) -> Blendshapes {
            let mut told = Blendshapes::default();
            for _ in 0..(seconds / FRAME.as_secs_f32()).ceil() as usize {
                self.now = self.now + FRAME;
                told = Blendshapes::default();
                for &(b, v) in pairs {
                    told[b] = v;
                }
                self.resting.settle(&mut told, 0.0, self.now);
            }
            told
        }
    }

    const HIGH_BROWS: [(B, f32); 3] =
        [(B::BrowInnerUp, 0.4), (B::BrowOuterUpLeft, 0.35), (B::BrowOuterUpRight, 0.35)];

    #[test]
    fn high_brows_at_rest_are_not_raised_and_lower_ones_are_a_frown() {
        let mut watch = Watch::new();
        let rest = watch.see(10.0, &HIGH_BROWS);
        assert!(rest[B::BrowInnerUp] < 0.05 && rest[B::BrowDownLeft] < 0.01, "{rest:?}");
        let frown = watch.see(1.0, &[]);
        assert!(frown[B::BrowDownLeft] > 0.2 && frown[B::BrowDownRight] > 0.2, "{frown:?}");
        let raised = watch.see(1.0, &HIGH_BROWS.map(|(b, _)| (b, 1.0)));
        assert!(HIGH_BROWS.iter().all(|(b, _)| (raised[*b] - 1.0).abs() < 1e-6), "{raised:?}");
    }

    #[test]
    fn narrow_eyes_are_open_and_still_shut_wholly_and_one_by_one() {
        let narrow = [(B::EyeBlinkLeft, 0.3), (B::EyeBlinkRight, 0.3)];
        let mut watch = Watch::new();
        assert!(watch.see(10.0, &narrow)[B::EyeBlinkLeft] < 0.05);
        let wink = watch.see(0.2, &[(B::EyeBlinkLeft, 1.0), (B::EyeBlinkRight, 0.35)]);
        assert!((wink[B::EyeBlinkLeft] - 1.0).abs() < 1e-6 && wink[B::EyeBlinkRight] < 0.1, "{wink:?}");
    }

    #[test]
    fn a_smile_held_for_minutes_stays_and_so_do_shut_eyes() {
        let held = [(B::MouthSmileLeft, 0.8), (B::EyeBlinkLeft, 1.0)];
        let mut watch = Watch::new();
        let told = watch.see(300.0, &held);
        assert!(told[B::MouthSmileLeft] > 0.7 && told[B::EyeBlinkLeft] > 0.99, "{told:?}");
    }

    #[test]
    fn what_is_done_now_and_then_is_not_rest() {
        let mut watch = Watch::new();
        for _ in 0..20 {
            watch.see(2.0, &[]);
            watch.see(1.0, &[(B::JawOpen, 0.5), (B::BrowInnerUp, 0.8)]);
        }
        let told = watch.see(0.1, &[(B::JawOpen, 0.5), (B::BrowInnerUp, 0.8)]);
        assert!(told[B::JawOpen] > 0.48 && told[B::BrowInnerUp] > 0.78, "{told:?}");
    }

    #[test]
    fn a_retake_takes_the_face_as_it_is_and_forgets_the_old_one() {
        let mut watch = Watch::new();
        watch.see(60.0, &[(B::MouthPucker, 0.2)]);
        watch.resting.retake();
        let open = [(B::JawOpen, 0.5)];
        watch.see(1.0, &open);
        assert!(watch.see(0.1, &open)[B::JawOpen] < 0.05);
        let told = watch.see(0.1, &[(B::MouthPucker, 0.2)]);
        assert!(told[B::MouthPucker] > 0.18, "{told:?}");
    }

    #[test]
    fn a_face_that_is_turned_away_teaches_next_to_nothing() {
        let mut watch = Watch::new();
        watch.see(10.0, &[]);
        for _ in 0..150 {
            watch.now = watch.now + FRAME;
            let mut smiling = Blendshapes::default();
            smiling[B::MouthSmileLeft] = 0.25;
            watch.resting.settle(&mut smiling, 1.2, watch.now);
        }
        assert!(watch.see(0.04, &[(B::MouthSmileLeft, 0.25)])[B::MouthSmileLeft] > 0.22);
    }

    proptest! {
        #[test]
        fn whatever_is_seen_in_whatever_order_values_stay_0_to_1(
            steps in prop::collection::vec((0u64..5_000_000_000, 0f32..=1.0, 0f32..=1.0, -2f32..2.0, prop::bool::weighted(0.05)), 1..200)
        ) {
            let mut resting = RestingExpression::new();
            for (t, a, b, turn, retake) in steps {
                if retake { resting.retake(); }
                let mut e = Blendshapes::default();
                for (i, (_, v)) in e.values_mut().enumerate() { *v = if i % 2 == 0 { a } else { b }; }
                resting.settle(&mut e, turn, MonoTime::from_nanos(t));
                prop_assert!(e.iter().all(|(_, v)| (0.0..=1.0).contains(&v)));
            }
        }

        #[test]
        fn more_of_a_movement_is_told_as_more(rest in 0f32..0.5, less in 0f32..=1.0, more in 0f32..=1.0) {
            prop_assume!(less < more);
            let mut watch = Watch::new();
            watch.see(5.0, &[(B::EyeBlinkLeft, rest)]);
            let mut other = Watch { resting: watch.resting.clone(), now: watch.now };
            let less = watch.see(0.03, &[(B::EyeBlinkLeft, less)])[B::EyeBlinkLeft];
            let more = other.see(0.03, &[(B::EyeBlinkLeft, more)])[B::EyeBlinkLeft];
            prop_assert!(less <= more + 1e-3);
        }
    }
}

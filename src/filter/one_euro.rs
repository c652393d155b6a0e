//! The one-euro filter: a first-order low-pass whose cutoff rises with speed.
//!
//! Casiez, Roussel, Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
//! CHI 2012, algorithm 1: the speed is taken between the new raw value and the last *filtered* one, so that a lag that
//! has built up opens the filter by itself.

use glam::{Quat, Vec3};
use serde::{Deserialize, Deserializer, Serialize};
use std::f32::consts::TAU;

/// How strongly one group of signals is smoothed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    /// Cutoff at rest, Hz. Lower is calmer and lags more: the lag at rest is about 0.16 / cutoff seconds.
    #[serde(deserialize_with = "above_zero")]
    pub cutoff_hz_min: f32,
    /// Hz of cutoff gained for each unit a second of speed; the unit is the group's own.
    #[serde(deserialize_with = "not_negative")]
    pub beta: f32,
    /// Cutoff of the speed's own low-pass, Hz.
    #[serde(default = "Smoothing::default_speed_cutoff", deserialize_with = "above_zero")]
    pub speed_cutoff_hz: f32,
}

impl Smoothing {
    /// A group with the usual low-pass on its speed.
    pub const fn new(cutoff_hz_min: f32, beta: f32) -> Self {
        Self { cutoff_hz_min, beta, speed_cutoff_hz: Self::default_speed_cutoff() }
    }

    /// 1 Hz, the paper's own choice.
    const fn default_speed_cutoff() -> f32 {
        1.0
    }

    /// Share of the new speed that enters the smoothed one.
    pub(super) fn speed_gain(&self, dt_s: f32) -> f32 {
        gain(self.speed_cutoff_hz, dt_s)
    }

    /// Share of the new value that enters the smoothed one at this speed.
    pub(super) fn gain_at(&self, speed: f32, dt_s: f32) -> f32 {
        gain(self.cutoff_hz_min + self.beta * speed, dt_s)
    }

    /// One step of a number.
    pub(super) fn step(&self, shown: &mut f32, speed: &mut f32, raw: f32, dt_s: f32) {
        *speed += ((raw - *shown) / dt_s - *speed) * self.speed_gain(dt_s);
        *shown += (raw - *shown) * self.gain_at(speed.abs(), dt_s);
    }

    /// One step of a vector. Its axes share one cutoff, so that a straight movement stays straight.
    pub(super) fn step_vec3(&self, shown: &mut Vec3, speed: &mut Vec3, raw: Vec3, dt_s: f32) {
        *speed += ((raw - *shown) / dt_s - *speed) * self.speed_gain(dt_s);
        *shown += (raw - *shown) * self.gain_at(speed.length(), dt_s);
    }

    /// One step of a rotation, along the shortest arc; `speed` is its angular velocity, rad/s.
    pub(super) fn step_rotation(&self, shown: &mut Quat, speed: &mut Vec3, raw: Quat, dt_s: f32) {
        let arc = shown.inverse() * raw;
        let arc = if arc.w < 0.0 { -arc } else { arc };
        let turn = arc.to_scaled_axis();
        *speed += (turn / dt_s - *speed) * self.speed_gain(dt_s);
        let part = Quat::from_scaled_axis(turn * self.gain_at(speed.length(), dt_s));
        *shown = (*shown * part).normalize();
    }
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let hz = f32::deserialize(deserializer)?;
    if hz > 0.0 && hz.is_finite() {
        Ok(hz)
    } else {
        Err(serde::de::Error::custom(format_args!("a cutoff is a frequency above 0 Hz, not {hz}")))
    }
}

fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let beta = f32::deserialize(deserializer)?;
    if beta >= 0.0 && beta.is_finite() {
        Ok(beta)
    } else {
        Err(serde::de::Error::custom(format_args!("beta is at least 0, not {beta}")))
    }
}

/// Weight of the newest value in a first-order low-pass of this cutoff.
fn gain(cutoff_hz: f32, dt_s: f32) -> f32 {
    let r = TAU * cutoff_hz * dt_s;
    r / (r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALM: Smoothing = Smoothing::new(1.0, 0.0);

    fn run(smoothing: Smoothing, dt_s: f32, raw: impl Iterator<Item = f32>) -> Vec<f32> {
        let (mut shown, mut speed) = (0.0, 0.0);
        raw.map(|r| {
            smoothing.step(&mut shown, &mut speed, r, dt_s);
            shown
        })
        .collect()
    }

    #[test]
    fn a_step_reaches_63_percent_after_the_time_constant() {
        let dt = 0.001;
        let out = run(CALM, dt, std::iter::repeat_n(1.0, 1000));
        let reached = out.iter().position(|&v| v >= 0.632).unwrap() as f32 * dt;
        assert!((reached - 1.0 / TAU).abs() < 0.003, "{reached} s");
    }

    #[test]
    fn speed_shortens_the_lag_behind_a_ramp() {
        let ramp = || (0..60).map(|i| i as f32 * 0.1);
        let lag = |s| 5.9 - run(s, 1.0 / 30.0, ramp()).last().unwrap();
        assert!(lag(Smoothing::new(1.0, 2.0)) < 0.35 * lag(CALM));
    }

    #[test]
    fn jitter_at_rest_shrinks_by_the_cutoff() {
        let noise = (0..600).map(|i| if i % 2 == 0 { 0.01 } else { -0.01 });
        let out = run(Smoothing::new(1.0, 0.5), 1.0 / 30.0, noise);
        let rms = (out[100..].iter().map(|v| v * v).sum::<f32>() / 500.0).sqrt();
        assert!(rms < 0.0025, "{rms}");
    }

    #[test]
    fn a_quaternion_and_its_negative_are_one_rotation() {
        let target = Quat::from_rotation_y(0.4);
        let (mut a, mut b) = (Quat::IDENTITY, Quat::IDENTITY);
        let (mut speed_a, mut speed_b) = (Vec3::ZERO, Vec3::ZERO);
        for i in 0..20 {
            CALM.step_rotation(&mut a, &mut speed_a, target, 0.03);
            CALM.step_rotation(&mut b, &mut speed_b, if i % 2 == 0 { -target } else { target }, 0.03);
            assert!(a.angle_between(b) < 1e-3 && (speed_a - speed_b).length() < 1e-3);
        }
        assert!(a.to_scaled_axis().y > 0.3, "it moved towards the target");
    }

    proptest! {
        #[test]
        fn the_output_stays_between_the_last_output_and_the_input(
            steps in prop::collection::vec((-10f32..10.0, 1e-4f32..0.5), 1..50), cutoff in 0.01f32..30.0, beta in 0f32..50.0
        ) {
            let smoothing = Smoothing::new(cutoff, beta);
            let (mut shown, mut speed) = (0.0f32, 0.0);
            for (raw, dt) in steps {
                let before = shown;
                smoothing.step(&mut shown, &mut speed, raw, dt);
                prop_assert!(shown >= before.min(raw) - 1e-4 && shown <= before.max(raw) + 1e-4);
            }
        }

        #[test]
        fn a_rotation_moves_along_the_shortest_arc(yaw in -3.0f32..3.0, dt in 1e-3f32..0.3) {
            let (mut shown, mut speed) = (Quat::IDENTITY, Vec3::ZERO);
            let target = Quat::from_rotation_y(yaw);
            CALM.step_rotation(&mut shown, &mut speed, target, dt);
            let turned = shown.to_scaled_axis();
            prop_assert!(turned.x.abs() < 1e-4 && turned.z.abs() < 1e-4);
            prop_assert!(turned.y * yaw >= 0.0 && turned.y.abs() <= yaw.abs() + 1e-4);
        }
    }
}

//! Light: environments as spherical harmonics plus one key light, and lamps and screens made up for the purpose.

use super::pack::Environment;
use super::rng::Rng;
use glam::{Mat3, Vec3};

/// Irradiance of order two: nine coefficients of RGB over the basis `1, y, z, x, xy, yz, 3z²-1, xz, x²-y²`, convolved with
/// the cosine lobe and divided by pi, so that their sum over the basis times albedo is radiance. Ramamoorthi and
/// Hanrahan 2001.
pub type Sh = [Vec3; 9];

/// A distant light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lamp {
    /// Unit vector towards it.
    pub direction: Vec3,
    /// Radiance of a white surface that faces it.
    pub color: Vec3,
}

/// An environment taken apart.
#[derive(Debug, Clone)]
pub struct EnvironmentLight {
    /// All but the brightest.
    pub sh: Sh,
    /// The brightest one and a half percent, as one lamp.
    pub key: Lamp,
}

fn basis(d: Vec3) -> [f32; 9] {
    [1.0, d.y, d.z, d.x, d.x * d.y, d.y * d.z, 3.0 * d.z * d.z - 1.0, d.x * d.z, d.x * d.x - d.y * d.y]
}

/// Squares of the basis' norms.
const NORM: [f32; 9] =
    [0.282_095, 0.488_603, 0.488_603, 0.488_603, 1.092_548, 1.092_548, 0.315_392, 1.092_548, 0.546_274];
/// The cosine lobe's bands over pi.
const LOBE: [f32; 9] = [1.0, 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 0.25, 0.25, 0.25, 0.25, 0.25];

/// Irradiance over pi on a surface with normal `n`.
pub fn irradiance(sh: &Sh, n: Vec3) -> Vec3 {
    sh.iter().zip(basis(n)).map(|(c, b)| *c * b).sum()
}

/// The same light in turned axes: `to_from` turns directions of the old axes into the new.
pub fn rotated(sh: &Sh, to_from: Mat3) -> Sh {
    // Projects the turned function on the basis again, over points spread on the sphere: exact up to the points'
    // evenness, which a Fibonacci spiral of 256 has to four digits.
    const POINTS: usize = 256;
    let mut out = [Vec3::ZERO; 9];
    let back = to_from.transpose();
    for i in 0..POINTS {
        let z = 1.0 - (2.0 * i as f32 + 1.0) / POINTS as f32;
        let (s, c) = (2.399_963_2 * i as f32).sin_cos();
        let r = (1.0 - z * z).sqrt();
        let d = Vec3::new(r * c, r * s, z);
        let value = irradiance(sh, back * d);
        for ((o, b), k) in out.iter_mut().zip(basis(d)).zip(NORM) {
            *o += value * (b * k * k * 4.0 * std::f32::consts::PI / POINTS as f32);
        }
    }
    out
}

impl EnvironmentLight {
    /// Splits an environment into soft light and a key.
    pub fn new(environment: &Environment) -> Self {
        let (rows, columns) = (128, 256);
        let mut brightness: Vec<f32> = environment.pixels.iter().map(|p| p.element_sum() / 3.0).collect();
        let cut_at = brightness.len() * 985 / 1000;
        let cut = *brightness.select_nth_unstable_by(cut_at, f32::total_cmp).1;
        let (mut sh, mut color, mut toward) = ([Vec3::ZERO; 9], Vec3::ZERO, Vec3::ZERO);
        for (i, pixel) in environment.pixels.iter().enumerate() {
            let theta = ((i / columns) as f32 + 0.5) / rows as f32 * std::f32::consts::PI;
            let phi =
                ((i % columns) as f32 + 0.5) / columns as f32 * std::f32::consts::TAU - std::f32::consts::PI;
            let d = Vec3::new(theta.sin() * phi.sin(), theta.cos(), theta.sin() * phi.cos());
            let solid =
                theta.sin() * std::f32::consts::PI / rows as f32 * std::f32::consts::TAU / columns as f32;
            let hot =
                if pixel.element_sum() / 3.0 > cut { (*pixel - cut).max(Vec3::ZERO) } else { Vec3::ZERO };
            color += hot * solid / std::f32::consts::PI;
            toward += d * (hot.element_sum() * solid);
            for ((s, b), (k, a)) in sh.iter_mut().zip(basis(d)).zip(NORM.into_iter().zip(LOBE)) {
                *s += (*pixel - hot) * (k * k * a * b * solid);
            }
        }
        Self { sh, key: Lamp { direction: toward.normalize_or(Vec3::Y), color } }
    }

    /// The environment turned.
    #[must_use]
    pub fn turned(&self, to_from: Mat3) -> Self {
        let key = Lamp { direction: to_from * self.key.direction, color: self.key.color };
        Self { sh: rotated(&self.sh, to_from), key }
    }
}

/// Light from all sides, a little stronger from above.
pub fn flat(color: Vec3, from_above: f32) -> Sh {
    let mut sh = [Vec3::ZERO; 9];
    sh[0] = color;
    sh[1] = color * from_above;
    sh
}

/// Colour of a black body between 2,000 and 12,000 K, green near one (fit of Planck's curve, within 5 %).
pub fn black_body(kelvin: f32) -> Vec3 {
    let t = kelvin / 6500.0;
    Vec3::new(t.powf(-0.62).clamp(0.55, 2.2), 1.0, t.powf(0.95).clamp(0.2, 1.7))
}

/// A colour temperature of lamps, screens and windows.
pub fn random_white(rng: &mut Rng) -> Vec3 {
    black_body(rng.log_range(2700.0, 9500.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_light_falls_on_the_turned_surface() {
        let mut rng = Rng::new(3, 0);
        let sh: Sh = std::array::from_fn(|_| Vec3::new(rng.normal(), rng.normal(), rng.normal()));
        let turn = Mat3::from_rotation_y(0.7) * Mat3::from_rotation_x(-0.4);
        let turned = rotated(&sh, turn);
        for n in [Vec3::X, Vec3::Y, Vec3::new(0.6, 0.0, 0.8)] {
            assert!((irradiance(&turned, turn * n) - irradiance(&sh, n)).length() < 0.05);
        }
    }

    #[test]
    fn an_even_sky_lights_all_sides_alike() {
        let even = Environment {
            name: "even".into(),
            pixels: vec![Vec3::ONE; 128 * 256],
            backdrop: super::super::pack::Picture { width: 0, height: 0, channels: 3, data: vec![] },
        };
        let light = EnvironmentLight::new(&even);
        assert!((irradiance(&light.sh, Vec3::X) - Vec3::ONE).length() < 0.02);
        assert!((irradiance(&light.sh, Vec3::NEG_Y) - Vec3::ONE).length() < 0.02);
    }
}

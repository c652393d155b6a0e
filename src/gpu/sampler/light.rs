//! Light and what is behind: environments, one hard lamp, a monitor's glow, a flat office, backlight.

use crate::face::HeadPose;
use crate::geom::NEUTRAL_ROTATION;
use crate::gpu::light::{EnvironmentLight, Lamp, Sh, flat, irradiance, random_white, rotated};
use crate::gpu::rng::Rng;
use crate::gpu::spec::{Backdrop, Light};
use glam::{Mat3, Vec3};

/// Light in view axes (x right, y up, z towards the camera) before the head is turned.
struct Scene {
    sh: Sh,
    key: Lamp,
    fill: Lamp,
    /// Brightness of what is behind against the face.
    behind: f32,
    dimness: f32,
    plain: f32,
}

const NO_LAMP: Lamp = Lamp { direction: Vec3::Y, color: Vec3::ZERO };

fn direction(azimuth: f32, elevation: f32) -> Vec3 {
    Vec3::new(elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos())
}

fn scene(rng: &mut Rng, environment: &EnvironmentLight) -> Scene {
    let kind = rng.weighted(&[0.52, 0.13, 0.1, 0.13, 0.12]);
    let white = random_white(rng);
    match kind {
        0 => {
            let turn = Mat3::from_rotation_x(0.15 * rng.normal())
                * Mat3::from_rotation_y(rng.range(0.0, std::f32::consts::TAU));
            let mut e = environment.turned(turn);
            e.key.color *= rng.range(0.4, 1.2);
            let fill = if rng.chance(0.3) { monitor(rng, 0.3 * mean(&e.sh)) } else { NO_LAMP };
            Scene { sh: e.sh, key: e.key, fill, behind: rng.range(0.5, 1.2), dimness: 0.0, plain: 0.25 }
        }
        1 => {
            let azimuth = rng.range(-2.0, 2.0);
            let key = Lamp {
                direction: direction(azimuth, rng.range(-0.3, 1.3)),
                color: white * rng.range(0.6, 1.0),
            };
            let ambient = rng.log_range(0.04, 0.35);
            let fill = if rng.chance(0.5) { monitor(rng, ambient) } else { NO_LAMP };
            let dimness = rng.range(0.0, 0.7);
            Scene {
                sh: flat(random_white(rng) * ambient, 0.2),
                key,
                fill,
                behind: rng.range(0.1, 0.7),
                dimness,
                plain: 0.5,
            }
        }
        2 => {
            let ambient = rng.log_range(0.02, 0.2);
            let key = monitor(rng, 0.7);
            let second = if rng.chance(0.5) { monitor(rng, 0.4) } else { NO_LAMP };
            Scene {
                sh: flat(white * ambient, 0.1),
                key,
                fill: second,
                behind: rng.range(0.03, 0.3),
                dimness: rng.range(0.3, 1.0),
                plain: 0.4,
            }
        }
        3 => {
            let key = Lamp {
                direction: direction(rng.range(-0.8, 0.8), rng.range(0.6, 1.5)),
                color: white * rng.range(0.05, 0.35),
            };
            let from_above = rng.range(0.0, 0.5);
            Scene {
                sh: flat(white, from_above),
                key,
                fill: NO_LAMP,
                behind: rng.range(0.6, 1.3),
                dimness: 0.0,
                plain: 0.6,
            }
        }
        _ => {
            let azimuth = rng.range(2.1, 4.2);
            let key = Lamp {
                direction: direction(azimuth, rng.range(0.0, 0.9)),
                color: white * rng.range(0.8, 3.0),
            };
            let fill = monitor(rng, 0.25);
            let ambient = rng.range(0.15, 0.5);
            Scene {
                sh: flat(random_white(rng) * ambient, 0.15),
                key,
                fill,
                behind: rng.range(1.2, 4.0),
                dimness: rng.range(0.0, 0.5),
                plain: 0.5,
            }
        }
    }
}

fn mean(sh: &Sh) -> f32 {
    sh[0].element_sum() / 3.0
}

/// A screen before the face, a little below or beside it.
fn monitor(rng: &mut Rng, strength: f32) -> Lamp {
    let color = Vec3::new(rng.range(0.5, 1.0), rng.range(0.6, 1.0), rng.range(0.6, 1.15));
    Lamp {
        direction: direction(0.5 * rng.normal(), rng.range(-0.7, 0.4)),
        color: color * strength * rng.range(0.4, 1.2),
    }
}

/// Light on a head with this pose, what is behind it, and how dark the scene is (0 to 1).
/// `reflectance` is the luminance that the skin reflects.
pub fn sample(
    rng: &mut Rng,
    environments: &[EnvironmentLight],
    pose: &HeadPose,
    reflectance: f32,
) -> (Light, Backdrop, f32) {
    let environment = rng.below(environments.len());
    let s = scene(rng, &environments[environment]);
    // View axes differ from the camera's as the neutral head's do.
    let head_from_view = pose.rotation.transpose() * NEUTRAL_ROTATION;
    let turned =
        |l: Lamp| Lamp { direction: (head_from_view * l.direction).normalize_or(Vec3::Y), color: l.color };
    let (key, fill, sh) = (turned(s.key), turned(s.fill), rotated(&s.sh, head_from_view));
    let to_camera = (pose.rotation.transpose() * -pose.translation_mm).normalize_or(Vec3::Z);
    let luma = |c: Vec3| c.element_sum() / 3.0;
    let facing = |l: &Lamp| luma(l.color) * l.direction.dot(to_camera).max(0.0);
    let front = luma(irradiance(&sh, to_camera).max(Vec3::ZERO)) + facing(&key) + facing(&fill);
    let meter =
        0.7 * front + 0.3 * mean(&sh) + 0.12 * luma(key.color) + 0.12 * (s.behind - 1.0).max(0.0) * front;
    // A camera's meter brings dark and light skin closer together, but not all the way: half of it, in stops.
    let metered = (0.3 / reflectance.max(0.02)).sqrt();
    let exposure = 0.8 * metered / meter.max(1e-4) * (0.32 * rng.normal()).exp();
    let cast = if rng.chance(0.25) { 0.12 } else { 0.03 };
    // Cameras correct most of the light's colour, not all of it.
    let total = (irradiance(&sh, to_camera).max(Vec3::ZERO) + key.color * 0.5).max(Vec3::splat(1e-5));
    let neutral = (Vec3::splat(luma(total)) / total).powf(rng.range(0.72, 1.0));
    let error = Vec3::new((cast * rng.normal()).exp(), 1.0, (cast * rng.normal()).exp());
    let white_balance = (neutral * error).clamp(Vec3::splat(0.4), Vec3::splat(2.5));
    let shadow = rng.range(0.55, 1.0);
    let light = Light { sh, key, shadow, fill, exposure, white_balance };
    (light, backdrop(rng, environment, s.behind, s.plain), s.dimness)
}

fn backdrop(rng: &mut Rng, environment: usize, behind: f32, plain: f32) -> Backdrop {
    let zoom = rng.log_range(0.12, 0.5);
    let wall_color =
        Vec3::new(rng.range(0.6, 1.0), rng.range(0.6, 1.0), rng.range(0.6, 1.0)) * rng.log_range(0.06, 0.9);
    let wall = if rng.chance(plain) { rng.range(0.7, 1.0) } else { 0.0 };
    Backdrop {
        environment,
        window: [rng.unit(), rng.range(0.25, 0.55 - 0.3 * zoom), zoom, zoom],
        wall: wall_color.extend(wall).to_array(),
        clutter: [if rng.chance(0.6) { rng.range(0.2, 1.6) } else { 0.0 }, rng.range(0.0, 50.0)],
        brightness: behind * rng.range(0.7, 1.2),
    }
}
